"""Prove that a commit is the repository's own: GitHub serves the objects of forks from the base repository, too."""

from service.domain.decisions import Deploy
from service.domain.errors import Refused
from service.domain.facts import FactKey, FactKind
from service.domain.model import Repository, Sha, Trust
from workers.builds.source import Remote
from workers.context import Context
from workers.jobs.look import fresh


async def prove_own(context: Context, remote: Remote, repository: Repository, wanted: Deploy) -> None:
    """Refuse a commit that no branch contains as they stand now; most are in the one named or the default branch."""
    if wanted.trust is not Trust.OWN:
        return
    branches = list(dict.fromkeys(filter(None, (wanted.branch, repository.default_branch))))
    heads: list[Sha] = []
    for branch in branches:
        head = (await fresh(context, FactKey(FactKind.HEAD, repository.id, branch))).value
        if head is not None and head.sha == wanted.sha:
            return
        if head is not None and head.sha is not None:
            heads.append(head.sha)
    for sha in heads:
        await context.source.fetch(remote, sha, trust=Trust.OWN)
    if heads and await context.source.is_reachable(repository.id, wanted.sha, heads):
        return
    heads = await context.source.fetch_branches(remote)
    if not await context.source.is_reachable(repository.id, wanted.sha, heads):
        raise Refused(
            f"{wanted.sha[:7]} is not on any branch of {repository.full_name}: push it to one, then deploy it"
        )
