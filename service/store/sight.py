"""What a person may do and see, read from the rows: every list and every look-up of the API goes through here.

The rules are `domain/access.py`'s; this loads what they need, in a number of statements that does not grow with what
there is.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, select

from service.domain.access import NONE, Owner, Permission, Permissions, Person, on_app, on_pipeline, owner_of
from service.domain.model import App, Coupling, Pipeline, Stage
from service.store import activity, apps, grants, pipelines, teams, users
from service.store.tables import apps as app_rows
from service.store.tables import couplings as coupling_rows
from service.store.tables import pipelines as pipeline_rows


def person(conn: Connection, user: users.User) -> Person:
    """A user with their teams and grants."""
    return Person(
        id=user.id,
        is_admin=user.is_admin,
        teams=teams.of_user(conn, user.id),
        grants=grants.of_user(conn, user.id),
    )


def to_app(by: Person, app: App) -> Permissions:
    """What the person may do to the app."""
    return on_app(by, owner_of(app), app.id)


def still_to_app(conn: Connection, user_id: str, app_id: str) -> Permissions:
    """What a user may do to an app by now; nothing once there is the user or the app no more."""
    user, app = users.get(conn, user_id), apps.get(conn, app_id)
    return to_app(person(conn, user), app) if user and app else NONE


def to_pipelines(conn: Connection, by: Person, among: Collection[Pipeline]) -> Mapping[str, Permissions]:
    """What the person may do to each of the pipelines, by id."""
    few = [each.id for each in among] if len(among) <= 50 else None
    inside = _inside(conn, few)
    return {each.id: on_pipeline(by, owner_of(each), inside.get(each.id, ())) for each in among}


def to_pipeline(conn: Connection, by: Person, pipeline: Pipeline) -> Permissions:
    """What the person may do to the pipeline."""
    return to_pipelines(conn, by, [pipeline])[pipeline.id]


def seen_apps(conn: Connection, by: Person) -> list[App]:
    """The apps that the person sees, by name; none that is gone."""
    return [app for app in apps.listing(conn) if Permission.VIEW in to_app(by, app)]


def seen_pipelines(conn: Connection, by: Person) -> list[Pipeline]:
    """The pipelines that the person sees, by name."""
    listed = pipelines.listing(conn)
    may = to_pipelines(conn, by, listed)
    return [each for each in listed if Permission.VIEW in may[each.id]]


def seen_couplings(conn: Connection, by: Person) -> list[Coupling]:
    """The couplings of the pipelines that the person sees, oldest first."""
    seen = {each.id for each in seen_pipelines(conn, by)}
    return [each for each in pipelines.all_couplings(conn) if each.pipeline_id in seen]


def stage_of(conn: Connection, app: App) -> Stage | None:
    """The app's stage, if it is in a pipeline."""
    coupling = pipelines.coupling_of(conn, app.id)
    return coupling.stage if coupling else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The names of apps and pipelines that a person sees, by id; of apps that are gone, too."""

    apps: Mapping[str, str]
    pipelines: Mapping[str, str]


def seen_names(conn: Connection, by: Person) -> Seen:
    """What the person sees, by its names."""
    listed = conn.execute(select(app_rows.c.id, app_rows.c.name, app_rows.c.owner_id, app_rows.c.owner_type))
    named = {
        row.id: row.name
        for row in listed
        if Permission.VIEW in on_app(by, _owner(row.owner_id, row.owner_type), row.id)
    }
    inside = _inside(conn, None)
    found = conn.execute(
        select(pipeline_rows.c.id, pipeline_rows.c.name, pipeline_rows.c.owner_id, pipeline_rows.c.owner_type)
    )
    return Seen(
        apps=named,
        pipelines={
            row.id: row.name
            for row in found
            if Permission.VIEW in on_pipeline(by, _owner(row.owner_id, row.owner_type), inside.get(row.id, ()))
        },
    )


def sees_entry(by: Person, seen: Seen, it: activity.Entry, *, actor: str) -> bool:
    """Whether an entry of the log is about what the person sees, or of what they did themselves, as `actor`.

    An administrator of the installation sees what is about neither app nor pipeline, too.
    """
    general = by.is_admin and it.app_id is None and it.pipeline_id is None
    return general or it.actor == actor or it.app_id in seen.apps or it.pipeline_id in seen.pipelines


def _inside(conn: Connection, among: Collection[str] | None) -> Mapping[str, list[tuple[str, Owner | None]]]:
    """The apps of pipelines (of all, or of these) with their owners, in one statement."""
    query = select(coupling_rows.c.pipeline_id, app_rows.c.id, app_rows.c.owner_id, app_rows.c.owner_type).join(
        app_rows, app_rows.c.id == coupling_rows.c.app_id
    )
    if among is not None:
        query = query.where(coupling_rows.c.pipeline_id.in_(among))
    found: dict[str, list[tuple[str, Owner | None]]] = {}
    for row in conn.execute(query):
        found.setdefault(row.pipeline_id, []).append((row.id, _owner(row.owner_id, row.owner_type)))
    return found


def _owner(owner_id: str | None, owner_type: str | None) -> Owner | None:
    if owner_id is None:
        return None
    return Owner(type="team" if owner_type == "team" else "user", id=owner_id)
