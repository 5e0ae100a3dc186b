"""Start one process of an app anew, or those of one type in turn, while its others go on and take what came to it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from service.domain.errors import Refused
from service.domain.model import RequestState
from service.enact import Transaction, app_or_refuse
from service.store import apps, requests, routes, spaces
from service.store.requests import TakenWork
from workers.context import Context
from workers.jobs import fenced, settle
from workers.jobs.rollout import fence_of
from workers.platforms.base import Instance, InstanceState, Restarts

_DONE: Final = "restarted "


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    app_id: str
    processes: tuple[str, ...]
    engine_id: str
    driver: str


async def restart_some(context: Context, taken: TakenWork, process: str) -> None:
    """Lead visitors around it, restart it, and lead them back; one that does not come up is tried again as crashed.

    Of a type (`web` instead of `web.2`) one comes after the other, as long as each comes up; whoever takes the work
    over goes on behind the last that did.
    """
    plan = await fenced.commit(context, taken, lambda tx: _plan(tx, taken, process))
    platform = context.platforms[plan.driver]
    if not isinstance(platform, Restarts):
        raise Refused("The space of this app restarts no process alone: towpath ps:restart restarts all.")
    for each in plan.processes:
        await _restart(context, taken, plan, platform, each)
    await _lead(context, taken, plan, _addresses(_of(await platform.observe(), plan)))
    await settle.end(context, taken, state=RequestState.SUCCEEDED, outcome=taken.request.reason)


async def _restart(context: Context, taken: TakenWork, plan: _Plan, platform: Restarts, process: str) -> None:
    seen = await context.platforms[plan.driver].observe()
    others = [each for each in _of(seen, plan) if each.process != process]
    before = await _lead(context, taken, plan, _addresses(others))
    try:
        await platform.restart(plan.app_id, process, fence=fence_of(taken))
    except Exception:  # told as it is; until it is tried again the visitors have what they had
        await _lead(context, taken, plan, before)
        raise
    # Before the next one is led around: what this one stood aside for may be all that serves if that does not come up.
    await _lead(context, taken, plan, _addresses(_of(await context.platforms[plan.driver].observe(), plan)))
    await fenced.step(context, taken, f"{_DONE}{process}")


def _plan(tx: Transaction, taken: TakenWork, process: str) -> _Plan:
    app = app_or_refuse(tx.conn, taken.request.app_id)
    if app.current_release_id is None:
        raise Refused(f"{app.name} has no release yet")
    quantity = app.formation.get(process, int(process == "web"))
    wanted = [process] if "." in process else [f"{process}.{number}" for number in range(1, quantity + 1)]
    done = taken.step.removeprefix(_DONE)
    return _Plan(
        app_id=app.id,
        processes=tuple(wanted[wanted.index(done) + 1 :] if done in wanted else wanted),
        engine_id=apps.engine_id(app.current_release_id, requests.incarnation(tx.conn, app.id)),
        driver=spaces.driver_of(tx.conn, app.space_id),
    )


def _of(seen: Sequence[Instance], plan: _Plan) -> list[Instance]:
    mine = [each for each in seen if each.app_id == plan.app_id and each.release_id == plan.engine_id]
    return [each for each in mine if each.state is InstanceState.UP and not each.one_off]


def _addresses(serving: Sequence[Instance]) -> tuple[str, ...]:
    return tuple(each.endpoint.address for each in serving if each.endpoint)


async def _lead(context: Context, taken: TakenWork, plan: _Plan, addresses: tuple[str, ...]) -> tuple[str, ...]:
    """Route the app's visitors there, if they were routed to any; where they were routed before.

    Where nothing is up they stay where they are: the router waits a while for a process that is on its way, and what
    was routed nowhere would be taken for what is not to be routed.
    """

    def lead(tx: Transaction) -> tuple[str, ...]:
        route = routes.of_app(tx.conn, plan.app_id)
        if route is None or not route.endpoints:
            return ()
        if addresses:
            routes.keep(tx.conn, replace(route, endpoints=addresses))
        return route.endpoints

    before = await fenced.commit(context, taken, lead)
    await context.queue.routes_changed()
    return before
