"""Having stored deliveries processed once more: single ones, those that failed, those since a time."""

from aiohttp import web

from service.domain.errors import Refused
from service.enacting.deliveries import Replayed
from service.web import rights
from service.web.api import answers, bodies
from service.web.api.insight import delivery_shape, names_by_id
from service.web.keys import CALLER, CONTEXT

_ONE_OF = "deliveries: name them by their ids, or say failed: true, since: a time with its zone, or both of these"


async def replay(request: web.Request) -> web.Response:
    """POST /delivery-replays: what is processed again takes the way of a new one; nothing is deployed twice by it."""
    context, actor = request.app[CONTEXT], request[CALLER].actor
    body = await bodies.parse(request, bodies.ReplayDeliveries)
    fitting = bool(body.failed) or body.since is not None
    if bool(body.deliveries) is fitting:
        raise Refused(_ONE_OF)
    done: Replayed
    if body.deliveries:
        done = await context.enactor.replay_deliveries(guids=body.deliveries, actor=actor)
    else:
        done = await context.enactor.replay_fitting_deliveries(failed=bool(body.failed), since=body.since, actor=actor)
    names = await context.db.read(names_by_id)
    shown = {"count": done.count, "deliveries": [delivery_shape(each, names) for each in done.deliveries]}
    return answers.answer(request, shown, status=202)


ROUTES = [rights.post("/delivery-replays", replay, rights.ADMIN)]
