"""What `towpath doctor` says: what this machine has, and whether GitHub knows us as we are configured."""

from dataclasses import asdict
from typing import Any

import aiohttp

from service.domain.errors import Refused, Transient
from service.github.app_auth import AppTokens, Stranger, credentials
from service.github.transport import Reply, Transport, new_session
from service.queue import Queue
from service.settings import Settings
from workers.doctor_pull import deliveries
from workers.platforms.process.doctor import Check, checks

_NAME = "GitHub"
_START_REDIS = "start it, correct TOWPATH_REDIS_URL, or leave that out: towpath up brings a Redis of its own"


async def findings(settings: Settings, *, ask: bool) -> list[dict[str, Any]]:
    """All checks as JSON; `fatal` ones keep `towpath up` from starting. Without `ask` GitHub itself is not asked."""
    found = [asdict(check) | {"fatal": False} for check in checks(settings.data)]
    if settings.redis_url and not await _rings(settings.redis_url):
        why = "the one that TOWPATH_REDIS_URL names does not answer: work is found by looking, seconds later"
        found.append(asdict(Check(name="redis", ok=False, why=why, advice=_START_REDIS)) | {"fatal": False})
    async with new_session() as session:
        transport = Transport(session=session, api_url=settings.github_api_url)
        try:
            kept = credentials(settings, transport)
        except Refused as refused:
            return [*found, asdict(Check(name=_NAME, ok=False, why=refused.message)) | {"fatal": True}]
        if ask:
            app = kept if isinstance(kept, AppTokens) else None
            asked = (await _asked(settings, transport, app), await deliveries(settings, app))
            found += [asdict(check) | {"fatal": False} for check in asked]
    return found


async def _rings(url: str) -> bool:
    queue = Queue(url)
    try:
        return await queue.alive()
    finally:
        await queue.close()


async def _asked(settings: Settings, transport: Transport, app: AppTokens | None) -> Check:
    """Whether GitHub takes us for who we say we are."""
    if app is None and not settings.github_token:
        why = "nothing is configured: only public repositories can be read, and nothing is shown there"
        return Check(name=_NAME, ok=True, why=f"{why} (README, Connect GitHub)")
    try:
        if app is not None:
            return _app(settings, await app.ask("GET", "/app"), skew=app.skew)
        reply = await transport.send("GET", "/user", token=settings.github_token)
    except Stranger as unknown:
        return Check(
            name=_NAME, ok=False, why=f"App {settings.github_app_id}: {unknown.message}",
            advice="take the App id and a new private key from the App's settings page",
        )  # fmt: skip
    except (Transient, Refused, aiohttp.ClientError) as error:
        return Check(
            name=_NAME, ok=False, why=f"{settings.github_api_url} cannot be asked: {error}",
            advice="look at the network, a proxy, and TOWPATH_GITHUB_API_URL",
        )  # fmt: skip
    if reply.ok:
        return Check(name=_NAME, ok=True, why=f"the token is that of {reply.data.get('login')}")
    return Check(
        name=_NAME, ok=False, why=f"the token is refused: {reply.message}",
        advice="make another one and set TOWPATH_GITHUB_TOKEN",
    )  # fmt: skip


def _app(settings: Settings, reply: Reply, *, skew: float) -> Check:
    if not reply.ok:
        return Check(
            name=_NAME, ok=False, why=f"it does not know App {settings.github_app_id} with this key: {reply.message}",
            advice="take the App id and a new private key from the App's settings page",
        )  # fmt: skip
    why = f"it knows App {settings.github_app_id} as {reply.data.get('name')}"
    if not skew:
        return Check(name=_NAME, ok=True, why=why)
    return Check(
        name=_NAME, ok=False, why=f"{why}, but this machine's clock differs from GitHub's by {abs(skew):.0f} s",
        advice="set the clock, for example: timedatectl set-ntp true",
    )  # fmt: skip
