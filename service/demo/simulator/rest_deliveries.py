"""REST of what was sent to a webhook: our App's, or a repository's own."""

from datetime import timedelta

from service.demo.simulator.calls import Answer, Call, Problem, Route, not_found, whole
from service.demo.simulator.delivery import Delivery

# "You can view deliveries from the past 3 days" (GitHub docs, viewing webhook deliveries)
KEPT = timedelta(days=3)


def _listed(call: Call, deliveries: list[Delivery]) -> Answer:
    """Newest first, paged by cursor; `status=failure` knows only HTTP errors, not time-outs."""
    query = call.request.query
    size = min(100, max(1, whole(query.get("per_page"), 30)))
    found = sorted(deliveries, key=lambda one: -one.id)
    match query.get("status"):
        case "failure":
            found = [one for one in found if 400 <= one.status_code <= 599]
        case "success":
            found = [one for one in found if 200 <= one.status_code <= 399]
        case _:
            pass
    if cursor := query.get("cursor"):
        if not cursor.isdigit():
            raise Problem(400, "Bad cursor")
        found = [one for one in found if one.id <= int(cursor)]
    headers = {}
    if len(found) > size:
        more = call.request.rel_url.update_query(cursor=str(found[size].id))
        headers["Link"] = f'<{call.sim.url}{more.raw_path_qs}>; rel="next"'
    return Answer(body=[one.item() for one in found[:size]], headers=headers)


def _shown(call: Call, deliveries: list[Delivery]) -> Delivery:
    number = call.number("delivery_id")
    found = next((one for one in deliveries if one.id == number), None)
    if found is None:
        raise Problem(422, "Delivery not found")
    return found


def _kept(call: Call) -> list[Delivery]:
    return [one for one in call.sim.deliveries if call.sim.now() - one.delivered_at <= KEPT]


def _of_app(call: Call) -> list[Delivery]:
    return [one for one in _kept(call) if one.hook is None]


async def list_deliveries(call: Call) -> Answer:
    """What was sent to our App's hook."""
    return _listed(call, _of_app(call))


async def get_delivery(call: Call) -> Answer:
    """One delivery with what was sent and answered."""
    return Answer(body=_shown(call, _of_app(call)).whole(call.sim.webhook_url))


async def redeliver(call: Call) -> Answer:
    """Send again, with the same GUID."""
    call.sim.sender.redeliver(_shown(call, _of_app(call)).id)
    return Answer(status=202, body={})


def _of_hook(call: Call) -> list[Delivery]:
    """A repository's hook is shown to its administrators only."""
    person, hook = call.caller.account, call.repo.hook
    if person is not None and call.repo.permission(person.login) != "admin":
        raise not_found()
    if hook is None or hook.id != call.number("hook_id"):
        raise not_found()
    return [one for one in _kept(call) if one.hook is hook]


async def list_hook_deliveries(call: Call) -> Answer:
    """What was sent to a repository's hook."""
    return _listed(call, _of_hook(call))


async def get_hook_delivery(call: Call) -> Answer:
    """One delivery to a repository's hook with what was sent and answered."""
    one = _shown(call, _of_hook(call))
    return Answer(body=one.whole(one.hook.url if one.hook else ""))


async def redeliver_to_hook(call: Call) -> Answer:
    """Send to a repository's hook again, with the same GUID."""
    call.sim.sender.redeliver(_shown(call, _of_hook(call)).id)
    return Answer(status=202, body={})


_APP = "/app/hook/deliveries"
_HOOK = "/repos/{owner}/{repo}/hooks/{hook_id}/deliveries"
ROUTES = (
    Route("GET", _APP, list_deliveries, "app"),
    Route("GET", _APP + "/{delivery_id}", get_delivery, "app"),
    Route("POST", _APP + "/{delivery_id}/attempts", redeliver, "app"),
    Route("GET", _HOOK, list_hook_deliveries, "repository_hooks:read"),
    Route("GET", _HOOK + "/{delivery_id}", get_hook_delivery, "repository_hooks:read"),
    Route("POST", _HOOK + "/{delivery_id}/attempts", redeliver_to_hook, "repository_hooks:write"),
)
