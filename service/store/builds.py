"""Builds, and the slugs they give: a build key leads to a slug, and only within its own trust."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, RowMapping, or_, select

from service.domain.model import NO_SHA, Build, BuildId, BuildState, Slug, SlugId, Trust
from service.store import changes, rows
from service.store.database import new_id
from service.store.tables import build_keys, builds, slugs


def create(
    conn: Connection,
    *,
    app_id: str,
    request_id: str,
    repository_id: int | None,
    sha: str,
    log_id: str,
    now: datetime,
) -> Build:
    """The request's build, made if there is none yet."""
    made = of_request(conn, request_id)
    if made:
        return made
    values = {
        "id": new_id(),
        "app_id": app_id,
        "request_id": request_id,
        "repository_id": repository_id,
        "sha": sha,
        "state": BuildState.PENDING,
        "log_id": log_id,
        "created_at": now,
        "updated_at": now,
    }
    begun = as_build(conn.execute(builds.insert().values(values).returning(builds)).mappings().one())
    changes.note(conn, None, begun)
    return begun


def finish(
    conn: Connection,
    *,
    build_id: str,
    state: BuildState,
    slug_id: str | None,
    error: str,
    now: datetime,
    reused: bool = False,
    build_key: str = "",
) -> Build:
    """Bring the build to its end, once; `reused` says that nothing had to be built."""
    made = get(conn, build_id)
    assert made is not None
    if made.state is state:
        return made  # a successor that repeats the step finds it done
    change = (
        builds.update()
        .where(builds.c.id == build_id)
        .values(
            state=rows.reach(made.state, state),
            slug_id=slug_id,
            error=error,
            reused=reused,
            build_key=build_key,
            updated_at=now,
        )
    )
    ended = as_build(conn.execute(change.returning(builds)).mappings().one())
    changes.note(conn, made, ended)
    return ended


def get(conn: Connection, build_id: str) -> Build | None:
    """One build."""
    row = rows.one(conn, select(builds).where(builds.c.id == build_id))
    return as_build(row) if row else None


def pending(conn: Connection) -> list[str]:
    """The ids of builds that may still be worked on."""
    return list(conn.execute(select(builds.c.id).where(builds.c.state == BuildState.PENDING)).scalars())


def sent_is_pending(conn: Connection) -> bool:
    """Whether a packed source may still be worked on: it is of no commit that anybody knows."""
    found = select(builds.c.id).where(builds.c.state == BuildState.PENDING, builds.c.sha == NO_SHA).limit(1)
    return conn.execute(found).first() is not None


def of_app(conn: Connection, app_id: str, limit: int) -> list[Build]:
    """The app's builds, newest first."""
    query = select(builds).where(builds.c.app_id == app_id).order_by(builds.c.created_at.desc()).limit(limit)
    return [as_build(row) for row in conn.execute(query).mappings()]


def of_request(conn: Connection, request_id: str) -> Build | None:
    """The build that a request led to."""
    row = rows.one(conn, select(builds).where(builds.c.request_id == request_id))
    return as_build(row) if row else None


def slug_for(conn: Connection, *, trust: Trust, build_key: str, unlocked_since: datetime) -> Slug | None:
    """What the key gave before; what was built without a lock file only if it was built since `unlocked_since`."""
    query = (
        select(slugs)
        .join(build_keys, build_keys.c.slug_id == slugs.c.id)
        .where(build_keys.c.trust == trust, build_keys.c.build_key == build_key)
        .where(or_(build_keys.c.locked, build_keys.c.created_at >= unlocked_since))
    )
    row = rows.one(conn, query)
    return as_slug(row) if row else None


def add_slug(
    conn: Connection,
    *,
    trust: Trust,
    build_key: str,
    sha256: str,
    size: int,
    process_types: Mapping[str, str],
    stack: str,
    locked: bool,
    now: datetime,
) -> Slug:
    """The slug of that content, made if there is none yet; from now on the key leads to it.

    `locked` says that the key can give nothing else: all that was installed is named by version in the tree.
    """
    row = rows.one(conn, select(slugs).where(slugs.c.trust == trust, slugs.c.sha256 == sha256))
    if row is None:
        values = {
            "id": new_id(),
            "trust": trust,
            "build_key": build_key,
            "sha256": sha256,
            "size": size,
            "process_types": rows.to_json(dict(process_types)),
            "stack": stack,
            "created_at": now,
        }
        row = conn.execute(slugs.insert().values(values).returning(slugs)).mappings().one()
    known = (build_keys.c.trust == trust) & (build_keys.c.build_key == build_key)
    gave = {"slug_id": row["id"], "locked": locked, "created_at": now}
    if not conn.execute(build_keys.update().where(known).values(gave)).rowcount:
        conn.execute(build_keys.insert().values(trust=trust, build_key=build_key, **gave))
    return as_slug(row)


def slug(conn: Connection, slug_id: str) -> Slug | None:
    """One slug."""
    row = rows.one(conn, select(slugs).where(slugs.c.id == slug_id))
    return as_slug(row) if row else None


def as_build(row: RowMapping) -> Build:
    """The build of a row."""
    return Build(
        id=BuildId(row["id"]),
        app_id=row["app_id"],
        request_id=row["request_id"],
        repository_id=row["repository_id"],
        sha=row["sha"],
        state=BuildState(row["state"]),
        slug_id=row["slug_id"],
        error=row["error"],
        log_id=row["log_id"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def as_slug(row: RowMapping) -> Slug:
    """The slug of a row."""
    return Slug(
        id=SlugId(row["id"]),
        trust=Trust(row["trust"]),
        build_key=row["build_key"],
        sha256=row["sha256"],
        size=row["size"],
        process_types=rows.from_json(row["process_types"], dict[str, str]),
        stack=row["stack"],
        created_at=row["created_at"],
    )
