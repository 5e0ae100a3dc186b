"""Settle a request: its final state with everything that follows from it, in one transaction."""

from service.domain.model import QueuedRequest, ReleaseState, RequestState
from service.enact import Transaction
from service.enacting.ended import finish
from service.store import releases
from service.store.requests import TakenWork
from workers.context import Context
from workers.jobs import fenced


async def failed(context: Context, taken: TakenWork, cause: str) -> None:
    """The request failed for a cause that people read; what ran before runs on."""
    await fenced.commit(context, taken, lambda tx: fail(tx, taken.request, cause))


def fail(tx: Transaction, request: QueuedRequest, cause: str) -> None:
    """End a request that failed, whoever had it. One whose release went live did not: that serves."""
    made = releases.of_request(tx.conn, request.id)
    if made is not None and made.state is ReleaseState.SUCCEEDED:
        outcome = f"released v{made.version}; afterwards: {cause}"
        finish(tx, request, state=RequestState.SUCCEEDED, outcome=outcome)
    else:
        finish(tx, request, state=RequestState.FAILED, outcome=cause)


async def end(context: Context, taken: TakenWork, *, state: RequestState, outcome: str) -> None:
    """End a request of ours."""
    await fenced.commit(context, taken, lambda tx: finish(tx, taken.request, state=state, outcome=outcome))
