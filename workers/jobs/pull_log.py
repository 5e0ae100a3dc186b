"""One pass over a hook's log: whatever GitHub lists and the inbox does not hold is put into it, each once.

The log is listed newest first, and an entry may appear late or out of place. So a pass takes all it has not seen on
every page that it visits, and goes on to older pages until most of one lies well before all that was taken before.
Only a pass that came to that end moves the watermark; one that is cut off is begun again, and finds in the inbox what
it has taken already. Nothing is held in memory but a page of the list and one payload.
"""

import re
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import msgspec
import structlog

from service import queue
from service.domain.errors import Transient
from service.github import events
from service.github.hook_log import HookLog, ListedDelivery
from service.github.transport import Reply
from service.store import deliveries
from service.store.deliveries import Inbox, Receipt
from workers.context import Context

log = structlog.get_logger()

OVERLAP: Final = timedelta(minutes=5)
"""How late an entry may appear among those of its time."""
GIVE_UP: Final = timedelta(hours=1)
"""How long one delivery that GitHub lists and does not show keeps the watermark back; the audit finds what it told."""
FAILURES: Final = 3
"""So many in a row are GitHub's trouble, not one delivery's."""
_ACTION: Final = re.compile(r"[!-~]{1,64}")
_MAX_ID: Final = 2**63 - 1


@dataclass(slots=True, kw_only=True)
class Passed:
    """What a pass came to. `newest` is what the watermark may be set to; None leaves it."""

    newest: datetime | None = None
    listed: bool = False
    unchanged: bool = False
    taken: int = 0
    repositories: set[int] = field(default_factory=set)
    refused: Reply | None = None
    missed: int = 0
    etag: str = ""


class Pass:
    """A pass over a log; `renew` keeps the lease and raises when another worker has it."""

    def __init__(
        self,
        context: Context,
        *,
        inbox: Inbox,
        log: HookLog,
        known_repositories: Collection[int],
        renew: Callable[[], Awaitable[None]],
    ) -> None:
        self._context = context
        self._inbox = inbox
        self._log = log
        self._repositories = known_repositories
        self._renew = renew
        self._began = context.db.now()
        self._failed = 0
        self._missed_at: datetime | None = None
        self._passed = Passed()

    async def run(self, *, watermark: datetime | None, etag: str) -> Passed:
        """Take what is new; raises `Transient` when GitHub or the database is in trouble, with the rest still to do."""
        passed, since = self._passed, (watermark or self._began) - OVERLAP
        async for page in self._log.pages(etag=etag):
            if page.not_modified or page.refused is not None:
                passed.unchanged, passed.refused, passed.etag = page.not_modified, page.refused, page.etag
                return passed
            if not passed.listed:
                passed.etag = page.etag
            passed.listed = passed.listed or bool(page.deliveries)
            for each in await self._new(page.deliveries):
                await self._take(each)
            times = sorted(each.delivered_at for each in page.deliveries)
            passed.newest = max([*times[-1:], *([passed.newest] if passed.newest else [])], default=None)
            if times and times[len(times) // 2] < since:
                break
        self._hold_back()
        return passed

    def _hold_back(self) -> None:
        """Leave the watermark before what could not be taken, for a while, and never put it into the future."""
        passed = self._passed
        if passed.newest is not None:
            passed.newest = min(passed.newest, self._began)
            if self._missed_at is not None:
                passed.newest = min(passed.newest, max(self._missed_at, self._began - GIVE_UP))
        if passed.missed:
            passed.etag = ""

    async def _new(self, page: Sequence[ListedDelivery]) -> list[ListedDelivery]:
        # From the oldest: of a delivery that was repeated the last attempt counts, and the time of the first.
        wanted = {each.guid: each for each in reversed(page) if self._is_wanted(each)}
        first = {guid: min(each.delivered_at for each in page if each.guid == guid) for guid in wanted}
        known = await self._context.db.read(lambda conn: deliveries.known(conn, list(wanted)))
        new = [each for each in wanted.values() if each.guid not in known or _again(each, known[each.guid])]
        return [msgspec.structs.replace(each, delivered_at=first[each.guid]) for each in new]

    def _is_wanted(self, each: ListedDelivery) -> bool:
        """What is about repositories that nobody connected, or of a kind that tells us nothing, is not fetched."""
        return events.is_used(each.event) and (not each.repository_id or each.repository_id in self._repositories)

    async def _take(self, each: ListedDelivery) -> None:
        await self._renew()
        try:
            payload = await self._log.payload(each.id)
        except Transient as error:
            self._failed += 1
            if error.retry_after or self._failed >= FAILURES:
                raise
            log.warning("delivery could not be pulled", delivery=each.guid, error=error.message)
            self._passed.missed += 1
            self._missed_at = min(self._missed_at or each.delivered_at, each.delivered_at)
            return
        self._failed = 0
        if payload is None:
            log.info("delivery is gone from GitHub", delivery=each.guid)
            return
        await self._inbox.put(
            guid=each.guid,
            event=each.event,
            action=each.action if each.action and _ACTION.fullmatch(each.action) else "",
            repository_id=_id(each.repository_id),
            installation_id=_id(each.installation_id),
            body=payload,
            received_at=self._context.db.now(),
            delivered_at=each.delivered_at,
        )
        self._passed.taken += 1
        self._passed.repositories.update([each.repository_id] if each.repository_id else [])
        await self._context.queue.ring(queue.react([each.guid]))


def _again(each: ListedDelivery, known: Receipt) -> bool:
    """Somebody asked GitHub to send again what we could not process."""
    failed_at = known.processed_at if known.state == "failed" else None
    return each.redelivery and failed_at is not None and each.delivered_at > failed_at


def _id(number: int | None) -> int | None:
    return number if number is not None and 0 < number <= _MAX_ID else None
