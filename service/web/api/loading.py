"""What lists show beside their rows, read in a constant number of statements however long the list is."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Select, and_, func, select

from service.domain.model import App, Release, SlugId
from service.store import apps as app_rows
from service.store.apps import as_app
from service.store.releases import as_release
from service.store.rows import from_json
from service.store.tables import apps, couplings, pipelines, releases, slugs, users
from service.store.teams import names as team_names
from service.web.api.shapes import AppShown


def _current_slugs(conn: Connection, shown: Collection[str] | None) -> Mapping[str, Any]:
    query = (
        select(apps.c.id.label("app_id"), slugs.c.id, slugs.c.size, slugs.c.stack, slugs.c.process_types)
        .join(releases, releases.c.id == apps.c.current_release_id)
        .join(slugs, slugs.c.id == releases.c.slug_id)
    )
    if shown is not None:
        query = query.where(apps.c.id.in_(shown))
    return {row.app_id: row for row in conn.execute(query)}


def show_apps(conn: Connection, listed: Sequence[App]) -> list[AppShown]:
    """Add owner, space and slug to apps."""
    # Beyond a few, reading all is one plain scan; SQLite also bounds how many values a statement may carry.
    few = [app.id for app in listed] if len(listed) <= 50 else None
    emails = {row.id: row.email for row in conn.execute(select(users.c.id, users.c.email))}
    teams = team_names(conn)
    spaces = {space.id: space for space in app_rows.spaces(conn)}
    current = _current_slugs(conn, few)
    shown = []
    for app in listed:
        slug = current.get(app.id)
        shown.append(
            AppShown(
                app=app,
                owner_email=emails.get(app.owner_id or ""),
                team_name=teams.get(app.owner_id or ""),
                space=spaces[app.space_id],
                slug_size=None if slug is None else slug.size,
                stack=None if slug is None else slug.stack,
            )
        )
    return shown


def show_app(conn: Connection, app: App) -> AppShown:
    """Add owner, space and slug to one app."""
    return show_apps(conn, [app])[0]


def process_types(conn: Connection, app: App) -> Mapping[str, str]:
    """Read what the app's current release can run; without one, what its formation names."""
    slug = _current_slugs(conn, [app.id]).get(app.id)
    return dict.fromkeys(app.formation, "") if slug is None else from_json(slug.process_types, dict[str, str])


def app_names(conn: Connection) -> Mapping[str, str]:
    """Every app's name by its id; ids of apps that are gone keep theirs."""
    return {row.id: row.name for row in conn.execute(select(apps.c.id, apps.c.name))}


def pipeline_names(conn: Connection) -> Mapping[str, str]:
    """Every pipeline's name by its id."""
    return {row.id: row.name for row in conn.execute(select(pipelines.c.id, pipelines.c.name))}


def slugs_with_release_phase(conn: Connection, wanted: Collection[SlugId]) -> frozenset[str]:
    """Which of these slugs have a `release` process: only their releases have output to show."""
    rows = conn.execute(select(slugs.c.id, slugs.c.process_types).where(slugs.c.id.in_(wanted)))
    return frozenset(row.id for row in rows if "release" in from_json(row.process_types, dict[str, str]))


def latest_releases(conn: Connection, pipeline_id: str) -> list[tuple[App, Release]]:
    """Each app of a pipeline with its newest release, in two statements."""
    of_pipeline = _apps_of(pipeline_id)
    newest = (
        select(releases)
        .join(apps, and_(apps.c.id == releases.c.app_id, apps.c.last_release_version == releases.c.version))
        .where(apps.c.id.in_(of_pipeline))
    )
    return _with_apps(conn, newest, of_pipeline)


def latest_deployments(conn: Connection, pipeline_id: str) -> list[tuple[App, Release]]:
    """Each app of a pipeline with the newest release that has other code than the one before it."""
    of_pipeline, before = _apps_of(pipeline_id), releases.alias("before")
    # An app's versions have no gaps.
    follows = and_(before.c.app_id == releases.c.app_id, before.c.version == releases.c.version - 1)
    newest = (
        select(releases.c.app_id, func.max(releases.c.version).label("version"))
        .outerjoin(before, follows)
        .where(
            releases.c.app_id.in_(of_pipeline),
            releases.c.slug_id.is_not(None),
            releases.c.slug_id.is_distinct_from(before.c.slug_id),
        )
        .group_by(releases.c.app_id)
        .subquery()
    )
    same = and_(newest.c.app_id == releases.c.app_id, newest.c.version == releases.c.version)
    return _with_apps(conn, select(releases).join(newest, same), of_pipeline)


def _apps_of(pipeline_id: str) -> Select[tuple[str]]:
    return select(couplings.c.app_id).where(couplings.c.pipeline_id == pipeline_id)


def _with_apps(conn: Connection, newest: Select[Any], of_pipeline: Select[tuple[str]]) -> list[tuple[App, Release]]:
    found = conn.execute(select(apps).where(apps.c.id.in_(of_pipeline))).mappings()
    by_id = {row["id"]: as_app(row) for row in found}
    return [(by_id[row["app_id"]], as_release(row)) for row in conn.execute(newest).mappings()]
