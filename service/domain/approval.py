"""Which commit an approval names, and whether it may be given at all."""

from collections.abc import Collection
from typing import Final

from service.domain.errors import Refused
from service.domain.facts import PullRequest
from service.domain.model import Pipeline, Sha, Trust
from service.domain.review_rules import CLOSED, MOVED, NO_FORKS, SWITCHED_OFF, trust_of

SHORTEST: Final = 7
"""So many digits of a commit have to be named at least."""


def check_approvable(pipeline: Pipeline, pull_request: PullRequest) -> None:
    """Refuse an approval that would mean nothing, in the user's words."""
    number = pull_request.number
    if pull_request.state != "open":
        raise Refused(f"Pull request #{number} is not approved: {CLOSED}.")
    if pull_request.base_repository_id != pipeline.repository_id:
        raise Refused(f"Pull request #{number} is not approved: {MOVED}.")
    if trust_of(pull_request) is Trust.OWN:
        raise Refused(f"Pull request #{number} needs no approval: its branch is the repository's own.")
    if not pipeline.toggles.review_apps:
        raise Refused(f"Pull request #{number} is not approved: {SWITCHED_OFF}.")
    if pipeline.toggles.forks == "never":
        allow = f"towpath reviewapps:enable -p {pipeline.name} --forks approve"
        raise Refused(f"Pull request #{number} is not approved: {NO_FORKS}. To allow it: {allow}")


def commit_named(
    word: str, pull_request: PullRequest, *, former: Collection[Sha] = (), seen: Collection[Sha] = ()
) -> Sha:
    """The one commit that `word`, 7 to 40 hex digits, names: the pull request's head, or a head that it had before.

    Never anything else: what is approved is what was looked at, not what happens to be there when this is read.
    `seen` are commits of whatever pull request that were shown: to make another one that begins alike takes minutes,
    so that such a beginning names none.
    """
    if len(word) < SHORTEST:
        raise Refused(f"{word} is too short to name a commit: write at least {SHORTEST} digits of it.")
    found = {sha for sha in {pull_request.head_sha, *former} if sha.startswith(word)}
    if found and len({*found, *(sha for sha in seen if sha.startswith(word))}) > 1:
        raise Refused(f"{word} is the beginning of several commits of #{pull_request.number}: write all 40 digits.")
    if not found:
        raise Refused(
            f"Pull request #{pull_request.number} is at {pull_request.head_sha} now, not at {word}: look at what it is "
            "now, then approve that."
        )
    return found.pop()
