"""Where the router sends an app's requests; every change raises the version that routers watch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, insert, select, update
from sqlalchemy import delete as sql_delete

from service.domain.model import App, AppId, ReleaseId
from service.store import rows
from service.store.tables import apps, counters, routes

_COUNTER = "route_version"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One app's route; the endpoints' form belongs to the space's driver."""

    app_id: AppId
    name: str
    review: bool
    state: str
    endpoints: tuple[str, ...]
    release_id: ReleaseId | None


def put(
    conn: Connection,
    *,
    app_id: str,
    name: str,
    review: bool,
    state: str,
    endpoints: Sequence[str],
    release_id: str | None,
) -> None:
    """Make the app's route so."""
    values = {
        "name": name,
        "review": review,
        "state": state,
        "endpoints": rows.to_json(list(endpoints)),
        "release_id": release_id,
    }
    row = rows.one(conn, select(routes).where(routes.c.app_id == app_id))
    if row is None:
        conn.execute(insert(routes).values(app_id=app_id, **values))
        _raise_version(conn)
    else:
        _change(conn, row, values)


def announce(conn: Connection, *, app: App) -> None:
    """Let visitors of an app that has never been live see that it is on its way."""
    if rows.one(conn, select(routes.c.app_id).where(routes.c.app_id == app.id)) is None:
        state = "maintenance" if app.maintenance else "starting"
        put(conn, app_id=app.id, name=app.name, review=app.is_review, state=state, endpoints=(), release_id=None)


def withdraw(conn: Connection, *, app_id: str) -> None:
    """Undo `announce`: it did not come up. What is or was live is left."""
    announced = routes.c.release_id.is_(None)
    if conn.execute(sql_delete(routes).where(routes.c.app_id == app_id, announced)).rowcount:
        _raise_version(conn)


def keep(conn: Connection, route: Route) -> None:
    """Make a route that there is so; one that was taken away meanwhile stays away."""
    row = rows.one(conn, select(routes).where(routes.c.app_id == route.app_id))
    if row is not None:
        endpoints = rows.to_json(list(route.endpoints))
        _change(conn, row, {"state": route.state, "endpoints": endpoints, "release_id": route.release_id})


def refresh(conn: Connection, *, app_id: str) -> None:
    """Bring the app's route, if it has one, up to the app's name and maintenance switch; a suspended one stays so."""
    row = rows.one(conn, select(routes).where(routes.c.app_id == app_id))
    app = rows.one(conn, select(apps.c.name, apps.c.maintenance).where(apps.c.id == app_id))
    if row is None or app is None:
        return
    was = row["state"]
    if was == "maintenance":
        was = "starting" if row["release_id"] is None else "live"
    closed = app["maintenance"] and was != "suspended"
    _change(conn, row, {"name": app["name"], "state": "maintenance" if closed else was})


def rename(conn: Connection, *, app_id: str, name: str) -> None:
    """Route another name to the app, if it has a route."""
    row = rows.one(conn, select(routes).where(routes.c.app_id == app_id))
    if row is not None:
        _change(conn, row, {"name": name})


def delete(conn: Connection, app_id: str) -> None:
    """Route nothing to the app."""
    if conn.execute(sql_delete(routes).where(routes.c.app_id == app_id)).rowcount:
        _raise_version(conn)


def version(conn: Connection) -> int:
    """Grows with every change."""
    return conn.execute(select(counters.c.value).where(counters.c.name == _COUNTER)).scalar() or 0


def load(conn: Connection) -> list[Route]:
    """All routes."""
    return [_route(row) for row in conn.execute(select(routes).order_by(routes.c.name)).mappings()]


def of_app(conn: Connection, app_id: str) -> Route | None:
    """One app's route."""
    row = rows.one(conn, select(routes).where(routes.c.app_id == app_id))
    return _route(row) if row else None


def _change(conn: Connection, row: RowMapping, values: dict[str, Any]) -> None:
    if any(row[name] != value for name, value in values.items()):
        conn.execute(update(routes).where(routes.c.app_id == row["app_id"]).values(values))
        _raise_version(conn)


def _raise_version(conn: Connection) -> None:
    raised = update(counters).where(counters.c.name == _COUNTER).values(value=counters.c.value + 1)
    if not conn.execute(raised).rowcount:
        conn.execute(insert(counters).values(name=_COUNTER, value=1))


def _route(row: RowMapping) -> Route:
    return Route(
        app_id=AppId(row["app_id"]),
        name=row["name"],
        review=row["review"],
        state=row["state"],
        endpoints=tuple(rows.from_json(row["endpoints"], list[str])),
        release_id=row["release_id"],
    )
