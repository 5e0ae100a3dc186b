"""What a webhook tells: which facts it makes stale, the one value that has an order, and what it touches. Pure.

A payload decides nothing. It may be late, doubled or out of order, so branch heads and CI results in it are never
believed: they are marked stale and read again. Only a pull request carries an order (`updated_at`), and its reader
takes it only when strictly newer than what is known.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from service.domain.ci_gate import OUR_PREFIX
from service.domain.facts import FactKind
from service.domain.model import RepositoryId, Sha
from service.github import event_payloads as shapes
from service.github.comments import approved
from service.github.hints import (
    Announced,
    ApprovalAsked,
    BranchTouched,
    CheckRunRequested,
    CommitTouched,
    Hint,
    Ignored,
    InstallationChange,
    InstallationState,
    InstallationTouched,
    MergeQueueWaits,
    PullRequestTouched,
    Pushed,
    RepositoryTouched,
    RequirementsTouched,
    Seen,
    Touched,
)
from service.github.payloads import AccountPayload, Branch, clean

__all__ = [
    "ApprovalAsked",
    "BranchTouched",
    "CheckRunRequested",
    "CommitTouched",
    "MergeQueueWaits",
    "Hint",
    "Ignored",
    "InstallationChange",
    "InstallationState",
    "InstallationTouched",
    "PullRequestTouched",
    "RepositoryTouched",
    "RequirementsTouched",
    "Seen",
    "Touched",
    "is_used",
    "parse",
]

QUEUE_PREFIX = "gh-readonly-queue/"
"""GitHub's merge queue makes such branches; nobody pushes to them."""

POLLED = "polled"
"""The action of an event that GitHub has not sent, but was asked for."""

# None of these changes whether, where or what of a pull request runs.
_QUIET_PULL_ACTIONS = frozenset(
    {
        *("assigned", "unassigned", "milestoned", "demilestoned", "locked", "unlocked", "enqueued", "dequeued"),
        *("review_requested", "review_request_removed", "auto_merge_enabled", "auto_merge_disabled"),
    }
)


_BRINGS_COMMIT = frozenset({"opened", "reopened", "synchronize"})

Shape = TypeVar("Shape", bound=Struct)


def _push(event: shapes.PushEvent) -> Hint | Ignored:
    branch = event.ref.removeprefix("refs/heads/")
    if branch == event.ref:
        return Ignored(reason="not a branch: tags are never deployed")
    after = event.commit
    if branch.startswith(QUEUE_PREFIX):
        return _queued(event, after) if after else Ignored(reason="a merge queue's own branch, which is gone")
    head = event.fact(FactKind.HEAD, msgspec.convert(branch, Branch))
    # What a poll was shown may lag behind like any other answer: nobody has told that there was a push.
    now_at = shapes.said_commit(event.after) if event.action != POLLED else ""
    announced = (Announced(fact=head, before=shapes.said_commit(event.before), after=Sha(now_at)),) if now_at else ()
    return Hint(
        repository=event.seen(),
        stale=(head,),
        announced=announced,
        touched=(BranchTouched(repository_id=event.id, branch=branch),),
        pushed=_pushed(branch, after, event.sender),
    )


def _queued(event: shapes.PushEvent, sha: str) -> Hint:
    """GitHub tells of merge groups only Apps; a webhook of the repository's own is sent their branch."""
    return Hint(repository=event.seen(), touched=(MergeQueueWaits(repository_id=event.id, sha=Sha(sha)),))


def _pushed(ref: str, sha: str | None, by: AccountPayload | None) -> Pushed | None:
    return None if by is None or sha is None else Pushed(ref=ref, sha=Sha(sha), login=clean(by.login))


def _pull_request(event: shapes.PullRequestEvent) -> Hint | Ignored:
    if event.action in _QUIET_PULL_ACTIONS:
        return Ignored(reason=f"pull_request.{event.action} changes nothing that runs")
    value = event.pull_request.seen()
    if value.base_repository_id != event.id:
        return Ignored(reason="pull_request.base.repo.id is not the repository's")
    return Hint(
        repository=event.seen(),
        stale=(event.fact(FactKind.OPEN_PULL_REQUESTS, ""),),
        values=(
            Seen(
                fact=event.fact(FactKind.PULL_REQUEST, str(value.number)),
                value=value,
                ordered_at=value.updated_at,
            ),
        ),
        touched=(PullRequestTouched(repository_id=event.id, number=value.number),),
        pushed=_pushed(f"pr:{value.number}", value.head_sha, event.sender) if event.action in _BRINGS_COMMIT else None,
    )


def _commit(event: shapes.Event, sha: str) -> Hint:
    return Hint(
        repository=event.seen(),
        stale=(event.fact(FactKind.CI, sha),),
        touched=(CommitTouched(repository_id=event.id, sha=Sha(sha)),),
    )


def _status(event: shapes.StatusEvent) -> Hint | Ignored:
    if event.context.casefold().startswith(OUR_PREFIX):
        return Ignored(reason="our own status")
    return _commit(event, event.sha)


def _check(
    event: shapes.CheckRunEvent | shapes.CheckSuiteEvent, check: shapes.Check, identifier: str, our_app_id: int
) -> Hint | Ignored:
    app_id = check.app.id if check.app else 0
    ours = our_app_id != 0 and app_id == our_app_id
    if identifier and ours:
        return Hint(
            repository=event.seen(),
            touched=(
                CheckRunRequested(
                    repository_id=event.id,
                    sha=Sha(check.head_sha),
                    identifier=clean(identifier),
                    external_id=clean(check.external_id or ""),
                    login=clean(event.sender.login),
                ),
            ),
        )
    return Ignored(reason="our own check") if ours else _commit(event, check.head_sha)


def _check_run(event: shapes.CheckRunEvent, our_app_id: int) -> Hint | Ignored:
    match event.action:
        case "requested_action" if event.requested_action is None:
            return Ignored(reason="requested_action is missing")
        case "requested_action" if event.requested_action:
            identifier = event.requested_action.identifier
        case "rerequested":
            identifier = "rerequest"
        case _:
            identifier = ""
    return _check(event, event.check_run, identifier, our_app_id)


def _check_suite(event: shapes.CheckSuiteEvent, our_app_id: int) -> Hint | Ignored:
    identifier = "rerequest" if event.action == "rerequested" else ""
    return _check(event, event.check_suite, identifier, our_app_id)


def _issue_comment(event: shapes.CommentEvent) -> Hint | Ignored:
    reason = _why_unheard(event)
    if reason:
        return Ignored(reason=reason)
    try:
        commit = approved(event.comment.body or "")
    except ValueError as error:
        return Ignored(reason=str(error))
    if commit is None:
        return Ignored(reason="a comment without a command")
    login = clean(event.sender.login)
    asked = ApprovalAsked(repository_id=event.id, number=event.issue.number, commit=commit, login=login)
    return Hint(repository=event.seen(), touched=(asked,))


def _why_unheard(event: shapes.CommentEvent) -> str:
    """Why a comment is no person's word about a pull request; empty if it is one."""
    if event.action != "created":
        return f"issue_comment.{event.action}: a comment counts once, as it was first written"
    if event.issue.pull_request is None:
        return "a comment on an issue"
    author = event.comment.user
    if author is None or author.type != "User" or event.comment.performed_via_github_app is not None:
        return "what a program writes is no command"
    return "" if event.sender == author else "the comment's author is not who sent it"


def _merge_group(event: shapes.MergeGroupEvent) -> Hint | Ignored:
    if event.action != "checks_requested":
        return Ignored(reason=f"merge_group.{event.action} leaves nothing to do")
    waits = MergeQueueWaits(repository_id=event.id, sha=Sha(event.merge_group.head_sha))
    return Hint(repository=event.seen(), touched=(waits,))


def _repository(event: shapes.RepositoryEvent) -> Hint:
    before = event.changes.default_branch.previous if event.changes and event.changes.default_branch else ""
    branches = (event.repository.default_branch, before) if before else ()
    touched = RepositoryTouched(repository_id=event.id, gone=event.action == "deleted")
    return Hint(
        repository=event.seen(),
        stale=tuple(event.fact(FactKind.HEAD, branch) for branch in branches),
        touched=(touched, *(BranchTouched(repository_id=event.id, branch=branch) for branch in branches)),
    )


def _rules(event: shapes.RulesEvent) -> Hint | Ignored:
    if event.repository is None:
        return Ignored(reason="an organization's rules: what branches require is read again within five minutes")
    return Hint(
        repository=event.repository.seen(event.installation.id if event.installation else 0),
        touched=(RequirementsTouched(repository_id=RepositoryId(event.repository.id)),),
    )


def _installation_state(event: shapes.InstallationEvent) -> InstallationState:
    """What is done to a suspended installation otherwise leaves it suspended."""
    if event.action == "deleted":
        return InstallationState.DELETED
    suspended = event.action == "suspend" or event.installation.suspended_at is not None
    return InstallationState.SUSPENDED if suspended else InstallationState.ACTIVE


def _installation(event: shapes.InstallationEvent) -> Hint:
    state = _installation_state(event)
    deleted = state is InstallationState.DELETED
    removed = [*event.repositories_removed, *(event.repositories if deleted else [])]
    added = [*event.repositories_added, *([] if deleted else event.repositories)]
    return Hint(
        installation=InstallationChange(
            id=event.installation.id,
            account=clean(event.installation.account.login),
            state=state,
            added=tuple((RepositoryId(each.id), each.full_name) for each in added),
            removed=tuple(RepositoryId(each.id) for each in removed),
        ),
        touched=(
            InstallationTouched(installation_id=event.installation.id),
            *(RepositoryTouched(repository_id=RepositoryId(each.id)) for each in added),
            *(RepositoryTouched(repository_id=RepositoryId(each.id), gone=True) for each in removed),
        ),
    )


def _reader(event: str, our_app_id: int) -> tuple[type[Struct], Callable[[Any], Hint | Ignored]] | None:
    readers: dict[str, tuple[type[Struct], Callable[[Any], Hint | Ignored]]] = {
        "push": (shapes.PushEvent, _push),
        "pull_request": (shapes.PullRequestEvent, _pull_request),
        "status": (shapes.StatusEvent, _status),
        "check_run": (shapes.CheckRunEvent, lambda shape: _check_run(shape, our_app_id)),
        "check_suite": (shapes.CheckSuiteEvent, lambda shape: _check_suite(shape, our_app_id)),
        "merge_group": (shapes.MergeGroupEvent, _merge_group),
        "issue_comment": (shapes.CommentEvent, _issue_comment),
        "repository": (shapes.RepositoryEvent, _repository),
        "branch_protection_rule": (shapes.RulesEvent, _rules),
        "repository_ruleset": (shapes.RulesEvent, _rules),
        "installation": (shapes.InstallationEvent, _installation),
        "installation_repositories": (shapes.InstallationEvent, _installation),
    }
    return readers.get(event)


def is_used(event: str) -> bool:
    """Whether an event of that name may lead to anything."""
    return _reader(event, 0) is not None


def _shaped(payload: Mapping[str, Any] | bytes, shape: type[Shape]) -> Shape:
    if not isinstance(payload, bytes):
        return msgspec.convert(payload, shape)
    try:
        return msgspec.json.decode(payload, type=shape)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        # msgspec takes no lone surrogate, not even in a field that nobody reads; a title may be cut within a character.
        return msgspec.convert(json.loads(payload.decode()), shape)


def parse(*, event: str, payload: Mapping[str, Any] | bytes, our_app_id: int = 0) -> Hint | Ignored:
    """Read a payload, raw or decoded. Never raises for what is in it: what cannot be read is ignored, by name."""
    if event == "ping":
        return Ignored(reason="ping: the webhook is set up")
    reader = _reader(event, our_app_id)
    if reader is None:
        return Ignored(reason=f"event {clean(event, limit=64)} is not used")
    shape, read = reader
    try:
        return read(_shaped(payload, shape))
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        return Ignored(reason=clean(f"cannot read {event}: {error}"))
