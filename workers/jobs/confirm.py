"""Ask GitHub whether what an event says of a repository or an installation is so now.

An event may be late, doubled, or one that somebody had processed once more: it may be older than what is known.
"""

from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import structlog

from service.domain.errors import Refused, Transient
from service.domain.model import Repository, RepositoryId
from service.github.hints import Hint, InstallationChange, InstallationState, RepositoryTouched, Touched
from service.store import repositories
from workers.context import Context

log = structlog.get_logger()

_SOON: Final = timedelta(minutes=1)
"""Within that time of an event GitHub may still show what was before it."""


async def confirmed(context: Context, hint: Hint, *, received_at: datetime) -> Hint:
    """The hint without what GitHub says is otherwise by now; raises `Transient` when it does not say yet."""
    hint = await _of_repository(context, hint)
    return await _of_installation(context, hint, received_at)


async def _of_repository(context: Context, hint: Hint) -> Hint:
    """Of a repository of which an event says something new, or that it is deleted, GitHub's word counts."""
    said = hint.repository
    known = await _known(context, said.id) if said is not None else None
    if said is None or known is None:
        return hint
    said = replace(
        said,
        installation_id=said.installation_id or known.installation_id,
        accessible=known.accessible,
        lost_at=known.lost_at,
    )
    gone = any(isinstance(each, RepositoryTouched) and each.gone for each in hint.touched)
    if said == known and not gone:
        return hint
    try:
        there = await context.looks.again(said)
    except Refused:
        return replace(hint, repository=None)
    back = {said.id} if there is not None and there.id == said.id else set()
    return replace(hint, repository=there, touched=_without(hint.touched, back))


async def _of_installation(context: Context, hint: Hint, received_at: datetime) -> Hint:
    """Of `suspend` and `unsuspend`, of `added` and `removed`, either may come last."""
    said = hint.installation
    if said is None:
        return hint
    said = replace(said, state=await _state(context, said))
    covered = await _covered(context, said)
    if any(covered.get(each) == said.id for each in said.removed) and context.db.now() - received_at < _SOON:
        raise Transient("GitHub does not show yet what it told of the installation")
    still = {each for each in said.removed if covered.get(each)}
    elsewhere = {number for number, at in covered.items() if at not in {0, said.id}}
    change = replace(
        said,
        added=tuple(each for each in said.added if each[0] not in elsewhere),
        removed=tuple(each for each in said.removed if each not in still),
    )
    return replace(hint, installation=change, touched=_without(hint.touched, still))


async def _state(context: Context, said: InstallationChange) -> InstallationState:
    """What the installation is now; if GitHub refuses to say, the event is all that is known."""
    try:
        state = await context.github.installation_state(said.id)
    except Refused as refused:
        log.warning("installation not confirmed", installation=said.id, error=refused.message)
        return said.state
    # That it is not found proves nothing: a new one may not be everywhere yet.
    return said.state if state is None or state is InstallationState.DELETED else state


async def _covered(context: Context, said: InstallationChange) -> dict[RepositoryId, int]:
    """Which installation has each repository of which something new is said, 0 for none.

    Most of an organization's repositories are not known here, and of those that are most events say nothing new.
    """
    listed = await context.db.read(repositories.listing)
    reached = {each.id: each for each in listed if each.accessible and each.installation_id == said.id}
    known = {each.id: each for each in listed}
    asked = [*said.removed, *(number for number, _ in said.added if number not in reached)]
    covered = {}
    for number in asked:
        at = await context.github.installed_on(known[number]) if number in known else None
        if at is not None:
            covered[number] = at
    return covered


async def _known(context: Context, number: RepositoryId) -> Repository | None:
    return await context.db.read(lambda conn: repositories.get(conn, number))


def _without(touched: Iterable[Touched], back: Collection[RepositoryId]) -> tuple[Touched, ...]:
    """None of these repositories is gone."""
    return tuple(
        replace(each, gone=False) if isinstance(each, RepositoryTouched) and each.repository_id in back else each
        for each in touched
    )
