"""Apps: names, which are unique for ever, states and wanted config."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict, Unpack

from sqlalchemy import Connection, RowMapping, or_, select

from service.domain.errors import Refused
from service.domain.happenings import Engine
from service.domain.model import App, AppId, AppState, PipelineId, ReleaseId, RepositoryId, SpaceId
from service.store import changes, routes, rows
from service.store.database import new_id
from service.store.secrets import Vault
from service.store.spaces import ensure as ensure_space
from service.store.spaces import get as space
from service.store.spaces import listing as spaces
from service.store.tables import apps, couplings, deploy_locks, names, pushed_heads

__all__ = [
    "AppChange",
    "as_app",
    "config",
    "config_context",
    "create",
    "Served",
    "engine_id",
    "engine_state",
    "engine_states",
    "ensure_space",
    "find",
    "forget",
    "get",
    "gone_among",
    "listing",
    "rename",
    "served",
    "set_config",
    "set_state",
    "space",
    "spaces",
    "update",
]


class AppChange(TypedDict, total=False):
    """What `update` can change."""

    owner_id: str | None
    owner_type: str | None
    auto_deploy: bool
    auto_deploy_branch: str
    follows_default: bool
    wait_for_ci: bool
    maintenance: bool
    promotable: bool
    formation: Mapping[str, int]
    repository_id: RepositoryId | None
    current_release_id: ReleaseId | None
    released_at: datetime | None
    engine_state: str


def create(
    conn: Connection,
    *,
    name: str,
    space_id: SpaceId,
    owner_id: str | None,
    owner_type: str | None = "user",
    is_review: bool,
    now: datetime,
    pipeline_id: PipelineId | None = None,
) -> App:
    """Reserve the name and make the app; refuses a name that is taken. Without `owner_id` it is nobody's."""
    app_id = AppId(new_id())
    _reserve(conn, name=name, app_id=app_id, pipeline_id=pipeline_id)
    values = {
        "id": app_id,
        "name": name,
        "space_id": space_id,
        "owner_id": owner_id,
        "owner_type": owner_type if owner_id else None,
        "state": AppState.ACTIVE,
        "is_review": is_review,
        "created_at": now,
        "updated_at": now,
    }
    made = as_app(conn.execute(apps.insert().values(values).returning(apps)).mappings().one())
    changes.note(conn, None, made)
    return made


def get(conn: Connection, app_id: str) -> App | None:
    """The app, also when it is gone."""
    row = rows.one(conn, select(apps).where(apps.c.id == app_id))
    return as_app(row) if row else None


def find(conn: Connection, id_or_name: str) -> App | None:
    """The app of an id or a name, if it is not gone."""
    same = or_(apps.c.id == id_or_name, apps.c.name == id_or_name)
    row = rows.one(conn, select(apps).where(same, apps.c.state != AppState.GONE))
    return as_app(row) if row else None


def listing(conn: Connection) -> list[App]:
    """All apps that are not gone, by name."""
    found = conn.execute(select(apps).where(apps.c.state != AppState.GONE).order_by(apps.c.name))
    return [as_app(row) for row in found.mappings()]


def rename(conn: Connection, *, app: App, name: str, now: datetime) -> App:
    """Give the app another name; the old one becomes free and stops being routed."""
    pipeline_id = conn.execute(select(names.c.pipeline_id).where(names.c.name == app.name)).scalar()
    _reserve(conn, name=name, app_id=app.id, pipeline_id=pipeline_id)
    conn.execute(names.delete().where(names.c.name == app.name, names.c.app_id == app.id))
    routes.rename(conn, app_id=app.id, name=name)
    return _change(conn, app, now, {"name": name})


def set_state(conn: Connection, *, app: App, state: AppState, now: datetime) -> App:
    """Bring the app to another state; raises `Conflict` when it has changed since it was read."""
    return _change(conn, app, now, {"state": rows.reach(app.state, state)})


def update(conn: Connection, *, app: App, now: datetime, **change: Unpack[AppChange]) -> App:
    """Change some of its columns; raises `Conflict` when the app has changed since it was read."""
    values: dict[str, Any] = dict(change)
    if "formation" in change:
        values["formation"] = rows.to_json(dict(change["formation"]))
    seen = engine_state(conn, app.id) if "engine_state" in change else ""
    changed = _change(conn, app, now, values)
    if "engine_state" in change and seen != change["engine_state"]:
        before = Engine(app=app, state=seen)
        changes.note(conn, before, Engine(app=changed, state=change["engine_state"]))
    return changed


def forget(conn: Connection, *, app: App, now: datetime) -> App:
    """The app is verified gone: its name stays with its pipeline, everything that points to it ends."""
    conn.execute(names.update().where(names.c.app_id == app.id).values(app_id=None))
    parted = couplings.delete().where(couplings.c.app_id == app.id).returning(couplings.c.pipeline_id)
    left = conn.execute(parted).scalar()  # who listens to the pipeline is still to hear of this
    conn.execute(deploy_locks.delete().where(deploy_locks.c.app_id == app.id))
    conn.execute(pushed_heads.delete().where(pushed_heads.c.app_id == app.id))
    routes.delete(conn, app.id)
    gone = rows.reach(app.state, AppState.GONE)
    return _change(conn, app, now, {"state": gone, "wanted_config": None, "auto_deploy": False}, left=left)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """An app with what its engine is to run and was last seen to do."""

    app: App
    engine_id: str
    engine_state: str


def served(conn: Connection, app_id: str | None = None) -> list[Served]:
    """All apps (or the one) that an engine is to run, in one statement."""
    query = select(apps).where(apps.c.state == AppState.ACTIVE, apps.c.current_release_id.is_not(None))
    if app_id is not None:
        query = query.where(apps.c.id == app_id)
    return [
        Served(
            app=as_app(row),
            engine_id=engine_id(row["current_release_id"], row["incarnation"]),
            engine_state=row["engine_state"],
        )
        for row in conn.execute(query).mappings()
    ]


def engine_id(release_id: str, incarnation: int) -> str:
    """Name a release for the engine: what has another name is started anew."""
    return f"{release_id}.{incarnation}"


def gone_among(conn: Connection, app_ids: Iterable[str]) -> list[App]:
    """Which of the apps are gone."""
    query = select(apps).where(apps.c.state == AppState.GONE, apps.c.id.in_(list(app_ids)))
    return [as_app(row) for row in conn.execute(query).mappings()]


def known_among(conn: Connection, app_ids: Iterable[str]) -> set[str]:
    """Which of the apps there are or have been."""
    return set(conn.execute(select(apps.c.id).where(apps.c.id.in_(list(app_ids)))).scalars())


def engine_states(conn: Connection) -> dict[AppId, str]:
    """What the engine was last seen to do, for every app that is not gone."""
    found = conn.execute(select(apps.c.id, apps.c.engine_state).where(apps.c.state != AppState.GONE))
    return {AppId(app_id): state for app_id, state in found}


def engine_state(conn: Connection, app_id: str) -> str:
    """What the engine was last seen to do with the app."""
    return conn.execute(select(apps.c.engine_state).where(apps.c.id == app_id)).scalar() or ""


def config(conn: Connection, vault: Vault, app_id: str) -> dict[str, str]:
    """The wanted config vars."""
    sealed = conn.execute(select(apps.c.wanted_config).where(apps.c.id == app_id)).scalar()
    return vault.unseal_vars(sealed, config_context(app_id)) if sealed else {}


def set_config(
    conn: Connection,
    vault: Vault,
    *,
    app_id: str,
    vars: Mapping[str, str],  # noqa: A002
    now: datetime,
) -> None:
    """Replace the wanted config vars."""
    sealed = vault.seal_vars(vars, config_context(app_id))
    conn.execute(apps.update().where(apps.c.id == app_id).values(wanted_config=sealed, updated_at=now))


def config_context(app_id: str) -> str:
    """What a sealed wanted config is bound to."""
    return f"app {app_id} config"


def as_app(row: RowMapping) -> App:
    """The app of a row."""
    return App(
        id=row["id"],
        name=row["name"],
        space_id=row["space_id"],
        owner_id=row["owner_id"],
        owner_type=row["owner_type"],
        state=AppState(row["state"]),
        is_review=row["is_review"],
        generation=row["generation"],
        current_release_id=row["current_release_id"],
        repository_id=row["repository_id"],
        auto_deploy=row["auto_deploy"],
        auto_deploy_branch=row["auto_deploy_branch"],
        follows_default=row["follows_default"],
        wait_for_ci=row["wait_for_ci"],
        maintenance=row["maintenance"],
        promotable=row["promotable"],
        formation=rows.from_json(row["formation"], dict[str, int]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        released_at=row["released_at"],
        version=row["row_version"],
    )


def _change(
    conn: Connection, app: App, now: datetime, values: Mapping[str, object], *, left: PipelineId | None = None
) -> App:
    changed = as_app(rows.compare_and_set(conn, apps, key=app.id, version=app.version, now=now, values=values))
    changes.note(conn, app, changed, left=left)
    return changed


def _reserve(conn: Connection, *, name: str, app_id: AppId, pipeline_id: str | None) -> None:
    held = rows.one(conn, select(names).where(names.c.name == name))
    if held is None:
        conn.execute(names.insert().values(name=name, app_id=app_id, pipeline_id=pipeline_id))
        return
    if held["app_id"] is not None or held["pipeline_id"] not in {None, pipeline_id}:
        raise Refused(f"Name {name} is already taken")
    conn.execute(names.update().where(names.c.name == name).values(app_id=app_id, pipeline_id=pipeline_id))
