"""What `towpath doctor` says: what this machine has, and whether GitHub knows us as we are configured or set up."""

from dataclasses import asdict
from typing import Any

import aiohttp

from service.domain.errors import Refused, Transient
from service.github.app_auth import AppTokens, Stranger, credentials
from service.github.transport import Transport, new_session
from service.queue import Queue
from service.settings import Settings
from service.store import github_app
from service.store.opening import open_store
from workers.doctor_limits import limits
from workers.doctor_pull import deliveries
from workers.platforms.process.doctor import Check, checks

_NAME = "GitHub"
_START_REDIS = "start it, correct TOWPATH_REDIS_URL, or leave that out: towpath up brings a Redis of its own"


async def findings(settings: Settings, *, ask: bool) -> list[dict[str, Any]]:
    """All checks as JSON; `fatal` ones keep `towpath up` from starting. Without `ask` GitHub itself is not asked."""
    found = [asdict(check) | {"fatal": False} for check in checks(settings.data)]
    if settings.redis_url and not await _rings(settings.redis_url):
        why = "the one that TOWPATH_REDIS_URL names does not answer: nothing new is begun until it does"
        found.append(asdict(Check(name="redis", ok=False, why=why, advice=_START_REDIS)) | {"fatal": False})
    async with new_session() as session:
        transport = Transport(session=session, api_url=settings.github_api_url)
        try:
            given = credentials(settings, transport)
            app, whence = given if isinstance(given, AppTokens) else None, "from TOWPATH_GITHUB_APP_ID"
        except Refused as refused:
            return [*found, asdict(Check(name=_NAME, ok=False, why=refused.message)) | {"fatal": True}]
        if ask:
            try:
                if app is None:
                    app, whence = await _stored(settings, transport), "set up by towpath github:setup"
            except Refused as refused:
                return [*found, asdict(Check(name=_NAME, ok=False, why=refused.message)) | {"fatal": False}]
            asked = [await _judged(settings, transport, app, whence), await deliveries(settings, app)]
            asked += await limits(settings)
            found += [asdict(check) | {"fatal": False} for check in asked]
    return found


async def _rings(url: str) -> bool:
    queue = Queue(url)
    try:
        return await queue.alive()
    finally:
        await queue.close()


async def _stored(settings: Settings, transport: Transport) -> AppTokens | None:
    """The App that was set up; a database that has not been made yet is not made to look for one."""
    if not settings.database_url and not (settings.database_dir / "towpath.db").exists():
        return None
    db, vault = await open_store(settings)
    try:
        stored = await db.read(lambda conn: github_app.get(conn, vault))
    finally:
        await db.close()
    if stored is None:
        return None
    return AppTokens(transport=transport, app_id=str(stored.id), private_key=stored.private_key)


async def _judged(settings: Settings, transport: Transport, app: AppTokens | None, whence: str) -> Check:
    """Whether GitHub takes us for who we say we are: by the App, else by the token."""
    try:
        if app is not None:
            return await _of_app(app, whence)
        return await _of_token(settings, transport)
    except (Transient, Refused, aiohttp.ClientError) as error:
        return Check(
            name=_NAME, ok=False, why=f"{settings.github_api_url} cannot be asked: {error}",
            advice="look at the network, a proxy, and TOWPATH_GITHUB_API_URL",
        )  # fmt: skip


async def _of_token(settings: Settings, transport: Transport) -> Check:
    if not settings.github_token:
        why = "nothing is configured: only public repositories can be read, and nothing is shown there"
        return Check(name=_NAME, ok=True, why=f"{why} (towpath github:setup, or README, Connect GitHub)")
    reply = await transport.send("GET", "/user", token=settings.github_token)
    if reply.ok:
        return Check(name=_NAME, ok=True, why=f"the token of TOWPATH_GITHUB_TOKEN is that of {reply.data.get('login')}")
    return Check(
        name=_NAME, ok=False, why=f"the token is refused: {reply.message}",
        advice="make another one and set TOWPATH_GITHUB_TOKEN",
    )  # fmt: skip


async def _of_app(app: AppTokens, whence: str) -> Check:
    advice = "take the App id and a new private key from the App's settings page, or run towpath github:setup"
    try:
        reply = await app.ask("GET", "/app")
    except Stranger as unknown:
        return Check(name=_NAME, ok=False, why=f"App {app.app_id}, {whence}: {unknown.message}", advice=advice)
    if not reply.ok:
        why = f"it does not know App {app.app_id}, {whence}, with this key: {reply.message}"
        return Check(name=_NAME, ok=False, why=why, advice=advice)
    why = f"it knows App {app.app_id}, {whence}, as {reply.data.get('name')}"
    if not app.skew:
        return Check(name=_NAME, ok=True, why=why)
    return Check(
        name=_NAME, ok=False, why=f"{why}, but this machine's clock differs from GitHub's by {abs(app.skew):.0f} s",
        advice="set the clock, for example: timedatectl set-ntp true",
    )  # fmt: skip
