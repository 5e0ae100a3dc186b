"""GitHub's API about one repository: the right token, one retry with a fresh one, whole lists or an error.

After a rate limit nothing is sent for that installation until its time is over: GitHub lengthens the wait of those who
go on asking.
"""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import msgspec
import structlog

from service.domain.errors import Refused, Transient
from service.domain.model import Repository
from service.github.app_auth import Credentials, Stranger
from service.github.hints import InstallationState
from service.github.pace import Pace, spread
from service.github.purposes import Purpose
from service.github.transport import LONGEST_WAIT, Limited, Quota, Reply, Transport

PER_PAGE: Final = 100
MAX_PAGES: Final = 50
LOW: Final = 0.2
"""Below this part of the hourly limit nothing is polled; webhooks still tell, and reports go out to the last."""
OUR_APP: Final = -1
"""Whose limits those are of what the App asks as itself, in the place of an installation."""

Item = TypeVar("Item")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """All items of a list, or that it has not changed, or the answer that stood in the way.

    `etag` is empty for a list of several pages: a change of the second leaves the first page's as it was.
    """

    items: list[Any]
    etag: str = ""
    not_modified: bool = False
    refused: Reply | None = None


class GitHub:
    """The API as this installation of Towpath may use it."""

    def __init__(
        self,
        *,
        transport: Transport,
        credentials: Credentials,
        clock: Callable[[], float] = time.monotonic,
        pace: Pace | None = None,
    ) -> None:
        self._transport = transport
        self._credentials = credentials
        self._clock = clock
        self._pace = pace
        self._paused_until: dict[int, float] = {}
        self._quotas: dict[int, Quota] = {}
        self._heard_at: dict[int, float] = {}
        self._low_until: dict[int, float] = {}
        self._limits_in_a_row: dict[int, int] = {}

    @property
    def app_id(self) -> int:
        """Our GitHub App's id, 0 without one."""
        return self._credentials.app_id

    def quota(self, installation_id: int) -> Quota | None:
        """What the last answer said is left of the hourly limit."""
        return self._quotas.get(installation_id)

    def quotas(self) -> dict[int, Quota]:
        """The same of every installation, seen from now; what is whole again by now is left out."""
        ages = {each: self._clock() - heard_at for each, heard_at in self._heard_at.items()}
        return {
            each: replace(self._quotas[each], resets_in=self._quotas[each].resets_in - age)
            for each, age in ages.items()
            if self._quotas[each].resets_in > age
        }

    def is_low(self, installation_id: int) -> bool:
        """Whether so little is left of this hour's limit that it is kept for what somebody waits for."""
        return self._clock() < self._low_until.get(installation_id, 0.0)

    async def git_token(self, repository: Repository) -> str:
        """The password of user `x-access-token` for git."""
        return await self._credentials.git_token(repository)

    def drop(self, token: str) -> bool:
        """Git's token was refused; whether another one may be had."""
        return self._credentials.drop(token)

    async def installation_id(self, repository: Repository) -> int:
        """Whose token is used, 0 without a GitHub App."""
        return await self._credentials.installation_id(repository)

    async def installed_on(self, repository: Repository) -> int | None:
        """The installation that covers the repository now, 0 for none, whatever was told; None without an App."""
        return await self._credentials.installed_on(repository)

    async def is_suspended(self, repository: Repository) -> bool:
        """Whether GitHub says so of the installation that covers the repository."""
        return await self._credentials.is_suspended(repository)

    async def installation_state(self, installation_id: int) -> InstallationState | None:
        """What an installation of our App is now, whatever events have said; None without a GitHub App."""
        return await self._credentials.installation_state(installation_id)

    async def request(
        self,
        method: str,
        repository: Repository,
        path: str,
        *,
        purpose: Purpose = Purpose.READ,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        etag: str = "",
        raw: bool = False,
    ) -> Reply:
        """Ask about a repository; `path` is below the repository's own address, or a page's full address."""
        address = path if path.startswith("http") else _address(repository) + path
        for last in (False, True):
            if self._pace is not None and method != "GET":
                await self._pace.turn(repository.installation_id)
            self._check_pause(repository.installation_id)
            try:
                token = await self._credentials.token(repository, purpose)
                reply = await self._transport.send(
                    method, address, params=params, body=body, token=token, etag=etag, raw=raw
                )
            except Limited as limited:
                raise self._pause(repository.installation_id, limited) from limited
            self._limits_in_a_row.pop(repository.installation_id, None)
            if reply.quota is not None:
                self._note(repository.installation_id, reply.quota)
            if reply.status != 401:
                return reply
            if last or not self._credentials.drop(token):
                break
        raise Stranger("GitHub does not accept our credentials: check the App's id and key, or the token")

    async def as_app(
        self, path: str, *, params: Mapping[str, str] | None = None, etag: str = "", raw: bool = False
    ) -> Reply:
        """Read something that is the App's own, with what it signs itself; `path` may be a page's full address."""
        self._check_pause(OUR_APP)
        try:
            reply = await self._credentials.ask("GET", path, params=params, etag=etag, raw=raw)
        except Limited as limited:
            raise self._pause(OUR_APP, limited) from limited
        self._limits_in_a_row.pop(OUR_APP, None)
        if reply.quota is not None:
            self._note(OUR_APP, reply.quota)
        return reply

    async def get(self, repository: Repository, path: str, *, etag: str = "") -> Reply:
        """Read one thing."""
        return await self.request("GET", repository, path, etag=etag)

    async def listing(
        self,
        repository: Repository,
        path: str,
        *,
        shape: type[Item],
        under: str = "",
        purpose: Purpose = Purpose.READ,
        params: Mapping[str, str] | None = None,
        etag: str = "",
    ) -> Listing:
        """Read every page of a list; `under` names the list where the answer is an object with a `total_count`."""
        items: list[Item] = []
        of_page: Any = list[shape] if not under else _page_of(shape, under)  # type: ignore[valid-type]
        total, last = 0, Reply(status=0)
        async for reply in self._pages(repository, path, purpose=purpose, params=params or {}, etag=etag):
            last = reply
            if reply.status == 304:
                return Listing(items=[], etag=etag, not_modified=True)
            if not reply.ok:
                return Listing(items=[], refused=reply)
            page = reply.read(of_page)
            found = page.items if under else page
            total = page.total_count if under else 0
            items += found
            if reply.next_url and len(found) < PER_PAGE:
                raise Transient(f"GitHub sent a page of {len(found)} items and names another")
        if len(items) < total:
            raise Transient(f"GitHub sent {len(items)} of {total} items")
        # After a full page the next item would start another one, which the first page's etag need not show.
        return Listing(items=items, etag=last.etag if len(items) < PER_PAGE else "")

    async def _pages(
        self, repository: Repository, path: str, *, purpose: Purpose, params: Mapping[str, str], etag: str
    ) -> AsyncIterator[Reply]:
        first = {**params, "per_page": str(PER_PAGE)}
        reply = await self.request("GET", repository, path, purpose=purpose, params=first, etag=etag)
        yield reply
        for _ in range(MAX_PAGES - 1):
            if not reply.next_url:
                return
            reply = await self.request("GET", repository, reply.next_url, purpose=purpose)
            yield reply
        if reply.next_url:
            raise Refused(f"GitHub lists more than {MAX_PAGES * PER_PAGE} entries: too many to read", code="github")

    def _note(self, installation_id: int, quota: Quota) -> None:
        self._quotas[installation_id] = quota
        self._heard_at[installation_id] = self._clock()
        low = quota.remaining < quota.limit * LOW
        self._low_until[installation_id] = self._clock() + quota.resets_in if low else 0.0

    def _pause(self, installation_id: int, limited: Limited) -> Limited:
        """Rest as long as GitHub says; where it does not say, twice as long each time, as it asks for."""
        row = self._limits_in_a_row[installation_id] = self._limits_in_a_row.get(installation_id, 0) + 1
        if not limited.named:
            wait = min(spread(limited.wait * 2.0 ** min(row - 1, 10)), LONGEST_WAIT)
            limited = Limited(wait=wait, named=False)
        self._paused_until[installation_id] = self._clock() + limited.wait
        log.warning("github limit", installation=installation_id, seconds=round(limited.wait))
        return limited

    def _check_pause(self, installation_id: int) -> None:
        left = self._paused_until.get(installation_id, 0.0) - self._clock()
        if left > 0:
            raise Transient(f"GitHub's rate limit: again in {left:.0f} s", retry_after=left)


def _address(repository: Repository) -> str:
    """By number, as GitHub's own links do: a name may belong to another repository by now."""
    return f"/repositories/{repository.id}" if repository.id else f"/repos/{repository.full_name}"


def _page_of(shape: Any, under: str) -> Any:
    """An object's page: its list, by the name it has there, and how many items all pages have."""
    fields: list[tuple[str, Any, Any]] = [
        ("items", list[shape], msgspec.field(name=under)),
        ("total_count", int, msgspec.NODEFAULT),
    ]
    return msgspec.defstruct("Page", fields, frozen=True)
