"""REST of commit statuses, check runs and check suites, with GitHub's limits."""

from datetime import datetime
from typing import Any

from service.demo.simulator import shapes, shapes_checks
from service.demo.simulator.calls import Answer, Call, Problem, Route, forbidden, invalid, not_found
from service.demo.simulator.git_store import ZERO
from service.demo.simulator.state import CheckRun, Repository, Status

CONCLUSIONS = {"action_required", "cancelled", "failure", "neutral", "success", "skipped", "timed_out"}


async def create_status(call: Call) -> Answer:
    """Set a status, as GitHub limits it."""
    body, repo = call.body, call.repo
    sha = call.word("sha")
    if sha == ZERO or await call.sim.git.resolve(repo.id, sha) != sha:
        raise Problem(422, f"No commit found for SHA: {sha}")
    if body.get("state") not in {"error", "failure", "pending", "success"}:
        raise invalid("Status", "state", code="invalid")
    description, target = body.get("description"), body.get("target_url")
    if description is not None and len(description) > 140:
        raise invalid("Status", "description", "description is too long (maximum is 140 characters)")
    if target and not target.startswith(("http://", "https://")):
        raise invalid("Status", "target_url", "target_url must use http(s) scheme")
    context = body.get("context", "default")
    same = [one for one in repo.statuses if one.sha == sha and one.context.lower() == context.lower()]
    if len(same) >= 1000:
        # "there is a limit of 1000 statuses per sha and context" (GitHub docs, create a commit status)
        raise invalid("Status", "context", "This SHA and context has reached the maximum number of statuses.")
    made = await call.sim.set_status(
        repo, sha, body["state"], context=context, description=description, target_url=target, by=call.author
    )
    return Answer(status=201, body=shapes_checks.status(call.sim.site, repo, made))


def latest_statuses(repo: Repository, sha: str) -> list[Status]:
    """The newest status of each context; contexts differ only by more than case."""
    found = {one.context.lower(): one for one in repo.statuses if one.sha == sha}
    return list(found.values())


def combined_state(statuses: list[Status]) -> str:
    """Failure beats pending beats success; nothing at all is pending, too."""
    states = {one.state for one in statuses}
    if states & {"error", "failure"}:
        return "failure"
    return "success" if states == {"success"} else "pending"


async def get_combined_status(call: Call) -> Answer:
    """All contexts of a commit in one."""
    sim, repo = call.sim, call.repo
    sha = await call.commit(call.word("ref"))
    found = latest_statuses(repo, sha)
    shown = [shapes_checks.status(sim.site, repo, one, creator=False) for one in found]
    url = f"{sim.api_url}/repos/{repo.full_name}/commits/{sha}"
    return call.paged(
        shown, "statuses", state=combined_state(found), sha=sha, repository=shapes.repository(sim.site, repo),
        commit_url=url, url=f"{url}/status",
    )  # fmt: skip


async def list_statuses(call: Call) -> Answer:
    """Every status of a commit, newest first."""
    sha = await call.commit(call.word("ref"))
    found = [one for one in reversed(call.repo.statuses) if one.sha == sha]
    return call.paged([shapes_checks.status(call.sim.site, call.repo, one) for one in found])


# Checks ------------------------------------------------------------------------------------------


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _check_actions(actions: list[dict[str, str]]) -> None:
    """At most three buttons, with short texts."""
    limits = {"label": 20, "description": 40, "identifier": 20}
    if len(actions) > 3:
        raise invalid("CheckRun", "actions", "Only 3 actions are allowed")
    if any(len(action.get(name, "")) > limit for action in actions for name, limit in limits.items()):
        raise invalid("CheckRun", "actions", "label and identifier hold 20, description 40 characters")


def _check_output(output: dict[str, Any] | None) -> None:
    """A summary at least; texts and annotations have a limit a request."""
    if output is None:
        return
    if "summary" not in output:
        raise invalid("CheckRun", "output", "summary wasn't supplied", "missing_field")
    if any(len(output.get(name) or "") > 65535 for name in ("summary", "text")):
        raise invalid("CheckRun", "output", "Only 65535 characters are allowed")
    if len(output.get("annotations", [])) > 50:
        raise invalid("CheckRun", "output", "Only 50 annotations are allowed a request")


def _run_fields(body: dict[str, Any]) -> dict[str, Any]:
    """The changes a body asks for; raises for what GitHub refuses."""
    conclusion, actions, output = body.get("conclusion"), body.get("actions"), body.get("output")
    if conclusion is not None and conclusion not in CONCLUSIONS:
        raise invalid("CheckRun", "conclusion", code="invalid")
    if body.get("status") == "completed" and conclusion is None:
        raise Problem(422, 'Invalid request.\n\nNo subschema in "anyOf" matched.\nMissing required key "conclusion".')
    if body.get("status", "queued") not in {"queued", "in_progress", "completed"}:
        raise invalid("CheckRun", "status", code="invalid")
    _check_actions(actions or [])
    _check_output(output)
    fields = {name: body.get(name) for name in ("name", "status", "conclusion", "external_id", "details_url")}
    times = {name: _time(body[name]) for name in ("started_at", "completed_at") if name in body}
    return fields | times | {"output": output, "actions": actions}


async def create_check_run(call: Call) -> Answer:
    """Make a check run; only Apps may."""
    if call.caller.account is not None:
        raise Problem(403, "You must authenticate via a GitHub App.")
    body, sha = call.body, call.body.get("head_sha", "")
    if not body.get("name"):
        raise invalid("CheckRun", "name", code="missing_field")
    if await call.sim.git.resolve(call.repo.id, sha) != sha:
        raise Problem(422, f"No commit found for SHA: {sha}")
    fields = {name: value for name, value in _run_fields(body).items() if name != "name"}
    made = await call.sim.create_check_run(
        call.repo, sha, body["name"], app=call.sim.app,
        status=fields.pop("status") or "queued", conclusion=fields.pop("conclusion"), **fields,
    )  # fmt: skip
    return Answer(status=201, body=shapes_checks.check_run(call.sim.site, call.repo, made))


def _run(call: Call) -> CheckRun:
    run = call.repo.runs.get(call.number("check_run_id"))
    if run is None:
        raise not_found()
    return run


async def get_check_run(call: Call) -> Answer:
    """One check run."""
    return Answer(body=shapes_checks.check_run(call.sim.site, call.repo, _run(call)))


async def update_check_run(call: Call) -> Answer:
    """Change one of our own check runs."""
    run = _run(call)
    if call.caller.account is not None or run.suite.app is not call.sim.app:
        raise forbidden()
    made = await call.sim.update_check_run(call.repo, run.id, **_run_fields(call.body))
    return Answer(body=shapes_checks.check_run(call.sim.site, call.repo, made))


async def list_check_runs(call: Call) -> Answer:
    """Check runs of a commit; of several with one name in a suite the latest, unless `filter=all`."""
    query, sha = call.request.query, await call.commit(call.word("ref"))
    runs = [run for run in call.repo.runs.values() if run.suite.sha == sha]
    if query.get("filter", "latest") == "latest":
        runs = list({(run.suite.id, run.name): run for run in runs}.values())
    found = [
        run
        for run in reversed(runs)
        if query.get("app_id") in {None, str(run.suite.app.id)}
        and query.get("check_name") in {None, run.name}
        and query.get("status") in {None, run.status}
    ]
    return call.paged([shapes_checks.check_run(call.sim.site, call.repo, run) for run in found], "check_runs")


async def list_check_suites(call: Call) -> Answer:
    """Check suites of a commit, those of idle Apps too."""
    query, sha = call.request.query, await call.commit(call.word("ref"))
    commit = await call.sim.git.read(call.repo.id, sha)
    names = {suite.id: {run.name for run in call.repo.runs.values() if run.suite is suite}
             for suite in call.repo.suites.values() if suite.sha == sha}  # fmt: skip
    found = [
        suite
        for suite in call.repo.suites.values()
        if suite.id in names
        and query.get("app_id") in {None, str(suite.app.id)}
        and ("check_name" not in query or query["check_name"] in names[suite.id])
    ]
    shown = []
    for suite in found:
        repository = shapes.repository(call.sim.site, call.repo)
        shown.append(shapes_checks.check_suite(call.sim.site, call.repo, suite, commit) | {"repository": repository})
    return call.paged(shown, "check_suites")


R = "/repos/{owner}/{repo}"
ROUTES = (
    Route("POST", R + "/statuses/{sha}", create_status, "statuses:write"),
    Route("GET", R + "/commits/{ref:.+}/status", get_combined_status, "statuses"),
    Route("GET", R + "/commits/{ref:.+}/statuses", list_statuses, "statuses"),
    Route("POST", R + "/check-runs", create_check_run, "checks:write"),
    Route("GET", R + "/check-runs/{check_run_id}", get_check_run, "checks"),
    Route("PATCH", R + "/check-runs/{check_run_id}", update_check_run, "checks:write"),
    Route("GET", R + "/commits/{ref:.+}/check-runs", list_check_runs, "checks"),
    Route("GET", R + "/commits/{ref:.+}/check-suites", list_check_suites, "checks"),
)
