"""Have a commit of a repository here: git finds that by a name, which may have changed or be another's by now."""

from contextlib import suppress
from datetime import timedelta
from typing import Final

from service.domain.decisions import Deploy
from service.domain.errors import Refused, Transient
from service.domain.model import Repository
from service.enacting import moved
from service.store.requests import TakenWork
from workers.builds.source import Moved, Remote
from workers.context import Context
from workers.jobs.trust import prove_own

SEEN_WITHIN: Final = timedelta(minutes=2)


async def have(context: Context, taken: TakenWork, repository: Repository, wanted: Deploy) -> None:
    """Have the commit here, and proof that it is the repository's own where a person named it."""
    by_name = taken.request.by_person and wanted.pull_request is None
    if by_name:  # branches prove it, and git finds those by a name that may be another repository's by now
        repository = await _renamed(context, repository) or repository
    for last in (False, True):
        remote = await context.remote_of(repository)
        try:
            if by_name:
                await prove_own(context, remote, repository, wanted)
            await context.source.fetch(remote, wanted.sha, trust=wanted.trust, pull=wanted.pull_request)
        except Moved:
            if last:
                raise
            repository = await _renamed(context, repository) or repository
        except Refused as refused:
            anew = None if last else await _at_second_try(context, repository, remote, refused)
            if anew is None and refused.code == "not_found" and not by_name and _is_new(context, taken):
                raise Transient(refused.message) from refused
            if anew is None:
                raise
            repository = anew
        else:
            return


def _is_new(context: Context, taken: TakenWork) -> bool:
    """Whether GitHub may have told of the commit before the server that git asks knows it."""
    return context.db.now() - taken.request.created_at < SEEN_WITHIN


async def _at_second_try(
    context: Context, repository: Repository, remote: Remote, refused: Refused
) -> Repository | None:
    """What it may be fetched as that git refused: git goes by names, which change, and tokens may be revoked early.

    None when nothing of that is so.
    """
    if refused.code not in {"forbidden", "not_found"}:
        return None
    with suppress(Refused):
        if renamed := await _renamed(context, repository):
            return renamed
    return repository if refused.code == "forbidden" and context.github.drop(remote.token) else None


async def _renamed(context: Context, repository: Repository) -> Repository | None:
    """The repository under another name than we know, if it has one; raises `Transient` when GitHub does not say."""
    there = await context.looks.again(repository)
    if there is None or there.id != repository.id or there.full_name == repository.full_name:
        return None
    await context.commit(lambda tx: moved.take(tx, there))
    return there
