"""Releases: an app's slug and config under numbers that are never used again."""

import json
from datetime import datetime

from sqlalchemy import Connection, RowMapping, select

from service.domain.decisions import ChangeConfig
from service.domain.model import Release, ReleaseId, ReleaseState
from service.store import changes, rows
from service.store.database import new_id
from service.store.secrets import Vault
from service.store.tables import apps, releases, requests


def create(
    conn: Connection,
    *,
    app_id: str,
    request_id: str,
    slug_id: str | None,
    commit: str | None,
    repository_id: int | None,
    description: str,
    actor: str,
    log_id: str,
    now: datetime,
) -> Release:
    """The request's release, made under the app's next number if there is none yet."""
    made = of_request(conn, request_id)
    if made:
        return made
    raised = apps.update().where(apps.c.id == app_id).values(last_release_version=apps.c.last_release_version + 1)
    values = {
        "id": new_id(),
        "app_id": app_id,
        "version": conn.execute(raised.returning(apps.c.last_release_version)).scalar_one(),
        "state": ReleaseState.PENDING,
        "request_id": request_id,
        "slug_id": slug_id,
        "commit_sha": commit,
        "repository_id": repository_id,
        "description": description,
        "actor": actor,
        "log_id": log_id,
        "created_at": now,
        "updated_at": now,
    }
    made = as_release(conn.execute(releases.insert().values(values).returning(releases)).mappings().one())
    changes.note(conn, None, made)
    return made


def fix(
    conn: Connection,
    *,
    release_id: str,
    slug_id: str | None,
    commit: str | None,
    repository_id: int | None,
    sealed_config: bytes,
    now: datetime,
) -> Release:
    """Settle what the release runs, when its turn starts; seal the config under `config_context`."""
    return _change(
        conn,
        release_id,
        slug_id=slug_id,
        commit_sha=commit,
        repository_id=repository_id,
        sealed_config=sealed_config,
        updated_at=now,
    )


def is_fixed(conn: Connection, release_id: str) -> bool:
    """Whether its turn has started."""
    return conn.execute(select(releases.c.sealed_config).where(releases.c.id == release_id)).scalar() is not None


def finish(conn: Connection, *, release_id: str, state: ReleaseState, error: str, now: datetime) -> Release:
    """Bring the release to its end."""
    made = get(conn, release_id)
    assert made is not None
    ended = _change(conn, release_id, state=rows.reach(made.state, state), error=error, updated_at=now)
    changes.note(conn, made, ended)
    return ended


def get(conn: Connection, release_id: str) -> Release | None:
    """One release."""
    row = rows.one(conn, select(releases).where(releases.c.id == release_id))
    return as_release(row) if row else None


def of_app(conn: Connection, app_id: str, limit: int | None = None) -> list[Release]:
    """The app's releases, newest first."""
    query = select(releases).where(releases.c.app_id == app_id).order_by(releases.c.version.desc()).limit(limit)
    return [as_release(row) for row in conn.execute(query).mappings()]


def of_slug(conn: Connection, app_id: str, slug_id: str) -> list[Release]:
    """The app's releases of a slug, newest first."""
    query = select(releases).where(releases.c.app_id == app_id, releases.c.slug_id == slug_id)
    return [as_release(row) for row in conn.execute(query.order_by(releases.c.version.desc())).mappings()]


def branch_if_newest(conn: Connection, app_id: str, slug_id: str) -> str:
    """Return the branch whose head the slug is, if the app has been given no other code since; else empty.

    A change of config vars brings no code, whatever becomes of it.
    """
    query = (
        select(releases.c.slug_id, requests.c.work)
        .join(requests, requests.c.id == releases.c.request_id)
        .where(releases.c.app_id == app_id, requests.c.kind != ChangeConfig.__name__)
        .order_by(releases.c.version.desc())
        .limit(1)
    )
    row = rows.one(conn, query)
    return str(json.loads(row["work"]).get("branch") or "") if row and row["slug_id"] == slug_id else ""


def of_request(conn: Connection, request_id: str) -> Release | None:
    """The release that a request led to."""
    row = rows.one(conn, select(releases).where(releases.c.request_id == request_id))
    return as_release(row) if row else None


def by_version(conn: Connection, app_id: str, version: int) -> Release | None:
    """The app's release of that number."""
    row = rows.one(conn, select(releases).where(releases.c.app_id == app_id, releases.c.version == version))
    return as_release(row) if row else None


def last_succeeded(conn: Connection, app_id: str, before_version: int | None = None) -> Release | None:
    """The newest release that succeeded, on which the next one builds."""
    query = select(releases).where(releases.c.app_id == app_id, releases.c.state == ReleaseState.SUCCEEDED)
    if before_version is not None:
        query = query.where(releases.c.version < before_version)
    row = rows.one(conn, query.order_by(releases.c.version.desc()).limit(1))
    return as_release(row) if row else None


def config(conn: Connection, vault: Vault, release_id: str) -> dict[str, str]:
    """The full config the release runs with; empty until it is fixed."""
    sealed = conn.execute(select(releases.c.sealed_config).where(releases.c.id == release_id)).scalar()
    return vault.unseal_vars(sealed, config_context(release_id)) if sealed else {}


def config_context(release_id: str) -> str:
    """What a sealed release config is bound to."""
    return f"release {release_id} config"


def as_release(row: RowMapping) -> Release:
    """The release of a row."""
    return Release(
        id=ReleaseId(row["id"]),
        app_id=row["app_id"],
        version=row["version"],
        state=ReleaseState(row["state"]),
        request_id=row["request_id"],
        slug_id=row["slug_id"],
        commit=row["commit_sha"],
        repository_id=row["repository_id"],
        description=row["description"],
        actor=row["actor"],
        error=row["error"],
        log_id=row["log_id"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _change(conn: Connection, release_id: str, **values: object) -> Release:
    changed = releases.update().where(releases.c.id == release_id).values(**values).returning(releases)
    return as_release(conn.execute(changed).mappings().one())
