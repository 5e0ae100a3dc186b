"""What is different about code of forks and bots: it is approved commit by commit."""

from sqlalchemy import Connection

from service.domain.decisions import Deploy
from service.domain.errors import Refused
from service.domain.facts import PullRequest
from service.domain.model import Sha, Trust
from service.domain.review_rules import trust_of
from service.store import approvals, reviews
from workers.context import Context


async def check(context: Context, app_id: str, wanted: Deploy, pull: PullRequest) -> bool:
    """Refuse what is not ours and not approved; whether the commit is still to be built, as the pull request is now.

    An approved commit stays wanted until its pull request has another one that is approved: whoever pushes to a fork
    has no say in what becomes of what was approved.
    """
    if wanted.trust is Trust.OWN:
        if trust_of(pull) is Trust.FORK:
            raise Refused(f"pull request #{pull.number} comes from a fork: its code is not the repository's own")
        return pull.head_sha == wanted.sha
    approved = await context.db.read(lambda conn: _approved(conn, app_id, pull))
    if wanted.sha not in approved:
        raise Refused(f"{wanted.sha[:7]} of pull request #{pull.number} is not approved")
    return pull.head_sha == wanted.sha or pull.head_sha not in approved


def _approved(conn: Connection, app_id: str, pull: PullRequest) -> frozenset[Sha]:
    review = reviews.of_app(conn, app_id)
    if review is None:
        return frozenset()
    return approvals.shas(
        conn, pipeline_id=review.pipeline_id, repository_id=pull.base_repository_id, number=pull.number
    )
