"""What the dashboard's first page shows: all that a person sees, in a number of statements that does not grow."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, select

from service.domain.access import Person
from service.domain.model import App, Coupling, Pipeline, Release
from service.store import apps, pipelines, repositories, sight
from service.store.releases import as_release
from service.store.tables import apps as app_rows
from service.store.tables import releases as release_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """Apps and pipelines by name, with what is needed to say how they stand, by the ids of apps and repositories."""

    apps: list[App]
    pipelines: list[Pipeline]
    couplings: Mapping[str, Coupling]
    releases: Mapping[str, Release]
    engine_states: Mapping[str, str]
    repositories: Mapping[int, str]


def load(conn: Connection, by: Person) -> Home:
    """Read what the person sees."""
    serving = select(release_rows).join(app_rows, app_rows.c.current_release_id == release_rows.c.id)
    return Home(
        apps=sight.seen_apps(conn, by),
        pipelines=sight.seen_pipelines(conn, by),
        couplings={str(each.app_id): each for each in pipelines.all_couplings(conn)},
        releases={row["app_id"]: as_release(row) for row in conn.execute(serving).mappings()},
        engine_states={str(app_id): state for app_id, state in apps.engine_states(conn).items()},
        repositories={int(each.id): each.full_name for each in repositories.listing(conn)},
    )
