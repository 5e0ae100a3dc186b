"""How news of GitHub come here, for `towpath doctor`: awaited, pulled from its log of deliveries, or polled."""

from functools import partial

from service.domain import pulling
from service.domain.errors import Refused, Transient
from service.github.app_auth import AppTokens
from service.github.hook_log import HookLog
from service.github.payloads import clean
from service.github.transport import Reply
from service.settings import Settings
from workers.platforms.process.doctor import Check

_NAME = "deliveries"
_POLLED = "pull requests and branches are polled"


async def deliveries(settings: Settings, app: AppTokens | None) -> Check:
    """Whether GitHub's news can arrive, found out by asking for them."""
    why = settings.why_pull
    if not why:
        return await _sent_elsewhere(settings, app) or _awaited(settings)
    every = f"{settings.pull_seconds:g} s"
    if app is not None:
        return await _of_app(app, f"pulled from GitHub every {every} ({why})")
    if settings.github_token:
        text = f"{why}: {_POLLED} every {every}, and the log of a repository's own webhook is read if the token may"
        return Check(name=_NAME, ok=True, why=text)
    return Check(
        name=_NAME, ok=True,
        why=f"{why}, and no token or App is configured: public repositories are looked at every "
        f"{settings.audit_seconds:g} s (README, On a laptop or behind a firewall)",
    )  # fmt: skip


async def _sent_elsewhere(settings: Settings, app: AppTokens | None) -> Check | None:
    """The App sends to where Towpath was when it was made; whoever moves it has to tell GitHub."""
    wanted = f"{settings.url}/github/webhooks"
    try:
        reply = Reply(status=404) if app is None else await app.ask("GET", "/app/hook/config")
    except (Transient, Refused):
        return None  # the finding about the App itself says so
    url = reply.data.get("url") if reply.ok and isinstance(reply.data, dict) else None
    if not isinstance(url, str) or _place(url) == _place(wanted):
        return None
    goes = f"GitHub sends them to {clean(url)}" if url else "the App's webhook is not active"
    every = f"what it cannot deliver is fetched every {settings.audit_seconds:g} s only"
    advice = f"set the webhook URL in the App's settings on GitHub to {wanted}"
    return Check(name=_NAME, ok=False, why=f"{goes} and not to {wanted}: {every}", advice=advice)


def _place(url: str) -> tuple[str, str, str]:
    """What an address leads to: this machine has several names."""
    scheme, _, rest = url.rstrip("/").partition("://")
    host, slash, path = rest.partition("/")
    name, colon, port = host.rpartition(":")
    return scheme, f"localhost{colon}{port}" if name in {"127.0.0.1", "[::1]"} else host, slash + path


def _awaited(settings: Settings) -> Check:
    away = pulling.why_pull(asked="", url=settings.url, api_url=settings.github_api_url)
    if not away:
        return Check(name=_NAME, ok=True, why=f"GitHub sends them to {settings.url}/github/webhooks")
    return Check(
        name=_NAME, ok=False,
        why=f"{away} and TOWPATH_GITHUB_PULL is off: changes are found every {settings.audit_seconds:g} s only",
        advice="unset TOWPATH_GITHUB_PULL, or set TOWPATH_PUBLIC_URL to where GitHub reaches this machine",
    )  # fmt: skip


async def _of_app(app: AppTokens, how: str) -> Check:
    try:
        page = await anext(HookLog(partial(app.ask, "GET"), HookLog.APP_PATH).pages())
    except (Transient, Refused) as error:
        return Check(name=_NAME, ok=False, why=f"{how}: {error.message}", advice=_LATER)
    if page.refused is not None:
        return Check(name=_NAME, ok=False, why=f"{how}: GitHub refuses: {page.refused.message}", advice=_LATER)
    if not page.deliveries:
        none = "GitHub lists none: the App's webhook is not active, or nothing has happened yet"
        return Check(name=_NAME, ok=True, why=f"{how}; {none}; {_POLLED} instead")
    newest = max(page.deliveries, key=lambda each: each.delivered_at)
    return Check(
        name=_NAME, ok=True, why=f"{how}; the newest is {newest.event} of {newest.delivered_at:%Y-%m-%d %H:%M} UTC"
    )


_LATER = f"they are asked for again by themselves, and meanwhile {_POLLED}"
