"""One-off dynos: started, joined with whoever is attached, ended, and their end told.

Nothing here holds a lease. The engine knows each by an id that is never given again and begins it once, whoever asks
how often; its end is recorded once. So a worker may die at any moment: another is rung for it (`mind_one_offs`).
"""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Final

import structlog
from sqlalchemy import Connection

from service import attachments, queue
from service.attachments import Channel, Gone
from service.domain.errors import Refused, Transient
from service.domain.model import AppState
from service.domain.one_offs import OneOff, OneOffState, Order, why_ended
from service.enact import Transaction
from service.store import apps, one_offs, releases, spaces
from workers.context import Context
from workers.jobs.rollout import Rollout, serving, spec_of
from workers.platforms.base import Attach, Instance, Line, Lost, OneOffs, OneOffSpec

log = structlog.get_logger()

_LATE: Final = timedelta(seconds=5)
"""Who was to be started so long ago, or has ended so long ago, is rung for again."""
_LOOKS: Final = (0.05, 0.1, 0.2, 0.4)
_START_SECONDS: Final = 60.0


async def one_off(context: Context, one_off_id: str) -> None:
    """Start it unless that was done, end it if somebody wants that, and record how it ended."""
    found = await context.db.read(lambda conn: one_offs.get(conn, one_off_id))
    if found is None or not found.is_open:
        return
    try:
        code = await _run(context, found)
    except Lost as lost:
        await _finish(context, found, state=OneOffState.FAILED, reason=str(lost))
    except Refused as refused:
        await _finish(context, found, state=OneOffState.FAILED, reason=refused.message)
    else:
        await _finish(context, found, state=OneOffState.ENDED, code=code)


async def _run(context: Context, found: OneOff) -> int:
    """The exit code. One that was seen to run is not begun again, whatever the engine has forgotten."""
    rollout, order = await context.db.read(lambda conn: _plan(conn, context, found))
    platform = _platform(context, rollout.driver)
    spec = await spec_of(context, rollout)
    spec = replace(spec, config={**spec.config, **order.env})
    lines, columns = order.window
    attach = Attach(tty=found.tty, lines=lines, columns=columns) if found.attached else None
    wanted = OneOffSpec(id=found.id, name=found.name, command=order.command, attach=attach)

    async def begun() -> None:
        if not await context.commit(partial(_begun, one_off_id=found.id)):
            await platform.stop_one_off(found.app_id, found.id)

    # To unpack its code may have taken long: it may have been stopped, or given up, since it was read.
    now = await context.db.read(lambda conn: one_offs.get(conn, found.id))
    if now is None or not now.is_open:
        raise Refused("it has ended")
    left = (now.ends_at - context.db.now()).total_seconds()
    begin = now.state is OneOffState.STARTING and not now.stopping and left > 0
    return await platform.one_off(spec, wanted, seconds=left, begin=begin, begun=begun)


def _begun(tx: Transaction, *, one_off_id: str) -> bool:
    """Note that it runs; False if it is not to run any more, whatever was true when it was asked for."""
    found = one_offs.get(tx.conn, one_off_id)
    if found is None or not found.is_open:
        return False
    one_offs.begun(tx.conn, found, now=tx.now)
    return not found.stopping


def _plan(conn: Connection, context: Context, found: OneOff) -> tuple[Rollout, Order]:
    app, release = apps.get(conn, found.app_id), releases.get(conn, found.release_id)
    if app is None or release is None or app.state in (AppState.DESTROYING, AppState.GONE):
        raise Refused("its app was destroyed")
    order = one_offs.order(conn, context.vault, found.id)
    if order is None:
        raise Refused("it has ended")
    return serving(conn, context.vault, app, release), order


def _driver(found: OneOff, conn: Connection) -> str:
    app = apps.get(conn, found.app_id)
    assert app is not None  # held by a foreign key
    return spaces.driver_of(conn, app.space_id)


def _platform(context: Context, driver: str) -> OneOffs:
    platform = context.platforms[driver]
    if not isinstance(platform, OneOffs):
        raise Refused("The space of this app has no one-off dynos.")
    return platform


async def _finish(
    context: Context, found: OneOff, *, state: OneOffState, code: int | None = None, reason: str = ""
) -> None:
    def end(tx: Transaction) -> bool:
        now = one_offs.get(tx.conn, found.id) or found
        app = apps.get(tx.conn, found.app_id)
        goes = app is None or app.state in (AppState.DESTROYING, AppState.GONE)
        why = why_ended(now, code, now=tx.now, app_goes=goes) or reason
        if not one_offs.finish(tx.conn, found, state=state, exit_code=code, reason=why, now=tx.now):
            return False
        data = {"dyno": found.name, "exit_code": code, "reason": why}
        tx.note("one-off dyno ended", app_id=found.app_id, data=data)
        return True

    if await context.commit(end):
        log.info("one-off dyno ended", app=found.app_id, dyno=found.name, exit_code=code)
    await _forget(context, found)


async def _forget(context: Context, found: OneOff) -> None:
    """Let the engine drop what it keeps of it. What it is not told of for a worker that died it drops in a week."""
    platform = context.platforms.get(await context.db.read(partial(_driver, found)))
    if isinstance(platform, OneOffs):
        with contextlib.suppress(Transient):
            await platform.forget_one_off(found.app_id, found.id)


async def mind_one_offs(context: Context, driver: str, seen: Sequence[Instance]) -> None:
    """Ring for those that a lost ring, or a worker that is no more, has left alone; end those that nobody knows."""
    now = context.db.now()
    known = {each.id: each for each in await context.db.read(one_offs.all_open)}
    running = {each.one_off: each.app_id for each in seen if each.one_off}
    alone = [
        each
        for each in known.values()
        if each.updated_at < now - _LATE
        and (each.state is OneOffState.STARTING or each.stopping or each.id not in running)
    ]
    await context.queue.ring(queue.one_off(each.id) for each in alone)
    for one_off_id in running.keys() - known.keys():
        log.warning("one-off dyno that nobody wants is ended", app=running[one_off_id], id=one_off_id)
        await _platform(context, driver).forget_one_off(running[one_off_id], one_off_id)


async def attach(context: Context, session: str, one_off_id: str) -> None:
    """Join a person with what runs for them, until either goes."""
    settings = context.settings
    try:
        async with attachments.answer(settings.redis, session, seconds=settings.lease_seconds) as channel:
            ends = await channel.hold(_serve(context, channel, one_off_id))
    except Gone:
        return
    for end in ends:
        if isinstance(end, Exception) and not isinstance(end, Gone | ConnectionError):
            raise end


async def _serve(context: Context, channel: Channel, one_off_id: str) -> None:
    try:
        async with asyncio.timeout(_START_SECONDS):
            line = await _line(context, one_off_id)
    except (Refused, Transient) as trouble:
        await _say_last(channel, trouble.message)
        return
    except TimeoutError:
        await _say_last(channel, f"It did not start within {_START_SECONDS:.0f} s.")
        return
    up = asyncio.create_task(_up(channel, line))
    try:
        await _down(channel, line)
    finally:
        up.cancel()
        await asyncio.gather(up, return_exceptions=True)
        await line.close()


async def _say_last(channel: Channel, words: str) -> None:
    await channel.send(b"l" + words.encode())
    await channel.drain()


async def _line(context: Context, one_off_id: str) -> Line:
    """Wait until it runs; raises `Refused` with the reason when it never will."""
    looks = iter(_LOOKS)
    while True:
        found = await context.db.read(lambda conn: one_offs.get(conn, one_off_id))
        if found is None or not found.is_open:
            raise Refused(f"It has ended: {found.reason}." if found and found.reason else "It has ended.")
        if found.state is OneOffState.UP:
            driver = await context.db.read(partial(_driver, found))
            return await _platform(context, driver).line(found.app_id, found.id)
        await asyncio.sleep(next(looks, _LOOKS[-1]))


async def _up(channel: Channel, line: Line) -> None:
    while True:
        await line.send(await channel.receive())


async def _down(channel: Channel, line: Line) -> None:
    """All that it says; at last its exit code, or that there is none to come. Stay until that was taken."""
    message = b""
    while (said := await line.receive()) is not None:
        await channel.send(message := said)
    if not message.startswith(b"x"):
        await channel.send(b"lIt was hung up.")
    await channel.drain()
