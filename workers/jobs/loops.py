"""The loops that make lost rings, lost webhooks and lost processes harmless; each runs in one worker at a time.

They only find what is due and ring for it: the jobs do the work, as if a webhook had come.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import structlog
from sqlalchemy import Connection

from service import queue
from service.domain.decisions import Restart
from service.domain.errors import Refused, Transient
from service.domain.model import App, ReleaseId, Repository
from service.domain.webhooks import KEPT_FOR
from service.enact import Transaction
from service.queue import DOORS, SHORT_QUEUE, Ring
from service.store import (
    apps,
    commands,
    deliveries,
    facts,
    idempotency,
    leases,
    one_offs,
    outbound,
    pushers,
    quotas,
    reports,
    repositories,
    requests,
    routes,
    sessions,
    setups,
    subjects,
    tokens,
    webhooks,
)
from service.store.apps import Served
from service.store.leases import LeaseTerms
from service.store.quotas import Left
from service.store.routes import Route
from workers.context import Context
from workers.jobs.one_off import mind_one_offs
from workers.jobs.orphans import mind_orphans
from workers.jobs.overdue import mind_clock
from workers.jobs.recheck import recheck
from workers.jobs.retention import KEEP_DAYS, in_parts, retain
from workers.jobs.survey import begin_audit
from workers.platforms.base import Fence, Fenced, Instance, InstanceState, Platform

log = structlog.get_logger()

LIMIT = 200
UP: Final = "up"
CRASHED: Final = "crashed"
MISSING: Final = "starting"  # what people are shown until they are back
Seen = Mapping[str, Sequence[Instance]]
PART: Final = 1000
AUDIT_ROUNDS: Final = 10
"""How often in an audit's period it is looked whose turn it is."""
_JITTER: Final = 0.2


async def every(context: Context, name: str, seconds: float, once: Callable[[Context], Awaitable[None]]) -> None:
    """Run `once` every so many seconds wherever the lease is, for ever; a failure is logged and tried again.

    The lease is shorter than a long pause between rounds: when a worker dies, another need not wait out the pause.
    """
    terms = LeaseTerms(holder=context.terms.holder, seconds=min(context.terms.seconds, 3 * seconds))
    clock, next_at = asyncio.get_running_loop().time, 0.0
    try:
        while True:
            mine = False
            try:
                mine = await context.db.write(lambda conn: leases.take(conn, f"loop:{name}", terms=terms))
                if mine and clock() >= next_at:
                    next_at = clock() + seconds
                    await once(context)
            except Exception:  # a loop must outlive whatever goes wrong in one of its rounds
                log.exception("loop failed", loop=name)
            pause = terms.seconds / 3
            await asyncio.sleep(min(pause, max(next_at - clock(), 0.01)) if mine else pause)
    finally:
        returned = context.db.write(lambda conn: leases.give_back(conn, f"loop:{name}", holder=terms.holder))
        await asyncio.shield(returned)


async def due(context: Context) -> None:
    """Ring for everything in the database that is due and that nobody is at, no more than can be heard soon."""
    now, terms = context.db.now(), context.terms
    waiting = {each: await context.queue.waiting(each) for each in DOORS}
    # A ring stands for several deliveries: in a flood of them, those that are open longest are in rings that wait.
    unheard = max(0, LIMIT - waiting[SHORT_QUEUE] * queue.DELIVERIES_OF_A_RING)

    def find(conn: Connection) -> list[Ring]:
        rings = [queue.work(each) for each in requests.ready(conn, terms=terms, now=now, cap=context.work_cap)]
        if reports.lanes(conn, now=now):
            rings.append(queue.REPORT)
        rings += [queue.reconcile(each) for each in subjects.due(conn, terms=terms, now=now, limit=LIMIT)]
        rings += queue.react(deliveries.open_guids(conn, limit=unheard, now=now))
        rings += [queue.deliver(each) for each in webhooks.due(conn, now=now, limit=LIMIT)]
        rings += [queue.look(each) for each in facts.due_looks(conn, terms=terms, now=now, limit=LIMIT)]
        return rings

    found = await context.db.read(find)
    for each, unheard_rings in waiting.items():
        await context.queue.ring([ring for ring in found if ring.queue == each][: max(0, LIMIT - unheard_rings)])


async def observe(context: Context) -> None:
    """Compare what the engines run with what the database wants; after a crash the database wins."""
    since = context.db.now()
    seen: dict[str, list[Instance]] = {}
    for driver, platform in context.platforms.items():
        found = await platform.observe()
        for instance in found:
            seen.setdefault(instance.app_id, []).append(instance)
        await _clear_gone(context, platform, {each.app_id for each in found})
        await mind_orphans(context, driver, platform, found)
        await mind_one_offs(context, driver, found)

    def differing(conn: Connection) -> list[str]:
        routed = {route.app_id: route for route in routes.load(conn)}
        findings = {each.app.id: _find(each, routed.get(each.app.id), seen, since) for each in apps.served(conn)}
        return [app_id for app_id, finding in findings.items() if finding is not None]

    for app_id in await context.db.read(differing):
        await context.commit(partial(_compare, app_id=app_id, seen=seen, since=since))
    await context.queue.routes_changed()


async def _clear_gone(context: Context, platform: Platform, running: set[str]) -> None:
    """Take away what runs of an app that is gone. One that nobody knows is an orphan, which people decide on."""
    for app in await context.db.read(lambda conn: apps.gone_among(conn, running)):
        log.warning("app runs although it is gone", app=app.id)
        try:
            await platform.remove(app.id, fence=Fence(generation=app.generation + 1, token=0))
        except (Fenced, Refused, Transient) as error:  # tried again in the next round; the others are not to wait
            log.warning("app that is gone still runs", app=app.id, error=str(error))


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Where an app is not as it was or should be: what its processes do now, and the route that follows from it."""

    state: str
    route: Route | None


def _find(served: Served, route: Route | None, seen: Seen, since: datetime) -> Finding | None:
    """None if nothing has to be done about the app, or if what was seen is older than what was done to it."""
    app = served.app
    if app.updated_at >= since:
        return None
    ours = [each for each in seen.get(app.id, ()) if each.release_id == served.engine_id and not each.one_off]
    state, wanted = _state_of(app, ours), route
    up = tuple(each.endpoint.address for each in ours if each.endpoint and _is_web(each) and _is_up(each))
    if route is not None and not app.maintenance and app.formation.get("web", 0) and (up or state == CRASHED):
        shown = "crashed" if state == CRASHED else "live"
        wanted = replace(route, state=shown, endpoints=up, release_id=ReleaseId(served.engine_id))
    if (state, wanted) == (served.engine_state, route) and state != MISSING:
        return None
    return Finding(state=state, route=wanted)


def _compare(tx: Transaction, *, app_id: str, seen: Seen, since: datetime) -> None:
    for served in apps.served(tx.conn, app_id):
        app, finding = served.app, _find(served, routes.of_app(tx.conn, app_id), seen, since)
        if finding is None:
            continue
        if finding.state != served.engine_state:
            apps.update(tx.conn, app=app, now=tx.now, engine_state=finding.state)
            tx.note(f"processes {finding.state}", app_id=app.id)
            tx.show_release(str(app.current_release_id))
        elif finding.state == MISSING and not requests.open_of(tx.conn, app.id):
            # Seen twice: a runner that has only just come back may not have told of all it holds.
            tx.request(app.id, Restart(), reason="its processes are gone from the engine", by_person=False)
        if finding.route is not None:
            routes.keep(tx.conn, finding.route)


def _state_of(app: App, ours: Sequence[Instance]) -> str:
    web = [each for each in ours if _is_web(each)]
    if web and all(each.state is InstanceState.CRASHED for each in web):
        return CRASHED
    held = Counter(_type_of(each) for each in ours if each.state is not InstanceState.STOPPING)
    return UP if all(held[kind] >= quantity for kind, quantity in app.formation.items()) else MISSING


def _type_of(instance: Instance) -> str:
    return instance.process.partition(".")[0]


def _is_web(instance: Instance) -> bool:
    return _type_of(instance) == "web"


def _is_up(instance: Instance) -> bool:
    return instance.state is InstanceState.UP


async def clock(context: Context) -> None:
    """Look whether the machine's clock was set, so that nothing waits for that."""
    await context.commit(mind_clock)


async def audit(context: Context) -> None:
    """Ask GitHub, per repository, what is open and where the followed branches stand; not of all at the same moment."""
    period = timedelta(seconds=context.settings.audit_seconds)

    def begin(tx: Transaction) -> list[Repository]:
        late = repositories.due_for_audit(tx.conn, before=tx.now - period)
        begun = [repository for repository in late if not context.github.is_low(repository.installation_id)]
        begin_audit(tx, begun)
        began = {repository.id: tx.now - period * random.uniform(0, _JITTER) for repository in begun}  # noqa: S311
        repositories.audited(tx.conn, began)
        writable = [each.id for each in begun if each.accessible and not each.archived]
        if reports.retry_refused(tx.conn, writable, now=tx.now):
            tx.rings.append(queue.REPORT)
        return begun

    begun = await context.commit(begin)
    await note_quotas(context)
    await recheck(context, begun)


async def note_quotas(context: Context) -> None:
    """Keep what GitHub says is left of its hourly limits where people and alarms can read it."""
    heard = context.github.quotas()
    now = context.db.now()
    found = {
        each: Left(
            installation_id=each,
            granted=quota.limit,
            remaining=quota.remaining,
            resets_at=now + timedelta(seconds=quota.resets_in),
        )
        for each, quota in heard.items()
    }
    known = {each.installation_id: each.remaining for each in await context.db.read(quotas.listing)}
    changed = [left for each, left in found.items() if known.get(each) != left.remaining]
    if changed:
        await context.db.write(lambda conn: quotas.keep(conn, changed))


async def keep_house(context: Context) -> None:
    """Delete what is older than it is kept."""
    await in_parts(
        context, lambda tx: deliveries.delete_older(tx.conn, tx.now - deliveries.KEPT_FOR, most=PART), most=PART
    )
    await in_parts(context, lambda tx: outbound.forget(tx.conn, before=tx.now - KEPT_FOR, most=PART), most=PART)

    def forget(tx: Transaction) -> None:
        subjects.forget_settled(tx.conn, before=tx.now - deliveries.KEPT_FOR)
        facts.forget(tx.conn, before=tx.now - KEEP_DAYS)
        pushers.forget(tx.conn, before=tx.now - KEEP_DAYS)
        commands.forget(tx.conn, before=tx.now - KEEP_DAYS)
        one_offs.forget(tx.conn, before=tx.now - KEEP_DAYS)
        setups.forget(tx.conn, before=tx.now - deliveries.KEPT_FOR)
        idempotency.forget(tx.conn, now=tx.now)
        webhooks.forget(tx.conn, now=tx.now)
        tokens.forget(tx.conn, before=tx.now - KEEP_DAYS)
        sessions.forget(tx.conn, now=tx.now)

    await context.commit(forget)
    await retain(context)
