"""Whether an app that follows a branch should deploy that branch's head now."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from service.domain.ci_gate import but_unread
from service.domain.decisions import Decision, Deploy, Look, Nothing, Request, Wait
from service.domain.deploy_lock import DeployLock, in_the_way, lifted_at, waits_for
from service.domain.deploys import UNTOUCHED, is_leaving, settled
from service.domain.facts import (
    ChangedPaths,
    CiSignals,
    CommitsApart,
    Fact,
    FactKey,
    FactKind,
    Head,
    RequiredChecks,
    changes_between,
    commits_between,
)
from service.domain.freshness import ACTED_ON_FOR, ci_gate, lacking
from service.domain.model import (
    NO_SHA,
    App,
    AppState,
    QueuedRequest,
    Repository,
    RequestState,
    Sha,
    Stage,
    Toggles,
    Trust,
)
from service.domain.patterns import names_any_file

_MERGE_QUEUE: Final = "gh-readonly-queue/"
"""Branches GitHub makes for its merge queue: tried commits, not merged ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoDeployView:
    """Everything `plan` may know, from one snapshot.

    `branch` is the one the app follows (its own setting, else the default branch). `ci` is about `head`'s commit.
    `queue` holds the app's open requests in order. `last_deploy` is the app's newest deploy that is running or over,
    `last_auto_deploy` the newest one, in whatever state, that no person asked for. `stage` is None outside a pipeline.
    `toggles` are the pipeline's. `held` says why nothing is deployed by itself ("held at v12"), else it is empty.
    `required` is what `branch` requires, None where the toggles do not ask for that.
    `serving` is the commit of this repository that the app runs, `changes` what the head changed over it, loaded where
    the settings name paths, `apart` how the two stand to each other, loaded while the head is doubted. `locks` are the
    app's own and its pipeline's. `right_lost` says that whoever connected the repository may do so no longer, else it
    is empty.
    """

    now: datetime
    app: App
    repository: Repository | None
    branch: str
    head: Fact[Head] | None
    ci: Fact[CiSignals] | None
    queue: tuple[QueuedRequest, ...]
    last_deploy: QueuedRequest | None
    last_auto_deploy: QueuedRequest | None
    stage: Stage | None
    toggles: Toggles
    held: str = ""
    our_app_id: int = 0
    required: Fact[RequiredChecks] | None = None
    serving: Sha | None = None
    changes: Fact[ChangedPaths] | None = None
    apart: Fact[CommitsApart] | None = None
    locks: tuple[DeployLock, ...] = ()
    right_lost: str = ""


def plan(view: AutoDeployView) -> tuple[Decision, ...]:
    """Deploy the branch's head, once, and never anything but the head."""
    repository = view.repository
    if repository is None or not view.app.auto_deploy:
        off = "automatic deploys are off" if not view.app.auto_deploy else "no repository is connected"
        return (Nothing(reason=off),)
    stopped = _why_stopped(view, repository)
    if stopped is not None:
        return (stopped,)
    key = FactKey(FactKind.HEAD, repository.id, view.branch)
    head = view.head if view.head is not None and view.head.key == key else None
    lack = lacking(head, key, now=view.now)
    if lack is not None:
        return (lack,)
    sha = head.value.sha if head is not None and head.value is not None else None
    if sha is None or sha == NO_SHA:
        return (Nothing(reason=_no_branch(view, repository)),)
    done = _settled(view, sha)
    if done is not None:
        return (Nothing(reason=done),)
    since = head.since if head is not None else None
    held_back = _from_before(view, repository, sha) or _elsewhere(view, repository, sha)
    held_back = held_back or _locked(view, repository, sha)
    held_back = held_back or lacking(head, key, now=view.now, age=ACTED_ON_FOR)
    return (held_back or _deploy(view, repository, sha, since),)


def _why_stopped(view: AutoDeployView, repository: Repository) -> Nothing | Wait | None:
    reasons = (
        (view.app.is_review or view.stage in {Stage.REVIEW, Stage.TEST}, "review apps follow their pull request"),
        (view.app.state is not AppState.ACTIVE, f"the app is {view.app.state.value}"),
        (is_leaving(view.queue), "the app is about to be destroyed"),
        (not view.branch, "no branch is named"),
        (view.branch.startswith(_MERGE_QUEUE), "branches of the merge queue are never deployed"),
        (bool(view.held), view.held),
    )
    for holds, reason in reasons:
        if holds:
            return Nothing(reason=reason)
    if not repository.accessible:
        return Wait(reason=f"waiting for: access to {repository.full_name}")
    return Wait(reason=view.right_lost) if view.right_lost else None


def _no_branch(view: AutoDeployView, repository: Repository) -> str:
    gone = f"there is no branch {view.branch} now; deploys go on when it is back"
    if repository.default_branch in {"", view.branch}:
        return gone
    return f"{gone}, or follow {repository.default_branch}: towpath deploy:auto on --default-branch -a {view.app.name}"


def _settled(view: AutoDeployView, sha: Sha) -> str | None:
    last = view.last_deploy
    if last is not None and last.sha == sha and last.state is RequestState.SUCCEEDED:
        return f"{sha[:7]} is deployed"
    # Compared with what we asked for ourselves: what a person deployed in between stays until the next push.
    return settled(sha, queue=view.queue, last=view.last_auto_deploy)


def _from_before(view: AutoDeployView, repository: Repository, sha: Sha) -> Look | Wait | None:
    """What keeps a commit from being deployed that may be from before what runs, as GitHub may not know the last push.

    It answers from copies that lag behind its webhooks. Only what goes on from what runs is surely later, unless it was
    taken back: what stands beside it may be what was amended. Of a branch that was really set back or elsewhere the
    push tells so, or it is still shown there when nobody doubts it any more.
    """
    head, runs = view.head, view.serving
    if head is None or runs is None or not head.doubted(now=view.now):
        return None
    if sha != runs:
        key = commits_between(repository.id, runs, sha)
        apart = view.apart if view.apart is not None and view.apart.key == key else None
        lack = lacking(apart, key, now=view.now)
        if lack is not None or apart is None or apart.value is None:
            return lack or Look(fact=key, why="not known yet")
        if apart.value.onward and not head.returned:
            return None
    return Wait(reason=f"waiting for: GitHub to show the last push to {view.branch}", until=head.doubted_until)


def _elsewhere(view: AutoDeployView, repository: Repository, sha: Sha) -> Look | Wait | Nothing | None:
    """What keeps a head from being deployed that changes nothing of what the paths name; None when it is due.

    Compared with what serves: what a push changed that was skipped, failed or superseded counts until it is deployed.
    """
    paths = view.toggles.paths
    if not paths or view.serving is None:
        return None
    key = changes_between(repository.id, view.serving, sha)
    changes = view.changes if view.changes is not None and view.changes.key == key else None
    lack = lacking(changes, key, now=view.now)
    if lack is not None or changes is None or changes.value is None:
        return lack or Look(fact=key, why="not known yet")
    known = changes.value
    if not (known.whole and known.linear) or names_any_file(paths, known.paths):
        return None
    return Nothing(reason=f"{UNTOUCHED} {', '.join(paths)} since {view.serving[:7]}: not deployed")


def _locked(view: AutoDeployView, repository: Repository, sha: Sha) -> Wait | None:
    """A lock comes before CI: nobody need be asked about a commit that cannot go live."""
    locks = in_the_way(_work(view, repository, sha), view.locks, now=view.now)
    return Wait(reason=waits_for(locks), until=lifted_at(locks)) if locks else None


def _work(view: AutoDeployView, repository: Repository, sha: Sha) -> Deploy:
    return Deploy(repository_id=repository.id, sha=sha, trust=Trust.OWN, branch=view.branch)


def _deploy(view: AutoDeployView, repository: Repository, sha: Sha, since: datetime | None) -> Look | Wait | Request:
    reason = f"{view.branch} is at {sha[:7]}"
    if view.app.wait_for_ci:
        key = FactKey(FactKind.CI, repository.id, sha)
        closed = ci_gate(
            view.ci,
            key,
            branch=view.branch,
            required=view.required,
            since=since,
            toggles=view.toggles,
            our_app_id=view.our_app_id,
            now=view.now,
        )
        if closed is not None:
            return closed.then if isinstance(closed.then, Look) else Wait(reason=closed.reason, until=closed.then.until)
        reason = but_unread(reason, view.ci.value if view.ci is not None else None)
    return Request(app_id=view.app.id, work=_work(view, repository, sha), reason=reason)
