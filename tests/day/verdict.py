"""What must be true when the day is over, compared with what people did: never with what Towpath says of itself."""

from dataclasses import dataclass

from tests.day.people import Team
from tests.walk.stage import Pipeline, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is wrong, by kind."""

    orphans: tuple[str, ...]
    wrong: tuple[str, ...]
    pending: tuple[str, ...]

    @property
    def good(self) -> bool:
        """Whether nothing is."""
        return not (self.orphans or self.wrong or self.pending)


async def judged(team: Team) -> Verdict:
    """Look at everything once."""
    stage = team.stage
    wanted = {await _app_of(stage, pipeline, number) for pipeline, number in team.open}
    there = {each["name"] for each in await stage.api("GET", "/apps")}
    kept = {name for pipeline in team.pipelines for name in (pipeline.staging, pipeline.production)}
    orphans = sorted(f"{name} is there" for name in there - kept - wanted)
    return Verdict(
        orphans=tuple(orphans),
        wrong=(*await _serving(team), *await _history(team)),
        pending=(*await _unfinished(stage), *_unsettled(team)),
    )


async def _app_of(stage: Stage, pipeline: Pipeline, number: int) -> str:
    review = await stage.review(pipeline, number)
    return review["app"]["name"] if review and review["app"] else f"the review app of {pipeline.name} #{number}"


async def _serving(team: Team) -> list[str]:
    """Whether each app answers with the newest commit that it should have."""
    wanted = []
    for pipeline, number in team.open:
        head = team.stage.github.pull(pipeline.repo, number).head_sha
        wanted.append((await _app_of(team.stage, pipeline, number), head))
    wanted += [(each.staging, team.commits[each.repo.id, "master"][-1]) for each in team.pipelines]
    wrong = []
    for app, sha in wanted:
        seen = await team.stage.page(app)
        if f"commit={sha}" not in seen:
            wrong.append(f"{app} should serve {sha[:7]} but says {seen[:80]!r}")
    return wrong


async def _history(team: Team) -> list[str]:
    """Whether any app ever went back to an older commit, or staging took one that was red."""
    names = {each.name: each for each in team.pipelines}
    order = {sha: (key, at) for key, shas in team.commits.items() for at, sha in enumerate(shas)}
    wrong, last = [], dict[str, tuple[tuple[int, str], int]]()
    for app, stage_name, pipeline, sha in await team.stage.rows(
        "SELECT a.id, c.stage, p.name, r.commit_sha FROM releases r JOIN apps a ON a.id = r.app_id"
        " LEFT JOIN couplings c ON c.app_id = a.id LEFT JOIN pipelines p ON p.id = c.pipeline_id"
        " WHERE r.state = 'succeeded' AND r.commit_sha IS NOT NULL ORDER BY a.id, r.version"
    ):
        if sha not in order:
            wrong.append(f"{app} released {sha[:7]}, which nobody pushed")
            continue
        before = last.get(app)
        if before is not None and (before[0] != order[sha][0] or before[1] > order[sha][1]):
            wrong.append(f"{app} went from {before} to {order[sha]}")
        last[app] = order[sha]
        if stage_name == "staging" and pipeline in names and sha not in team.green:
            wrong.append(f"staging of {pipeline} released {sha[:7]}, which is red")
    return wrong


async def _unfinished(stage: Stage) -> list[str]:
    """Reports not written, work not done, webhooks not taken."""
    found = []
    for table, unfinished in (
        ("reports", "pending"),
        ("requests", "state IN ('queued', 'running')"),
        ("deliveries", "state = 'received'"),
    ):
        ((count,),) = await stage.rows(f"SELECT count(*) FROM {table} WHERE {unfinished}")  # noqa: S608
        if count:
            found.append(f"{count} {table} unfinished")
    return found


def _unsettled(team: Team) -> list[str]:
    """Checks that GitHub shows as under way."""
    return [
        f"the check of {run['head_sha'][:7]} is {run['status']}"
        for pipeline in team.pipelines
        for run in team.stage.github.reported(pipeline.repo)["check_runs"]
        if run["status"] != "completed"
    ]
