"""The webhook of a single repository, for Towpath without a GitHub App: whether it is there, right, and delivers."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from service.github.manifest import HOOK_EVENTS
from service.github.payloads import Id, clean
from service.github.transport import Reply, Transport

CONTENT_TYPE: Final = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at; `advice` says what to do where it is not right."""

    ok: bool
    what: str
    advice: str = ""


class _Config(msgspec.Struct, frozen=True):
    url: str = ""
    content_type: str = "form"
    secret: str = ""
    insecure_ssl: str | float = "0"


class _Response(msgspec.Struct, frozen=True):
    code: int | None = None
    message: str | None = None


class _Hook(msgspec.Struct, frozen=True):
    id: Id
    active: bool
    events: list[str]
    config: _Config
    last_response: _Response = _Response()


async def examine(
    *, transport: Transport, token: str, repository: str, url: str, arrived: Callable[[], Awaitable[bool]]
) -> list[Finding]:
    """Look at the webhook of `ORG/REPO` that sends to `url`, with a token that may read webhooks.

    GitHub is asked for a ping; `arrived` waits for it and says whether it came. Raises `Transient` when GitHub does not
    answer.
    """
    path = f"/repos/{repository}/hooks"
    reply = await transport.send("GET", path, params={"per_page": "100"}, token=token)
    if not reply.ok:
        return [_unreadable(reply, repository)]
    hook = next((each for each in reply.read(list[_Hook]) if each.config.url.rstrip("/") == url), None)
    if hook is None:
        advice = "add it as described above; the payload URL has to be the same to the letter"
        return [Finding(ok=False, what=f"{repository} has no webhook that sends to {url}", advice=advice)]
    found = [Finding(ok=True, what="the webhook is there"), *_faults(hook)]
    pinged = await transport.send("POST", f"{path}/{hook.id}/pings", token=token)
    if not pinged.ok:
        return [*found, Finding(ok=False, what=f"GitHub does not send a ping: {pinged.message}")]
    if await arrived():
        return [*found, Finding(ok=True, what="a ping has arrived, rightly signed")]
    last = (await transport.send("GET", f"{path}/{hook.id}", token=token)).read(_Hook).last_response
    return [*found, _undelivered(last)]


def _faults(hook: _Hook) -> Sequence[Finding]:
    found = []
    if not hook.active:
        found.append(Finding(ok=False, what="it is not active", advice="tick Active in its settings"))
    if hook.config.content_type != "json":
        what = f"its content type is {clean(hook.config.content_type)}"
        found.append(Finding(ok=False, what=what, advice=f"choose {CONTENT_TYPE} in its settings"))
    if not hook.config.secret:
        found.append(Finding(ok=False, what="it has no secret", advice="put the secret into its settings"))
    missing = [each for each in HOOK_EVENTS if each.name not in hook.events and "*" not in hook.events]
    if missing:
        names = ", ".join(each.label for each in missing)
        found.append(Finding(ok=False, what=f"it does not send: {names}", advice="tick them in its settings"))
    return found


def _unreadable(reply: Reply, repository: str) -> Finding:
    if reply.status == 401:
        return Finding(
            ok=False, what="GitHub does not accept TOWPATH_GITHUB_TOKEN", advice="make another one; it may have expired"
        )
    return Finding(
        ok=False,
        what=f"the token may not read the webhooks of {repository}: {reply.message}",
        advice="give it that repository and the permission Webhooks: read, or look at the webhook's Recent Deliveries "
        "on GitHub",
    )


def _undelivered(last: _Response) -> Finding:
    if last.code == 401:
        return Finding(
            ok=False, what="the ping came, but was signed with another secret", advice="put the secret above into it"
        )
    said = clean(last.message or "") or "nothing is known of it yet"
    code = f" (HTTP {last.code})" if last.code else ""
    return Finding(
        ok=False,
        what=f"the ping has not arrived; GitHub says: {said}{code}",
        advice="see that GitHub reaches the payload URL: a proxy, a firewall, the name, the certificate",
    )
