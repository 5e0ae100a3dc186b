"""What CI systems and people do around commits: statuses, check runs, pressed buttons."""

from typing import Any

from service.demo.simulator import payloads
from service.demo.simulator.git_store import ZERO
from service.demo.simulator.pull_actions import PullActions
from service.demo.simulator.state import (
    Account,
    App,
    CheckRun,
    CheckSuite,
    Repository,
    Status,
)
from service.demo.simulator.world import RepositoryName

# Worst first: a suite's conclusion is its worst run's.
_WORST = ("failure", "timed_out", "cancelled", "action_required", "stale", "success", "neutral", "skipped")


class SignalActions(PullActions):
    """Statuses and checks."""

    async def set_status(
        self,
        repo: RepositoryName,
        sha: str,
        state: str,
        *,
        context: str = "ci",
        description: str | None = None,
        target_url: str | None = None,
        by: Account | str = "ci",
    ) -> Status:
        """Set a commit status: error, failure, pending or success (`status`)."""
        one = self.repository(repo)
        author = by if isinstance(by, Account) else self.account(by)
        made = Status(
            id=self.next_id(), sha=sha, state=state, context=context, description=description,
            target_url=target_url, creator=author, created_at=self.now(),
        )  # fmt: skip
        one.statuses.append(made)
        commit = await self.git.read(one.id, sha)
        names = (await self.git.text(one.id, "for-each-ref", "--format=%(refname:short) %(objectname)",
                                     f"--contains={sha}", "refs/heads/")).splitlines()  # fmt: skip
        branches = dict(line.split(" ") for line in names)
        body = payloads.status(self.site, one, made, commit, self.accounts.get(commit.name), branches)
        self.emit("status", one, body, author)
        return made

    async def create_check_run(
        self,
        repo: RepositoryName,
        sha: str,
        name: str = "test",
        *,
        app: str | App = "ci",
        status: str = "queued",
        conclusion: str | None = None,
        **fields: Any,
    ) -> CheckRun:
        """Make a check run of an App (`check_run.created`); with a conclusion it is complete at once."""
        one = self.repository(repo)
        suite = await self.suite(one, sha, app if isinstance(app, App) else self.other_app(app))
        run = CheckRun(id=self.next_id(), suite=suite, name=name, status="queued", started_at=self.now())
        one.runs[run.id] = run
        _fill(run, {"status": status} | fields)
        if conclusion is None:
            await self._tell_run(one, run, "created")
        else:
            run.status, run.conclusion = "completed", conclusion
            run.completed_at = run.completed_at or self.now()
            await self._tell_run(one, run, "created")
            await self._tell_run(one, run, "completed")
        await self._settle_suite(one, suite)
        return run

    async def update_check_run(
        self, repo: RepositoryName, run_id: int, *, conclusion: str | None = None, **fields: Any
    ) -> CheckRun:
        """Change a check run; with a conclusion it is complete (`check_run.completed`, perhaps the suite's)."""
        one = self.repository(repo)
        run = one.runs[run_id]
        _fill(run, fields)
        if conclusion is not None:
            run.status, run.conclusion = "completed", conclusion
            run.completed_at = fields.get("completed_at") or self.now()
            await self._tell_run(one, run, "completed")
        elif run.status != "completed":
            run.conclusion = run.completed_at = None
        await self._settle_suite(one, run.suite)
        return run

    async def suite(self, repo: RepositoryName, sha: str, app: str | App = "ci") -> CheckSuite:
        """The suite of an App on a commit, made when new: without runs it is an inert App's."""
        one = self.repository(repo)
        owner = app if isinstance(app, App) else self.other_app(app)
        for suite in one.suites.values():
            if suite.sha == sha and suite.app is owner:
                return suite
        branch = next((name for name, head in (await self.git.branches(one.id)).items() if head == sha), None)
        now = self.now()
        made = CheckSuite(
            id=self.next_id(), app=owner, sha=sha, branch=branch, before=ZERO, created_at=now, updated_at=now
        )
        one.suites[made.id] = made
        return made

    async def rerequest(self, repo: RepositoryName, run_id: int, *, by: str = "") -> None:
        """Somebody asks to run a check again; only the owning App hears it (`check_run.rerequested`)."""
        one = self.repository(repo)
        run = one.runs[run_id]
        if run.suite.app is self.app:
            await self._tell_run(one, run, "rerequested", by=self.account(by or one.owner.login))

    async def press(self, repo: RepositoryName, run_id: int, identifier: str, *, by: str = "") -> None:
        """Somebody presses a check's button (`check_run.requested_action`)."""
        one = self.repository(repo)
        run = one.runs[run_id]
        if identifier not in {action["identifier"] for action in run.actions}:
            raise ValueError(f"check {run.name} has no button {identifier}")
        person = self.account(by or one.owner.login)
        await self._tell_run(one, run, "requested_action", by=person, identifier=identifier)

    async def _tell_run(
        self, repo: Repository, run: CheckRun, action: str, *, by: Account | None = None, identifier: str | None = None
    ) -> None:
        commit = await self.git.read(repo.id, run.suite.sha)
        body = payloads.check_run(self.site, repo, run, action, commit, identifier)
        self.emit("check_run", repo, body, by or run.suite.app.bot)

    async def _settle_suite(self, repo: Repository, suite: CheckSuite) -> None:
        latest = {run.name: run for run in repo.runs.values() if run.suite is suite}
        suite.updated_at = self.now()
        if all(run.status == "completed" for run in latest.values()):
            conclusions = {run.conclusion for run in latest.values()}
            conclusion = next((one for one in _WORST if one in conclusions), "neutral")
            if (suite.status, suite.conclusion) != ("completed", conclusion):
                suite.status, suite.conclusion = "completed", conclusion
                commit = await self.git.read(repo.id, suite.sha)
                body = payloads.check_suite(self.site, repo, suite, "completed", commit)
                self.emit("check_suite", repo, body, suite.app.bot)
        else:
            started = any(run.status == "in_progress" for run in latest.values())
            suite.status, suite.conclusion = ("in_progress" if started else "queued"), None


def _fill(run: CheckRun, fields: dict[str, Any]) -> None:
    for name in ("name", "status", "external_id", "details_url", "started_at", "actions"):
        if fields.get(name) is not None:
            setattr(run, name, fields[name])
    if fields.get("output"):
        # Annotations are added up over updates (GitHub docs, "Update a check run").
        kept = run.output.get("annotations", [])
        run.output = run.output | fields["output"] | {"annotations": kept + fields["output"].get("annotations", [])}
