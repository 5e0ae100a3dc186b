"""REST of GitHub's deployments, with the defaults that surprise: auto_merge and required_contexts."""

from typing import Any

from service.demo.simulator import shapes_work
from service.demo.simulator.calls import Answer, Call, Problem, Route, invalid, not_found
from service.demo.simulator.rest_signals import latest_statuses
from service.demo.simulator.state import Deployment, DeploymentStatus, Repository

STATES = {"error", "failure", "inactive", "in_progress", "queued", "pending", "success"}


async def create_deployment(call: Call) -> Answer:
    """Make a deployment, or merge the default branch first, or refuse for lack of green contexts."""
    body, repo, ref = call.body, call.repo, call.body.get("ref")
    if not isinstance(ref, str) or not ref:
        raise invalid("Deployment", "ref", code="missing_field")
    sha = await call.commit(ref, problem=Problem(422, f"No ref found for: {ref}"))
    if len(body.get("description") or "") > 140:
        raise invalid("Deployment", "description", "description is too long (maximum is 140 characters)")
    if body.get("auto_merge", True):
        merged = await _auto_merge(call, ref, sha)
        if merged is not None:
            return merged
    _require_contexts(repo, sha, ref, body.get("required_contexts"))
    # "Default: production" (GitHub docs, create a deployment); the environment object appears with it.
    environment = body.get("environment", "production")
    repo.environments.add(environment)
    made = Deployment(
        id=call.sim.next_id(), sha=sha, ref=ref, task=body.get("task", "deploy"), environment=environment,
        description=body.get("description"), payload=body.get("payload", {}),
        transient=body.get("transient_environment", False),
        production=body.get("production_environment", environment == "production"),
        creator=call.author, by_app=None if call.caller.account else call.sim.app, created_at=call.sim.now(),
    )  # fmt: skip
    repo.deployments[made.id] = made
    return Answer(status=201, body=shapes_work.deployment(call.sim.site, repo, made))


async def _auto_merge(call: Call, ref: str, sha: str) -> Answer | None:
    """`auto_merge`, by default true: brings the branch up to date, and then there is no deployment yet."""
    sim, repo = call.sim, call.repo
    async with sim.lock(repo):
        branches = await sim.git.branches(repo.id)
        base = branches.get(repo.default_branch)
        if ref not in branches or ref == repo.default_branch or base is None:
            return None
        if await sim.git.merge_base(repo.id, base, sha) == base:
            return None
        message = f"Merge branch '{repo.default_branch}' into {ref}"
        merged = await sim.git.merge(repo.id, base=sha, head=base, message=message, when=sim.now())
        if merged is None:
            raise Problem(409, f"Conflict merging {repo.default_branch} into {ref}.")
        await sim.git.point(repo.id, f"refs/heads/{ref}", merged)
        await sim.pushed(repo, f"refs/heads/{ref}", sha, merged, call.author)
    return Answer(status=202, body={"message": f"Auto-merged {repo.default_branch} into {ref} on deployment."})


def _require_contexts(repo: Repository, sha: str, ref: str, required: list[str] | None) -> None:
    """`required_contexts`, by default all there are, check runs included; skipped is not success."""
    states = {one.context: one.state for one in latest_statuses(repo, sha)}
    runs = [run for run in repo.runs.values() if run.suite.sha == sha]
    states |= {run.name: run.conclusion or "pending" for run in runs}
    wanted = list(states) if required is None else required
    bad = [{"context": name, "state": states.get(name, "missing")} for name in wanted if states.get(name) != "success"]
    if bad:
        error: dict[str, Any] = {
            "contexts": bad, "resource": "Deployment", "field": "required_contexts", "code": "invalid",
        }  # fmt: skip
        raise Problem(409, f"Conflict: Commit status checks failed for {ref}.", errors=[error])


def _deployment(call: Call) -> Deployment:
    one = call.repo.deployments.get(call.number("deployment_id"))
    if one is None:
        raise not_found()
    return one


async def list_deployments(call: Call) -> Answer:
    """Deployments, newest first, by sha, ref, task, environment."""
    asked = {name: call.request.query.get(name) for name in ("sha", "ref", "task", "environment")}
    found = [
        one
        for one in reversed(call.repo.deployments.values())
        if all(value in {None, "none", getattr(one, name)} for name, value in asked.items())
    ]
    return call.paged([shapes_work.deployment(call.sim.site, call.repo, one) for one in found])


async def get_deployment(call: Call) -> Answer:
    """One deployment."""
    return Answer(body=shapes_work.deployment(call.sim.site, call.repo, _deployment(call)))


async def delete_deployment(call: Call) -> Answer:
    """Remove a deployment that is inactive, or the only one."""
    one = _deployment(call)
    others = [other for other in call.repo.deployments.values() if other.environment == one.environment]
    if one.state != "inactive" and len(others) > 1:
        raise Problem(
            422, "We cannot delete an active deployment unless it is the only deployment in a given environment."
        )
    del call.repo.deployments[one.id]
    return Answer(status=204)


async def create_deployment_status(call: Call) -> Answer:
    """Give a deployment a state; a success retires earlier ones of its environment."""
    parent, body = _deployment(call), call.body
    if body.get("state") not in STATES:
        raise invalid("DeploymentStatus", "state", code="invalid")
    if len(body.get("description") or "") > 140:
        raise invalid("DeploymentStatus", "description", "description is too long (maximum is 140 characters)")
    log_url = body.get("log_url") or body.get("target_url") or ""
    for name, url in (("log_url", log_url), ("environment_url", body.get("environment_url") or "")):
        if url and not url.startswith(("http://", "https://")):
            raise invalid("DeploymentStatus", name, f"{name} must use http(s) scheme")
    environment = body.get("environment") or parent.environment
    call.repo.environments.add(environment)
    made = _state(call, body["state"], body.get("description") or "", environment,
                  body.get("environment_url") or "", log_url)  # fmt: skip
    parent.statuses.append(made)
    parent.environment = environment
    if made.state == "success" and body.get("auto_inactive", True):
        _retire_others(call, parent)
    return Answer(status=201, body=shapes_work.deployment_status(call.sim.site, call.repo, parent, made))


def _state(call: Call, state: str, description: str, environment: str, url: str, log_url: str) -> DeploymentStatus:
    return DeploymentStatus(
        id=call.sim.next_id(), state=state, description=description, environment=environment, environment_url=url,
        log_url=log_url, creator=call.author, created_at=call.sim.now(),
    )  # fmt: skip


def _retire_others(call: Call, newest: Deployment) -> None:
    """`auto_inactive`: "all prior non-transient, non-production environment deployments ... become inactive"."""
    for one in call.repo.deployments.values():
        same = one.environment == newest.environment and one.id < newest.id
        if same and one.state == "success" and not one.transient and not one.production:
            one.statuses.append(_state(call, "inactive", "", one.environment, "", ""))


async def list_deployment_statuses(call: Call) -> Answer:
    """The states of a deployment, newest first."""
    parent = _deployment(call)
    return call.paged(
        [shapes_work.deployment_status(call.sim.site, call.repo, parent, one) for one in reversed(parent.statuses)]
    )


R = "/repos/{owner}/{repo}/deployments"
ROUTES = (
    Route("GET", R, list_deployments, "deployments"),
    Route("POST", R, create_deployment, "deployments:write"),
    Route("GET", R + "/{deployment_id}", get_deployment, "deployments"),
    Route("DELETE", R + "/{deployment_id}", delete_deployment, "deployments:write"),
    Route("GET", R + "/{deployment_id}/statuses", list_deployment_statuses, "deployments"),
    Route("POST", R + "/{deployment_id}/statuses", create_deployment_status, "deployments:write"),
)
