"""What a person wants to know and workers can find out."""

from collections.abc import Collection
from dataclasses import dataclass

from service.domain.facts import FactKey
from service.enact import Committer, Transaction
from service.queue import look
from service.store import facts


@dataclass(frozen=True, slots=True, kw_only=True)
class LookVerbs(Committer):
    """Each verb is one transaction, then rings."""

    async def look_up(self, keys: Collection[FactKey], *, actor: str) -> None:
        """Have facts looked up; whoever asked reads them when they are there."""

        def want(tx: Transaction) -> None:
            facts.want_all(tx.conn, dict.fromkeys(keys), now=tx.now)
            tx.rings.extend(map(look, keys))

        await self.commit(want, actor=actor)
