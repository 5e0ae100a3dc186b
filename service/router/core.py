"""What every connection of the router shares, and the record of a served request."""

from collections.abc import Callable
from dataclasses import dataclass

from service.router.limits import Limits
from service.router.table import Hosts, LiveTable, Place, Route, RouteTable
from service.router.upstream import Pool


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One request as it went. `app_id` is empty for Towpath's own web process and for unknown hosts."""

    app_id: str
    method: str
    host: str
    path: str
    status: int
    code: str  # "" when the app answered, else the router's page or what broke
    client: str
    request_id: str
    connect_ms: int
    service_ms: int
    bytes: int

    def line(self) -> str:
        """The request as Heroku's router logs it."""
        fault = f'at=error code={self.code} desc="{self.code}"' if self.code else "at=info"
        return (
            f'{fault} method={self.method} path="{self.path}" host={self.host} request_id={self.request_id} '
            f'fwd="{self.client}" connect={self.connect_ms}ms service={self.service_ms}ms '
            f"status={self.status} bytes={self.bytes} protocol=http"
        )


@dataclass(slots=True, kw_only=True)
class Core:
    """Shared by all connections."""

    table: LiveTable
    hosts: Hosts
    web: Route
    pool: Pool
    limits: Limits
    on_request: Callable[[Served], None] | None
    draining: bool = False

    def find(self, host: str) -> Route | None:
        """The route of `host` by the newest table; None when nothing is known under it."""
        match self.hosts.find(host, self.table.current):
            case Route() as route:
                return route
            case Place.WEB:
                return self.web
            case Place.NOWHERE:
                return None

    def switch(self, table: RouteTable) -> None:
        """Let go of connections to endpoints that the new table no longer names."""
        self.pool.retain({*self.web.endpoints, *(a for route in table.routes.values() for a in route.endpoints)})
