"""What may be pushed to an app: the code it runs, to `main` or `master`, and tags beside it."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from service.domain.errors import Refused
from service.domain.model import NO_SHA, App, Sha

DEPLOYED: Final = ("main", "master")
"""The branches that are deployed; whatever a branch is called at home, it is pushed to one of these."""
_HEADS: Final = "refs/heads/"
_TAGS: Final = "refs/tags/"
# What git itself takes for a name; it is shown on terminals and given to git.
_REF: Final = re.compile(r"refs(/(?!\.)[^/\x00-\x20\x7f~^:?*\[\\]+(?<!\.lock)(?<!\.))+")
_LONGEST_REF: Final = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class RefChange:
    """One of the things that a push wants: `ref`, which is at `before` as far as the client knows, to be at `after`."""

    ref: str
    before: Sha
    after: Sha

    @property
    def deletes(self) -> bool:
        """Whether it is to be there no more."""
        return self.after == NO_SHA

    @property
    def branch(self) -> str:
        """The branch, or nothing when it is none."""
        return self.ref.removeprefix(_HEADS) if self.ref.startswith(_HEADS) else ""

    @property
    def is_tag(self) -> bool:
        """Whether it is a tag."""
        return self.ref.startswith(_TAGS)


@dataclass(frozen=True, slots=True, kw_only=True)
class NotTaken:
    """Why git is told that a ref is rejected, in few words, and what the developer reads about it."""

    reason: str
    words: str = ""


def judge(changes: Iterable[RefChange], app_name: str) -> Mapping[str, NotTaken]:
    """What of a push is not taken, by the ref; the rest may be."""
    wanted = list(changes)
    refused = {each.ref: found for each in wanted if (found := _refusal(each, app_name)) is not None}
    deployed = [each for each in wanted if each.branch and each.ref not in refused]
    if len(deployed) > 1:
        words = f"{' and '.join(DEPLOYED)} are both deployed to {app_name}: push one of them."
        refused |= {each.ref: NotTaken(reason="one branch at a time", words=words) for each in deployed}
    return refused


def _refusal(change: RefChange, app_name: str) -> NotTaken | None:
    if len(change.ref) > _LONGEST_REF or ".." in change.ref or "@{" in change.ref or not _REF.fullmatch(change.ref):
        return NotTaken(reason="funny refname")
    if change.is_tag:
        return None
    if not change.branch:
        return NotTaken(reason="only branches and tags are taken")
    if change.branch not in DEPLOYED:
        return NotTaken(
            reason=f"only {' and '.join(DEPLOYED)} are deployed",
            words=f"The branch {change.branch} is not deployed. To deploy it, push it to {DEPLOYED[0]}: "
            f"git push REMOTE {change.branch}:{DEPLOYED[0]}",
        )
    if change.deletes:
        return NotTaken(
            reason="deletion prohibited",
            words=f"{change.branch} is what {app_name} runs. To take the app away: towpath apps:destroy {app_name}",
        )
    return None


def check_pushable(app: App) -> None:
    """Refuse to be pushed to what follows a pull request."""
    if app.is_review:
        raise Refused(f"{app.name} is a review app: push to the branch of its pull request, and it follows.")
