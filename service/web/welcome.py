"""The page a browser gets: what Towpath is, the way to the dashboard, and which commands to begin with."""

from html import escape

from aiohttp import web

from service.web.keys import CONTEXT

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Towpath</title>
<style>
  body {{ font: 1rem/1.6 system-ui, sans-serif; max-width: 42rem; margin: 4rem auto; padding: 0 1.5rem; }}
  h1 {{ font-size: 1.6rem; }}
  pre {{ background: #8882; padding: 1rem; border-radius: .4rem; overflow-x: auto; }}
  :root {{ color-scheme: light dark; }}
</style>
<h1>Towpath is running</h1>
<p>It gives every pull request a review app, brings the default branch to staging once CI is green, and promotes
the same build to production. Look at it in the <a href="/dashboard">dashboard</a>, which <code>towpath dashboard</code>
opens, and steer it with the <code>towpath</code> command, on the machine where it runs:</p>
<pre>towpath github:setup                # connect GitHub, by a few clicks
towpath apps                        # what runs here, and where
towpath pipelines:create shop -a shop-staging -s staging
towpath pipelines:connect shop -r ORG/REPO
towpath reviewapps:enable -p shop --automatic
towpath pipelines:promote -a shop-staging
towpath why APP                     # what was decided, and why
towpath help                        # every command</pre>
<p>From another machine: <code>towpath login {url}</code>.
GitHub's webhooks go to <code>{url}/github/webhooks</code>. The API speaks Heroku's version 3 and needs a token.</p>
"""
_SECURITY = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


async def welcome(request: web.Request) -> web.Response:
    """GET /: for people; tells nothing about what is kept here."""
    url = request.app[CONTEXT].settings.url
    return web.Response(text=_PAGE.format(url=escape(url)), content_type="text/html", headers=_SECURITY)
