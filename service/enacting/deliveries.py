"""Having stored deliveries processed once more, by the way that they took when they came."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from service import queue
from service.domain.errors import Refused
from service.enact import Committer, Transaction
from service.github.hints import ACTS_OF_PEOPLE
from service.store import deliveries
from service.store.deliveries import Receipt

SHOWN: Final = 200
"""So many are told of one by one."""
_RUNG: Final = 100
"""So many are rung for at once; the worker's `due` loop finds the others, before which new webhooks are not to wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """How many are processed once more; `deliveries` are those, the oldest first, `SHOWN` at most.

    Named ones that waited to be processed anyhow are among `deliveries` and are not counted.
    """

    count: int
    deliveries: tuple[Receipt, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryVerbs(Committer):
    """Each verb is one transaction, then rings. `actor` is who asks, as `user:EMAIL`."""

    async def replay_deliveries(self, *, guids: Sequence[str], actor: str) -> Replayed:
        """Process these again; refused as a whole when one of them is not here."""

        def replay(tx: Transaction) -> Replayed:
            known = deliveries.known(tx.conn, guids)
            if missing := [guid for guid in guids if guid not in known]:
                raise Refused(
                    f"Couldn't find the delivery {', '.join(missing)}: it never came, or more than "
                    f"{deliveries.KEPT_FOR.days} days ago, for which deliveries are kept.",
                    code="not_found",
                )
            return _reopened(tx, deliveries.reopen(tx.conn, guids, verdict=_verdict(tx)), named=guids)

        return await self.commit(replay, actor=actor)

    async def replay_fitting_deliveries(self, *, failed: bool, since: datetime | None, actor: str) -> Replayed:
        """Process again what failed, what was received since a time, or what did both.

        What somebody once pressed or wrote, and what was heard, is not among it: it was meant for that moment.
        """

        def replay(tx: Transaction) -> Replayed:
            fitting = deliveries.fitting(failed=failed, since=since, but=ACTS_OF_PEOPLE)
            return _reopened(tx, deliveries.reopen(tx.conn, fitting, verdict=_verdict(tx)))

        return await self.commit(replay, actor=actor)


def _verdict(tx: Transaction) -> str:
    return f"is processed again, as {tx.actor} asked"


def _reopened(tx: Transaction, reopened: Sequence[str], *, named: Sequence[str] = ()) -> Replayed:
    tx.rings += queue.react(reopened[:_RUNG])
    shown = list(dict.fromkeys(named)) or reopened[:SHOWN]
    if reopened:
        data: dict[str, Any] = {"deliveries": len(reopened), "ids": reopened[:SHOWN]}
        tx.note("deliveries replayed", data=data)
    receipts = deliveries.known(tx.conn, shown)
    return Replayed(count=len(reopened), deliveries=tuple(receipts[guid] for guid in shown))
