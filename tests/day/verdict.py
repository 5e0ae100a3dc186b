"""What must be true when the day is over: of the machine and of GitHub, compared with what people did there."""

from collections import Counter
from dataclasses import dataclass

from tests.day import engine
from tests.day.people import Team
from tests.walk.stage import Pipeline, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is wrong, by kind."""

    orphans: tuple[str, ...]
    wrong: tuple[str, ...]
    pending: tuple[str, ...]
    refused: tuple[str, ...]

    @property
    def good(self) -> bool:
        """Whether nothing is."""
        return not (self.orphans or self.wrong or self.pending or self.refused)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An app that GitHub's state asks for, and the commit that it is to serve. `id` is empty where there is no app."""

    pipeline: Pipeline
    name: str
    id: str
    sha: str


async def judged(team: Team) -> Verdict:
    """Look at everything once."""
    wanted = await _wanted(team)
    return Verdict(
        orphans=tuple(await _orphans(team, wanted)),
        wrong=(*await _serving(team.stage, wanted), *await _history(team), *_believed_open(team)),
        pending=(*await _unfinished(team.stage), *_unsettled(team), *_untold(team.stage, wanted)),
        refused=tuple(await _refused(team.stage)),
    )


async def _wanted(team: Team) -> list[Wanted]:
    """A review app for each pull request that is open on GitHub, and staging at each default branch's head."""
    stage = team.stage
    ids = {name: app_id for app_id, name in await stage.rows("SELECT id, name FROM apps WHERE state <> 'gone'")}
    reviewed = {
        (repository, ref): (app_id, name)
        for repository, ref, app_id, name in await stage.rows(
            "SELECT r.repository_id, r.ref, a.id, a.name FROM review_apps r JOIN apps a ON a.id = r.app_id"
            " WHERE r.state NOT IN ('destroyed', 'skipped') AND a.state <> 'gone'"
        )
    }
    wanted = []
    for pipeline in team.pipelines:
        for pull in pipeline.repo.pulls.values():
            if pull.state == "open":
                nothing = ("", f"the review app of {pipeline.name} #{pull.number}")
                app_id, name = reviewed.get((pipeline.repo.id, f"pr:{pull.number}"), nothing)
                wanted.append(Wanted(pipeline=pipeline, name=name, id=app_id, sha=pull.head_sha))
        head = (await stage.github.git.branches(pipeline.repo.id))["master"]
        staging = pipeline.staging
        wanted.append(Wanted(pipeline=pipeline, name=staging, id=ids.get(staging, ""), sha=head))
    return wanted


async def _orphans(team: Team, wanted: list[Wanted]) -> list[str]:
    """What the machine has, serves or lists of apps that nothing on GitHub asks for."""
    stage = team.stage
    production = {each.production for each in team.pipelines}
    names: dict[str, str] = dict(await stage.rows("SELECT id, name FROM apps"))
    kept = {each.id for each in wanted} | {app_id for app_id, name in names.items() if name in production}
    found = await engine.seen(stage.data)
    orphans = [
        f"{names.get(app_id, app_id)}: {each}" for app_id, what in found.items() if app_id not in kept for each in what
    ]
    asked_for = {each.name for each in wanted} | production
    listed = {each["name"] for each in await stage.api("GET", "/apps")}
    orphans += [f"{name} is listed" for name in sorted(listed - asked_for)]
    for (name,) in await stage.rows("SELECT name FROM names ORDER BY name"):
        if name not in asked_for and not (page := await stage.page(name)).startswith("HTTP 404"):
            orphans.append(f"{name} answers {page[:80]!r}")
    return orphans


async def _serving(stage: Stage, wanted: list[Wanted]) -> list[str]:
    """Whether each app answers with the commit that is its head on GitHub."""
    wrong = []
    for each in wanted:
        seen = await stage.page(each.name) if each.id else "nothing: there is none"
        if f"commit={each.sha}" not in seen:
            wrong.append(f"{each.name} should serve {each.sha[:7]} but says {seen[:80]!r}")
    return wrong


def _believed_open(team: Team) -> list[str]:
    """Whether GitHub has open what people left open: else the day was another than the one that was played."""
    left = {(pipeline.name, number) for pipeline, number in team.open}
    open_ = {
        (pipeline.name, pull.number)
        for pipeline in team.pipelines
        for pull in pipeline.repo.pulls.values()
        if pull.state == "open"
    }
    return [f"{name} #{number} is open for people or for GitHub alone" for name, number in sorted(left ^ open_)]


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


async def _refused(stage: Stage) -> list[str]:
    """Reports that were given up: nobody waits for them any more, and GitHub does not show what it should."""
    rows = await stage.rows("SELECT key, error FROM reports WHERE NOT pending AND shown_digest <> wanted_digest")
    return [f"{key}: {error or 'given up without a word'}" for key, error in rows]


def _unsettled(team: Team) -> list[str]:
    """Checks and deployments that GitHub shows as under way."""
    found = []
    for pipeline in team.pipelines:
        shown = team.stage.github.reported(pipeline.repo)
        found += [
            f"the check of {run['head_sha'][:7]} is {run['status']}"
            for run in shown["check_runs"]
            if run["status"] != "completed"
        ]
        found += [
            f"the deployment of {made['sha'][:7]} to {made['environment']} is {made['state']}"
            for made in shown["deployments"]
            if made["state"] in {"pending", "queued", "in_progress"}
        ]
    return found


def _untold(stage: Stage, wanted: list[Wanted]) -> list[str]:
    """Whether GitHub shows as served exactly what is: one deployment of each app, and a green check on its commit."""
    found = []
    expected = {(f"{each.pipeline.name}/{each.name}", each.sha) for each in wanted}
    repositories = {each.pipeline.repo.id: each.pipeline.repo for each in wanted}
    shown = Counter(
        (made["environment"], made["sha"])
        for repo in repositories.values()
        for made in stage.github.reported(repo)["deployments"]
        if made["state"] == "success"
    )
    for each, count in shown.items():
        if each not in expected or count > 1:
            found.append(f"GitHub shows {each[1][:7]} as live in {each[0]} {count} times")
    found += [f"GitHub does not show {sha[:7]} as live in {where}" for where, sha in sorted(expected - shown.keys())]
    for one in wanted:
        check = stage.check(one.pipeline, one.sha)
        if check is None or check["conclusion"] != "success":
            found.append(f"the check of {one.sha[:7]} in {one.pipeline.name} is {check and check['conclusion']}")
    return found
