"""Compare two commits by the mirror: what it has needs no GitHub, and what it lacks is fetched."""

from service.domain.errors import Refused
from service.domain.facts import FactKey
from service.domain.model import Repository, Sha, Trust
from service.github.answers import Answer
from workers.builds import history
from workers.builds.source import Remote
from workers.context import Context


async def compare(context: Context, key: FactKey, repository: Repository) -> Answer:
    """What stands between the commits `BASE...HEAD`; an error when one of them cannot be had any more.

    Raises `Transient` when a commit is missing here and GitHub does not answer.
    """
    base, head = (Sha(each) for each in key.key.split("..."))
    for sha in (base, head):
        if not await history.has(context.source, repository.id, sha):
            try:
                await _fetch(context, repository, sha)
            except Refused as refused:
                return Answer(error=f"{sha[:7]} is unknown: {refused.message}")
    return Answer(value=await history.apart(context.source, repository.id, base=base, head=head))


async def _fetch(context: Context, repository: Repository, sha: Sha) -> None:
    remote = Remote(
        repository_id=repository.id,
        url=f"{context.settings.github_url}/{repository.full_name}.git",
        token=await context.github.git_token(repository),
    )
    await context.source.fetch(remote, sha, trust=Trust.OWN)
