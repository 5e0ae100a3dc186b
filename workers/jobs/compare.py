"""Compare two commits by the mirror: what it has needs no GitHub, and what it lacks is fetched."""

from service.domain.errors import Refused
from service.domain.facts import FactKey
from service.domain.model import Repository, Sha, Trust
from service.github.answers import Answer
from workers.builds import history
from workers.context import Context


async def compare(context: Context, key: FactKey, repository: Repository) -> Answer:
    """What stands between the commits `BASE...HEAD`; an error when one of them cannot be had any more.

    Raises `Transient` when a commit is missing here and GitHub does not answer.
    """
    base, head = (Sha(each) for each in key.key.split("..."))
    for sha in (base, head):
        if not await history.has(context.source, repository.id, sha):
            try:
                await context.source.fetch(await context.remote_of(repository), sha, trust=Trust.OWN)
            except Refused as refused:
                return Answer(error=f"{sha[:7]} is unknown: {refused.message}")
    return Answer(value=await history.apart(context.source, repository.id, base=base, head=head))
