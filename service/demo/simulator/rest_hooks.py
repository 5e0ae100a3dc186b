"""REST of a repository's own webhooks, for the mode without a GitHub App."""

from typing import Any

from service.demo.simulator import payloads
from service.demo.simulator.calls import Answer, Call, Problem, Route, invalid, not_found
from service.demo.simulator.state import RepositoryHook, stamp


def _shape(call: Call, hook: RepositoryHook) -> dict[str, Any]:
    url = f"{call.sim.api_url}/repos/{call.repo.full_name}/hooks/{hook.id}"
    config = {"content_type": hook.content_type, "insecure_ssl": hook.insecure_ssl, "url": hook.url}
    return {
        "type": "Repository",
        "id": hook.id,
        "name": "web",
        "active": hook.active,
        "events": list(hook.events),
        # "The secret ... is masked" (GitHub docs, Get a repository webhook)
        "config": config | ({"secret": "********"} if hook.secret else {}),
        "created_at": stamp(hook.created_at),
        "updated_at": stamp(hook.created_at),
        "url": url,
        "test_url": f"{url}/test",
        "ping_url": f"{url}/pings",
        "deliveries_url": f"{url}/deliveries",
        "last_response": {"code": hook.last_code, "status": hook.last_status, "message": hook.last_message},
    }


def _administrator(call: Call) -> None:
    """Of people only administrators see that there are webhooks."""
    account = call.caller.account
    if account is not None and call.repo.permission(account.login) != "admin":
        raise not_found()


def _hook(call: Call) -> RepositoryHook:
    _administrator(call)
    hook = call.repo.hook
    if hook is None or hook.id != call.number("hook_id"):
        raise not_found()
    return hook


async def list_hooks(call: Call) -> Answer:
    """The repository's webhooks: one at most here."""
    _administrator(call)
    return call.paged([_shape(call, hook) for hook in (call.repo.hook,) if hook is not None])


async def get_hook(call: Call) -> Answer:
    """One webhook, with what became of its last delivery."""
    return Answer(body=_shape(call, _hook(call)))


async def create_hook(call: Call) -> Answer:
    """Add the webhook; GitHub pings it at once."""
    _administrator(call)
    if call.repo.hook is not None:
        raise Problem(422, "Hook already exists on this repository")
    config = call.body.get("config", {})
    if not config.get("url"):
        raise invalid("Hook", "url")
    call.repo.hook = RepositoryHook(
        id=call.sim.next_id(), url=config["url"], secret=config.get("secret", ""),
        content_type=config.get("content_type", "form"), insecure_ssl=str(config.get("insecure_ssl", "0")),
        events=call.body.get("events", ["push"]), active=call.body.get("active", True), created_at=call.sim.now(),
    )  # fmt: skip
    _ping(call, call.repo.hook)
    return Answer(status=201, body=_shape(call, call.repo.hook))


async def ping_hook(call: Call) -> Answer:
    """Send a ping, whether the hook is active or not."""
    _ping(call, _hook(call))
    return Answer(status=204)


def _ping(call: Call, hook: RepositoryHook) -> None:
    body = payloads.hook_ping(_shape(call, hook))
    sender = call.caller.account or call.repo.owner
    payload = payloads.event(call.sim.site, body, sender=sender, repo=call.repo, installation=None)
    call.sim.sender.send("ping", payload, installation_id=None, repository_id=call.repo.id, hook=hook)


_HOOKS = "/repos/{owner}/{repo}/hooks"
ROUTES = (
    Route("GET", _HOOKS, list_hooks, "repository_hooks:read"),
    Route("POST", _HOOKS, create_hook, "repository_hooks:write"),
    Route("GET", _HOOKS + "/{hook_id}", get_hook, "repository_hooks:read"),
    Route("POST", _HOOKS + "/{hook_id}/pings", ping_hook, "repository_hooks:read"),
)
