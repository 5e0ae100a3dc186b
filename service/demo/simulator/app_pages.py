"""GitHub's pages about Apps, as a browser sees them: "Create GitHub App" from a manifest, and "Install"."""

from collections.abc import Iterable
from html import escape
from urllib.parse import urlencode, urlsplit, urlunsplit

from aiohttp import web

from service.demo.simulator.app_actions import BadManifest, read_manifest
from service.demo.simulator.signal_actions import SignalActions
from service.demo.simulator.state import Installation, Repository

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · Simulated GitHub</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 36rem; margin: 0 auto; padding: 1rem; }}
header {{ color: #59636e; border-bottom: 1px solid #8884; padding-bottom: .5rem; }}
input[type=text], select {{ font: inherit; width: 100%; padding: .3rem; box-sizing: border-box; }}
button {{ font: inherit; background: #1f883d; color: white; border: 0; border-radius: .4rem; padding: .5rem 1rem; }}
label {{ display: block; margin: .4rem 0; }} :root {{ color-scheme: light dark; }}
</style>
<header>Simulated GitHub · signed in as {visitor}</header>
<h1>{title}</h1>
{body}"""


class AppPages:
    """The pages; every browser is `sim.visitor`."""

    def __init__(self, sim: SignalActions) -> None:
        self.sim = sim

    def add(self, app: web.Application) -> None:
        """Register the routes."""
        app.router.add_post("/settings/apps/new", self.new)
        app.router.add_post("/organizations/{org}/settings/apps/new", self.new)
        app.router.add_post("/_apps/create", self.create)
        app.router.add_get("/apps/{slug}", self.public)
        app.router.add_get("/apps/{slug}/installations/new", self.choose)
        app.router.add_post("/_apps/install", self.install)

    def _page(self, title: str, body: str, *, status: int = 200) -> web.Response:
        text = _PAGE.format(title=escape(title), visitor=escape(self.sim.visitor), body=body)
        return web.Response(text=text, status=status, content_type="text/html")

    def _not_found(self) -> web.Response:
        return self._page("404", "<p>This is not the web page you are looking for.</p>", status=404)

    def _invalid(self, error: BadManifest) -> web.Response:
        body = "<p>The configuration does not appear to be a valid GitHub App manifest.</p>"
        body += f"<p>Error {escape(str(error))}</p>"
        return self._page("Invalid GitHub App configuration", body, status=422)

    async def new(self, request: web.Request) -> web.Response:
        """Show what is about to be made. Whoever does not own the organization sees that there is nothing here."""
        owner = request.match_info.get("org", self.sim.visitor)
        if not self.sim.owns(owner):
            return self._not_found()
        form = await request.post()
        try:
            manifest = read_manifest(str(form.get("manifest", "")))
        except BadManifest as error:
            return self._invalid(error)
        granted = "".join(
            f"<li>{escape(name)}: {escape(level)}</li>"
            for name, level in manifest.get("default_permissions", {}).items()
        )
        body = f"""<form method="post" action="/_apps/create">
{_hidden(manifest=str(form["manifest"]), owner=owner, state=request.query.get("state", ""))}
<label>GitHub App name <input type="text" name="name" value="{escape(str(manifest.get("name", "")))}"></label>
<ul>{granted}</ul>
<button>Create GitHub App for {escape(owner)}</button></form>"""
        return self._page("Create GitHub App", body)

    async def create(self, request: web.Request) -> web.Response:
        """Make the App and send the browser back with the code."""
        form = {name: str(value) for name, value in (await request.post()).items()}
        try:
            code = self.sim.create_app(form["manifest"], owner=form["owner"], name=form["name"])
        except BadManifest as error:
            return self._invalid(error)
        back = read_manifest(form["manifest"])["redirect_url"]
        raise web.HTTPFound(_with_query(back, code=code, state=form["state"]))

    async def public(self, request: web.Request) -> web.Response:
        """The App's public page."""
        if request.match_info["slug"] != self.sim.app.slug:
            return self._not_found()
        link = f"/apps/{self.sim.app.slug}/installations/new"
        return self._page(self.sim.app.name, f'<p><a href="{link}">Install</a></p>')

    async def choose(self, request: web.Request) -> web.Response:
        """Choose the repositories: of the App's owner, for an App that is not public is installed nowhere else."""
        sim = self.sim
        if request.match_info["slug"] != sim.app.slug:
            return self._not_found()
        owner = sim.app.owner.login
        repos = [repo for repo in sim.repositories.values() if repo.owner.login == owner]
        verb = "Install" if sim.owns(owner) else "Request"
        one = self._installation()
        body = f"""<form method="post" action="/_apps/install">
{_hidden(state=request.query.get("state", ""))}
<p>{verb} {escape(sim.app.name)} on {escape(owner)}</p>
<label><input type="radio" name="which" value="all"> All repositories</label>
<label><input type="radio" name="which" value="selected" checked> Only select repositories</label>
{_choices(repos, one)}
<button>{"Save" if one else verb}</button></form>"""
        return self._page(f"{verb} {sim.app.name}", body)

    def _installation(self) -> Installation | None:
        owner = self.sim.app.owner
        return next((one for one in self.sim.installations.values() if one.account.id == owner.id), None)

    async def install(self, request: web.Request) -> web.Response:
        """Install, change what is installed, or ask an owner to; then on to the App's setup URL."""
        sim, form = self.sim, await request.post()
        owner = sim.app.owner.login
        chosen = {int(str(each)) for each in form.getall("repository", [])}
        ids = None if form.get("which") == "all" else chosen
        back = {"state": str(form.get("state", ""))}
        one = self._installation()
        if not sim.owns(owner):
            sim.request_install(owner, ids)
            back |= {"setup_action": "request"}
        elif one is not None:
            sim.choose_repositories(one.id, ids)
            back |= {"installation_id": str(one.id), "setup_action": "update"}
        else:
            made = sim.install(owner, None if ids is None else [sim.repositories[each] for each in ids])
            back |= {"installation_id": str(made.id), "setup_action": "install"}
        if not sim.app.setup_url or (back["setup_action"] == "update" and not sim.app.setup_on_update):
            return self._page("Installed", "<p>Okay.</p>")
        raise web.HTTPFound(_with_query(sim.app.setup_url, **{name: text for name, text in back.items() if text}))


def _hidden(**fields: str) -> str:
    return "".join(f'<input type="hidden" name="{name}" value="{escape(value)}">' for name, value in fields.items())


def _choices(repos: Iterable[Repository], one: Installation | None) -> str:
    return "".join(
        f'<label><input type="checkbox" name="repository" value="{repo.id}"'
        f"{' checked' if one is not None and one.covers(repo) else ''}> {escape(repo.full_name)}</label>"
        for repo in repos
    )


def _with_query(url: str, **query: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, urlencode(query))))))
