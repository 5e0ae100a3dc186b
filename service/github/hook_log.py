"""What GitHub sent, or tried to send, to a webhook: its own log of deliveries, with every payload.

The log is that of our App's hook, or of a hook that a repository has of its own. It is listed newest first; nothing is
promised about the order in which entries appear. No payload in it is signed: that GitHub's API says so is as good.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Final, Protocol
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from service.domain.errors import Transient
from service.domain.model import Repository
from service.github.client import PER_PAGE, GitHub
from service.github.payloads import Id, Moment
from service.github.transport import Reply

HOOK_PATH: Final = "/github/webhooks"
"""Where a webhook's address ends that is meant for us, whatever host it names."""
NEEDED_EVENTS: Final = frozenset({"push", "pull_request"})
MOST_PAGES: Final = 1000
"""Three days of a very busy organization; a list that has no end is a lie."""
LARGE: Final = 256 * 1024


class ListedDelivery(Struct, frozen=True):
    """An attempt at a delivery, without what was sent. One that was repeated is listed again, with the same GUID."""

    id: Id
    guid: Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]{8,64}\Z")]
    delivered_at: Moment
    event: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,63}\Z")]
    action: str | None = None
    redelivery: bool = False
    installation_id: int | None = None
    repository_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page of the list, or GitHub's refusal to show it. Entries that nobody could take are left out of it."""

    deliveries: tuple[ListedDelivery, ...] = ()
    etag: str = ""
    not_modified: bool = False
    refused: Reply | None = None


class _Config(Struct, frozen=True):
    url: str = ""


class Hook(Struct, frozen=True):
    """A repository's own webhook."""

    id: Id
    active: bool
    events: list[str]
    config: _Config = msgspec.field(default_factory=_Config)

    @property
    def is_ours(self) -> bool:
        """Whether it was made for a Towpath; that its host cannot be reached is why it is pulled."""
        try:
            return urlsplit(self.config.url).path.rstrip("/").endswith(HOOK_PATH)
        except ValueError:
            return False

    @property
    def tells_all(self) -> bool:
        """Whether it is sent everything without which there is nothing to do."""
        return "*" in self.events or set(self.events) >= NEEDED_EVENTS


class _Sent(Struct, frozen=True):
    payload: msgspec.Raw = msgspec.Raw(b"null")


class _Whole(Struct, frozen=True):
    request: _Sent


class _Ask(Protocol):
    async def __call__(
        self, path: str, *, params: dict[str, str] | None = None, etag: str = "", raw: bool = False
    ) -> Reply: ...


class HookLog:
    """The log of one hook."""

    APP_PATH: Final = "/app/hook/deliveries"

    def __init__(self, ask: _Ask, path: str) -> None:
        self._ask = ask
        self._path = path

    @classmethod
    def of_app(cls, github: GitHub) -> "HookLog":
        """That of our GitHub App."""
        return cls(github.as_app, cls.APP_PATH)

    @classmethod
    def of_hook(cls, github: GitHub, repository: Repository, hook: Hook) -> "HookLog":
        """That of a repository's own hook, which its admins may read."""
        return cls(partial(github.request, "GET", repository), f"/hooks/{hook.id}/deliveries")

    async def pages(self, *, etag: str = "") -> AsyncIterator[Page]:
        """Page by page, the newest first; the first one only if it is not as it was under `etag`.

        Raises `Transient` when GitHub does not answer, or answers what is no list.
        """
        reply = await self._ask(self._path, params={"per_page": str(PER_PAGE)}, etag=etag)
        for _ in range(MOST_PAGES):
            if reply.status == 304:
                yield Page(not_modified=True, etag=etag)
            elif not reply.ok:
                yield Page(refused=reply)
            else:
                yield Page(deliveries=tuple(_readable(reply)), etag=reply.etag)
            if not reply.next_url:
                return
            reply = await self._ask(reply.next_url)
        raise Transient(f"GitHub lists more than {MOST_PAGES * PER_PAGE} deliveries")

    async def payload(self, delivery_id: int) -> bytes | None:
        """The JSON object that was sent, as bytes; None when GitHub no longer has it. Raises `Transient`."""
        reply = await self._ask(f"{self._path}/{delivery_id}", raw=True)
        if reply.status in {404, 410, 422}:
            return None
        if not reply.ok:
            raise Transient(f"GitHub does not show delivery {delivery_id}: {reply.message}")
        if len(reply.body) > LARGE:
            return await asyncio.to_thread(_payload_of, reply.body)
        return _payload_of(reply.body)


def _readable(reply: Reply) -> list[ListedDelivery]:
    """One entry that is not as it should be does not keep us from the others; a list of nothing else is no list."""
    found, entries = [], reply.read(list[object])
    for entry in entries:
        try:
            found.append(msgspec.convert(entry, ListedDelivery))
        except msgspec.ValidationError:
            continue
    if entries and not found:
        raise Transient("GitHub's list of deliveries cannot be read")
    return found


def _payload_of(body: bytes) -> bytes | None:
    try:
        payload = bytes(msgspec.json.decode(body, type=_Whole).request.payload)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise Transient(f"GitHub's answer could not be read: {type(error).__name__}") from error
    return payload if payload.startswith(b"{") else None


async def hooks_of(github: GitHub, repository: Repository) -> list[Hook] | Reply:
    """The repository's own webhooks that are meant for us, active or not; or GitHub's refusal to name them."""
    listing = await github.listing(repository, "/hooks", shape=Hook)
    if listing.refused is not None:
        return listing.refused
    return [hook for hook in listing.items if hook.is_ours]
