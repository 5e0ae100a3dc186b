"""Whether a commit still has to be put into an app's queue: the same commit is never asked for twice by itself."""

from dataclasses import replace
from typing import Final

from service.domain.decisions import CreateReviewApp, Decision, Deploy, DeployArchive, Destroy, Request
from service.domain.model import QueuedRequest, RequestState, Sha

UNTOUCHED: Final = "nothing changed in"
DEPLOY: Final = Deploy.__name__
DESTROY: Final = Destroy.__name__
"""`QueuedRequest.kind` names the class of the work; plans must know these two apart."""
BUILDS: Final = (DEPLOY, DeployArchive.__name__)
"""The kinds of work that begin with a build."""


def settled(sha: Sha, *, queue: tuple[QueuedRequest, ...], last: QueuedRequest | None) -> str | None:
    """Why nothing has to be asked for; None if a deploy of `sha` is due."""
    ours = [request for request in queue if request.kind == DEPLOY and not request.by_person]
    if ours:
        # Only the last one counts: an older commit that still runs is followed by whatever waits behind it.
        return f"deploy of {sha[:7]} is under way" if ours[-1].sha == sha else None
    if any(request.kind == DEPLOY and request.sha == sha for request in queue):
        return f"deploy of {sha[:7]} is under way, asked for by a person"
    return _told_by(last, sha) if last is not None and last.sha == sha else None


def _told_by(last: QueuedRequest, sha: Sha) -> str | None:
    match last.state:
        case RequestState.SUCCEEDED:
            return f"{sha[:7]} is deployed"
        case RequestState.FAILED:
            return f"deploy of {sha[:7]} failed; push a new commit or deploy it again"
        case RequestState.CANCELLED:
            return f"deploy of {sha[:7]} was cancelled; push a new commit or deploy it again"
        case RequestState.SUPERSEDED:
            return None
        case RequestState.QUEUED | RequestState.RUNNING:
            return f"deploy of {sha[:7]} is under way"


def is_leaving(queue: tuple[QueuedRequest, ...]) -> bool:
    """Whether the app is going to be destroyed: it ends everything."""
    return any(request.kind == DESTROY for request in queue)


def from_nothing(decision: Decision) -> Decision:
    """The same decision; a deploy that it asks for is built anew, whatever was built of the same files before."""
    match decision:
        case Request(work=Deploy() as wanted):
            return replace(decision, work=replace(wanted, rebuild=True))
        case CreateReviewApp():
            return replace(decision, deploy=replace(decision.deploy, rebuild=True))
        case _:
            return decision
