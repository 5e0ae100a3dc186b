"""Deploy locks: what keeps new code out of an app or of a pipeline's apps, since when, and by whose word."""

from collections.abc import Callable, Iterable
from datetime import datetime

from aiohttp import web
from sqlalchemy import Connection

from service.domain.access import Permission
from service.domain.deploy_lock import DeployLock
from service.domain.errors import Refused
from service.settings import Settings
from service.store import deploy_locks, people
from service.store.people import People
from service.store.sight import seen_names
from service.web import rights
from service.web.api import answers, bodies, shapes
from service.web.api.finding import app_in_path, find_app, find_pipeline, pipeline_in_path
from service.web.keys import CALLER, CONTEXT


def _shape(it: DeployLock, known: People, settings: Settings) -> shapes.Json:
    """A lock; of its app and its pipeline one is null."""
    return {
        "id": it.id,
        "app": None if it.app_id is None else {"id": it.app_id, "name": it.name},
        "pipeline": None if it.pipeline_id is None else {"id": it.pipeline_id, "name": it.name},
        "owner": shapes.user_of(it.actor, settings, known),
        "reason": it.reason,
        "expires_at": shapes.moment(it.expires_at),
        "created_at": shapes.moment(it.created_at),
        "updated_at": shapes.moment(it.updated_at),
        "message": it.text,
    }


def in_force(locks: Iterable[DeployLock], now: datetime) -> list[DeployLock]:
    """Those that still lock something."""
    return [lock for lock in locks if lock.is_in_force(now)]


async def _list(request: web.Request, read: Callable[[Connection], Iterable[DeployLock]]) -> web.Response:
    context = request.app[CONTEXT]
    now = context.db.now()

    def listed(conn: Connection) -> tuple[list[DeployLock], People]:
        found = in_force(read(conn), now)
        return found, people.known(conn, {it.actor for it in found})

    found, known = await context.db.read(listed)
    return answers.answer_list(
        request,
        found,
        lambda it: _shape(it, known, context.settings),
        created_at=lambda it: it.created_at,
        id=lambda it: it.id,
    )


async def listing(request: web.Request) -> web.Response:
    """GET /deploy-locks: all that are in force, of what one sees."""
    by = request[CALLER].person

    def read(conn: Connection) -> list[DeployLock]:
        seen = seen_names(conn, by)
        return [it for it in deploy_locks.listing(conn) if it.app_id in seen.apps or it.pipeline_id in seen.pipelines]

    return await _list(request, read)


async def of_app(request: web.Request) -> web.Response:
    """GET /apps/APP/deploy-locks: all that keep new code out of it, its own and its pipeline's."""
    identity = app_in_path(request)
    return await _list(request, lambda conn: deploy_locks.of_app(conn, find_app(conn, identity).id))


async def of_pipeline(request: web.Request) -> web.Response:
    """GET /pipelines/PIPELINE/deploy-locks: its own and those of its apps."""
    identity, by = pipeline_in_path(request), request[CALLER].person

    def read(conn: Connection) -> list[DeployLock]:
        seen = seen_names(conn, by).apps
        found = deploy_locks.of_pipeline(conn, find_pipeline(conn, identity).id)
        return [it for it in found if it.app_id is None or it.app_id in seen]

    return await _list(request, read)


async def lock_app(request: web.Request) -> web.Response:
    """POST /apps/APP/deploy-locks; who has locked it may so change the reason and the time."""
    identity = app_in_path(request)
    app = await request.app[CONTEXT].db.read(lambda conn: find_app(conn, identity))
    return await _lock(request, app_id=app.id, pipeline_id=None)


async def lock_pipeline(request: web.Request) -> web.Response:
    """POST /pipelines/PIPELINE/deploy-locks: its development, staging and production apps."""
    identity = pipeline_in_path(request)
    pipeline = await request.app[CONTEXT].db.read(lambda conn: find_pipeline(conn, identity))
    return await _lock(request, app_id=None, pipeline_id=pipeline.id)


async def _lock(request: web.Request, *, app_id: str | None, pipeline_id: str | None) -> web.Response:
    context = request.app[CONTEXT]
    body = await bodies.parse(request, bodies.LockDeploys)
    if body.expires_at is not None and body.expires_in is not None:
        raise Refused("expires_at: give either a time or expires_in, in seconds, not both")
    made = await context.enactor.lock_deploys(
        app_id=app_id,
        pipeline_id=pipeline_id,
        reason=body.reason,
        expires_at=body.expires_at,
        seconds=body.expires_in,
        actor=request[CALLER].actor,
    )
    return await _answer(request, made, status=201)


async def _answer(request: web.Request, lock: DeployLock, *, status: int = 200) -> web.Response:
    context = request.app[CONTEXT]
    known = await context.db.read(lambda conn: people.known(conn, [lock.actor]))
    return answers.answer(request, _shape(lock, known, context.settings), status=status)


async def unlock(request: web.Request) -> web.Response:
    """DELETE /deploy-locks/LOCK; somebody else's takes `?force=true`."""
    context, force = request.app[CONTEXT], request.query.get("force", "false")
    if force not in {"true", "false"}:
        raise Refused("force: is true or false")
    taken = await context.enactor.unlock_deploys(
        lock_id=request.match_info["lock"], force=force == "true", actor=request[CALLER].actor
    )
    return await _answer(request, taken)


_LOCKING = (Permission.DEPLOY, Permission.OPERATE, Permission.MANAGE)
"""Whoever does something with an app may hold new code up; who goes past it, or takes it off, is on record."""
ROUTES = [
    rights.get("/deploy-locks", listing, rights.CALLER),
    rights.delete("/deploy-locks/{lock}", unlock, rights.app(*_LOCKING)),
    rights.get("/apps/{app}/deploy-locks", of_app, rights.app()),
    rights.post("/apps/{app}/deploy-locks", lock_app, rights.app(*_LOCKING)),
    rights.get("/pipelines/{pipeline}/deploy-locks", of_pipeline, rights.pipeline()),
    rights.post("/pipelines/{pipeline}/deploy-locks", lock_pipeline, rights.pipeline(*_LOCKING)),
]
