"""Which app a host name means, and the table of routes as last read from the database."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, unique
from ipaddress import ip_address
from typing import Literal
from urllib.parse import urlsplit

import structlog

from service.domain.errors import Transient

log = structlog.get_logger()

State = Literal["live", "starting", "crashed", "stopped", "suspended", "maintenance"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One app as the router sees it. Endpoints are written as in `workers.platforms.base.Endpoint.address`."""

    app_id: str
    app_name: str
    state: State
    review: bool = False
    endpoints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteTable:
    """Every route by host label, and the version it was read at."""

    version: int
    routes: Mapping[str, Route] = field(default_factory=dict)


@unique
class Place(Enum):
    """What a host name means when it is not an app's."""

    WEB = "web"
    NOWHERE = "nowhere"


def host_name(host: str) -> str:
    """`host` in lower case without its port and the root dot; brackets of an IPv6 address go as well."""
    name = host.strip().lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.partition(":")[0].removesuffix(".")


def is_address(name: str) -> bool:
    """Whether `name` is an IP address."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosts:
    """The names this installation answers to."""

    apps_domain: str
    review_domain: str
    public_host: str

    @classmethod
    def of(cls, *, apps_domain: str, review_domain: str, url: str) -> "Hosts":
        """The names that follow from the settings; domains may be written with a port."""
        return cls(
            apps_domain=host_name(apps_domain),
            review_domain=host_name(review_domain),
            public_host=urlsplit(url).hostname or "",
        )

    def find(self, host: str, table: RouteTable) -> Route | Place:
        """The app that `host` names; a review app only under the review domain, any other only under the apps'."""
        name = host_name(host)
        if name in {self.public_host, "localhost"} or is_address(name):
            return Place.WEB
        label, _, domain = name.partition(".")
        route = table.routes.get(label)
        if route is None or domain != (self.review_domain if route.review else self.apps_domain):
            return Place.NOWHERE
        return route


class LiveTable:
    """The newest table known. Requests read `current`; the database is asked beside them, not by them."""

    def __init__(self, *, load: Callable[[], Awaitable[RouteTable]], version: Callable[[], Awaitable[int]]) -> None:
        self.current = RouteTable(version=-1)
        self.on_change: Callable[[RouteTable], None] = lambda _: None
        self._load = load
        self._version = version
        self._lock = asyncio.Lock()
        self._begun = 0

    async def refresh(self) -> None:
        """Read the table again if its version has changed. Callers that arrive together share one question."""
        asked = self._begun
        async with self._lock:
            if self._begun > asked:  # a check that began after we asked has ended while we waited
                return
            self._begun += 1
            if await self._version() != self.current.version:
                self.current = await self._load()
                self.on_change(self.current)

    async def watch(self, *, seconds: float = 0.1) -> None:
        """Refresh for ever. While the database does not answer the last table goes on serving."""
        answering = True
        while True:
            try:
                await self.refresh()
            except (Transient, OSError) as error:
                if answering:
                    log.warning("route table not readable", error=str(error))
                answering = False
            else:
                answering = True
            await asyncio.sleep(seconds)
