"""Where a branch is by what pushes tell and GitHub shows, each of which may be late and from before the other. Pure.

GitHub tells of pushes in no order, late, and some twice; it answers from copies that lag behind what it has told. But a
push says where the branch was before it, which makes a chain of those that are told.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from service.domain.model import NO_SHA

DOUBTED_FOR: Final = timedelta(minutes=2)
"""So long after a push GitHub may still answer from a copy that has not heard of it."""
_MOST: Final = 16
"""So many commits are remembered at which a branch was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """What is known of where a branch is; `NO_SHA` stands for a branch that is gone, "" for what is not known.

    `shown` is what GitHub answered last, at `looked_at`; `announced` where the last push told that it is, until it is
    shown to have gone elsewhere untold or the order of pushes is not known. `announced_at` is when either was so, and
    `told_at` when GitHub told of the last push. `was_at` holds, the oldest first, where the branch was before, and
    whether a push has told that it left.
    """

    shown: str = ""
    looked_at: datetime | None = None
    announced: str = ""
    announced_at: datetime | None = None
    told_at: datetime | None = None
    was_at: Mapping[str, bool] = field(default_factory=dict)

    @property
    def doubted_until(self) -> datetime | None:
        """None where the answer is what was told last, or nothing is known but that answer."""
        if self.announced_at is None or self.shown == self.announced != "":
            return None
        return self.announced_at + DOUBTED_FOR

    @property
    def returned(self) -> bool:
        """Whether a push has told that the branch left where it is shown."""
        return self.was_at.get(self.shown, False)

    def doubted(self, at: datetime | None) -> bool:
        """Whether what GitHub answered by then may be from before what it has told or shown."""
        until = self.doubted_until
        return until is not None and (at is None or at < until)


def told(known: Whereabouts, *, before: str, after: str, told_at: datetime, now: datetime) -> Whereabouts:
    """What is known after a push has told that the branch went from `before` ("": it does not say) to `after`."""
    first = known.shown == "" and known.announced_at is None
    goes_on = first or before == known.announced != "" or _is_at(known, before)
    if after == known.announced and not _is_at(known, before):
        return known  # it is told again
    been = known.was_at.get(after, False)
    if been and not goes_on:
        # It comes before one that was told already.
        return replace(known, was_at=_leave(known.was_at, before, told=True))
    was_at = known.was_at if after == known.shown else _leave(known.was_at, known.shown, told=False)
    # From there and back again: either may be the later one, unless GitHub's times say which.
    if not goes_on or (been and known.told_at is not None and told_at <= known.told_at):
        since = known.announced_at if known.doubted(now) and after not in known.was_at else now
        return replace(known, announced="", announced_at=since, was_at=was_at)
    was_at = _leave(was_at, before or known.announced or known.shown, told=True)
    at = min(told_at, now)
    return replace(
        known,
        announced=after,
        announced_at=now,
        told_at=at if known.told_at is None else max(at, known.told_at),
        was_at={each: by_push for each, by_push in was_at.items() if each != after},
    )


def _is_at(known: Whereabouts, where: str) -> bool:
    """Whether GitHub shows the branch there, and not by an answer that may be from before."""
    return where == known.shown != "" and not known.doubted(known.looked_at)


def shown(known: Whereabouts, where: str, *, now: datetime) -> Whereabouts:
    """What is known after GitHub has answered that the branch is at `where`."""
    if known.shown in {"", NO_SHA} or where in {known.shown, known.announced}:
        return replace(known, shown=where, looked_at=now)
    # No push has told so: it may be one copy of GitHub that lags behind another. Or a later push is yet to be heard of,
    # so that what the last one told may from now on be what was before. The doubt counts from the first such answer:
    # a branch that goes on moving would be in doubt for ever. But what is shown once more may be from before.
    goes_on = known.doubted(now) and where not in known.was_at
    was_at = known.was_at
    for each in (known.shown, known.announced):
        was_at = _leave(was_at, each, told=False)
    return replace(
        known,
        shown=where,
        looked_at=now,
        announced="",
        announced_at=known.announced_at if goes_on else now,
        was_at=was_at,
    )


def _leave(was_at: Mapping[str, bool], commit: str, *, told: bool) -> Mapping[str, bool]:
    if commit in {"", NO_SHA} or (commit in was_at and not told):
        return was_at
    others = [(each, by_push) for each, by_push in was_at.items() if each != commit]
    return dict([*others, (commit, told)][-_MOST:])
