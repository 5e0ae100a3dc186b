"""Builds and slugs. A build goes by the id of the request that asked for it, so it has one before a worker takes it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from aiohttp import web
from sqlalchemy import Connection, Row, Select, and_, func, or_, select

from service.domain.access import Permission
from service.domain.decisions import DeployArchive
from service.domain.deploys import BUILDS
from service.domain.errors import Refused
from service.domain.happenings import source_blob
from service.domain.model import (
    App,
    BuildState,
    Pipeline,
    QueuedRequest,
    Release,
    Repository,
    RequestState,
    Sha,
    Slug,
)
from service.shown import BUILD_OUTPUT, output_url
from service.store import builds as build_rows
from service.store import people, pipelines, repositories
from service.store.people import People
from service.store.releases import as_release
from service.store.rows import from_json
from service.store.sight import to_app
from service.store.tables import builds, releases, requests, slugs
from service.web import rights
from service.web.api import answers, archives, bodies, build_sources, parts, shapes
from service.web.api.finding import Asked, app_in_path, find_app, find_app_for_code, find_pipeline, pipeline_in_path
from service.web.api.on_github import check_on_github
from service.web.errors import not_found
from service.web.keys import CALLER, CONTEXT, Caller, Visitor, WebContext

_SHA = re.compile(r"[0-9a-f]{7,40}")
_KEYS = {"created_at": requests.c.created_at, "id": requests.c.id}


def _status(row: Row[Any]) -> str:
    """Heroku knows three states; what ends without a slug is "failed", and `error` says why."""
    match row.build_state or row.state:
        case BuildState.SUCCEEDED:
            return "succeeded"
        case BuildState.PENDING | RequestState.QUEUED | RequestState.RUNNING:
            return "pending"
        case _:
            return "failed"


def _shape(row: Row[Any], known: People, context: WebContext) -> shapes.Json:
    settings = context.settings
    status = _status(row)
    outcome = row.error or (row.outcome if row.state != RequestState.SUCCEEDED else "")
    return {
        "app": {"id": row.app_id},
        "buildpacks": None,
        "created_at": shapes.moment(row.created_at),
        "generation": shapes.GENERATION["name"],
        "id": row.id,
        "output_stream_url": output_url(settings, f"/builds/{row.id}", key=context.vault.sign(row.id, BUILD_OUTPUT)),
        "release": None if row.release_id is None else {"id": row.release_id},
        "slug": None if row.slug_id is None else {"id": row.slug_id},
        "source_blob": source_blob(_archive(row), sha=row.sha, reason=row.reason),
        "stack": row.stack or "host",
        "status": status,
        "updated_at": shapes.moment(row.updated_at),
        "user": shapes.user_of(row.actor, settings, known),
        "error": (outcome or None) if status == "failed" else None,
        "reused": bool(row.reused),
    }


def _archive(row: Row[Any]) -> DeployArchive | None:
    """The packed source that is built, if it is one."""
    return from_json(row.work, DeployArchive) if row.kind == DeployArchive.__name__ else None


def _deploys() -> Select[Any]:
    """Deploys with their build, slug and release, if they have come so far."""
    return (
        select(
            requests.c.id,
            requests.c.app_id,
            requests.c.kind,
            requests.c.work,
            requests.c.sha,
            requests.c.state,
            requests.c.reason,
            requests.c.outcome,
            requests.c.actor,
            requests.c.created_at,
            func.coalesce(builds.c.updated_at, requests.c.updated_at, type_=requests.c.updated_at.type).label(
                "updated_at"
            ),
            builds.c.state.label("build_state"),
            builds.c.slug_id,
            builds.c.error,
            builds.c.reused,
            slugs.c.stack,
            releases.c.id.label("release_id"),
        )
        .outerjoin(builds, builds.c.request_id == requests.c.id)
        .outerjoin(slugs, slugs.c.id == builds.c.slug_id)
        .outerjoin(releases, releases.c.request_id == requests.c.id)
        .where(requests.c.kind.in_(BUILDS))
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployable:
    """An app, its pipeline, and the repository that it deploys from: its pipeline's, else its own."""

    app: App
    pipeline: Pipeline | None
    repository: Repository | None

    def needs_repository(self) -> Repository:
        """The repository; refused where there is none."""
        if self.repository is None:
            where = f" {self.pipeline.name}" if self.pipeline else ""
            raise Refused(
                f"App {self.app.name} has no repository to deploy from; connect its pipeline: "
                f"towpath pipelines:connect{where} -r ORG/REPO"
            )
        return self.repository


def deployable(conn: Connection, asked: Asked) -> Deployable:
    """What is to be deployed; refused to whom may not bring new code to it where it stands."""
    app = find_app_for_code(conn, asked)
    pipeline = pipelines.of_app(conn, app.id)
    repository_id = (pipeline and pipeline.repository_id) or app.repository_id
    repository = repositories.get(conn, repository_id) if repository_id else None
    return Deployable(app=app, pipeline=pipeline, repository=repository)


async def create(request: web.Request) -> web.Response:
    """POST /apps/APP/builds: deploy a branch or commit of the connected repository, or a packed source, by hand."""
    context, asked = request.app[CONTEXT], app_in_path(request)
    body = await bodies.parse(request, bodies.CreateBuild)
    if body.buildpacks:
        raise Refused(
            "buildpacks: they cannot be given with a build; name them in the repository, as `buildpacks` in app.json"
        )
    target = await context.db.read(lambda conn: deployable(conn, asked))
    packed = await build_sources.packed(context, target.repository, body.source_blob)
    if packed is not None:
        queued = await _deploy_packed(request, target.app, packed, body)
    else:
        queued = await deploy_commit(
            context,
            request[CALLER],
            target,
            body.source_blob,
            rebuild=body.rebuild,
            override_lock=body.override_lock,
        )
    return answers.answer(
        request, await context.db.read(lambda conn: shown_build(conn, queued.id, context)), status=201
    )


async def deploy_commit(
    context: WebContext,
    by: Caller | Visitor,
    target: Deployable,
    source: bodies.SourceBlob,
    *,
    rebuild: bool = False,
    override_lock: bool = False,
) -> QueuedRequest:
    """Deploy a branch or commit of the connected repository; refused to whom may not write in it on GitHub."""
    repository = target.needs_repository()
    await check_on_github(context, by.user, repository)
    commit = await commit_of(context, repository, source)
    return await context.enactor.deploy(
        app_id=target.app.id,
        repository_id=repository.id,
        sha=commit.sha,
        branch=commit.branch,
        rebuild=rebuild,
        override_lock=override_lock,
        actor=by.actor,
    )


async def _deploy_packed(
    request: web.Request, app: App, packed: build_sources.Packed, body: bodies.CreateBuild
) -> QueuedRequest:
    archive = DeployArchive(
        source_id=packed.source_id,
        shown=packed.shown,
        sha256=packed.sha256,
        version=body.source_blob.version or "",
        rebuild=body.rebuild,
    )
    return await request.app[CONTEXT].enactor.deploy_archive(
        app_id=app.id,
        archive=archive,
        url=packed.url,
        override_lock=body.override_lock,
        actor=request[CALLER].actor,
    )


class Commit(NamedTuple):
    """A commit, and the branch or tag it was asked for by; empty when it was asked for by its id."""

    sha: Sha
    branch: str


async def commit_of(context: WebContext, repository: Repository, source: bodies.SourceBlob) -> Commit:
    """Find out which commit of the repository is meant; refuses what is not of it."""
    ref = source.version or repository.default_branch
    if source.url not in {None, "", "resolve"}:
        named = archives.ref_of(str(source.url), repository, context.settings)
        ref = repository.default_branch if named == "HEAD" else named
    sha = await context.lookup.resolve(repository, ref)
    return Commit(sha, "" if _SHA.fullmatch(ref) and sha.startswith(ref) else ref)


def shown_build(conn: Connection, build_id: str, context: WebContext) -> shapes.Json | None:
    """A deploy as a build, by its id."""
    row = conn.execute(_deploys().where(requests.c.id == build_id)).first()
    return None if row is None else _shape(row, people.known(conn, [row.actor]), context)


async def listing(request: web.Request) -> web.Response:
    """GET /apps/APP/builds."""
    context, identity = request.app[CONTEXT], app_in_path(request)
    wanted = answers.wanted_range(request, *_KEYS)

    def read(conn: Connection) -> _Listed:
        app = find_app(conn, identity)
        return _listed(conn, parts.read(conn, _deploys().where(requests.c.app_id == app.id), wanted, _KEYS))

    return _list(request, await context.db.read(read), context)


class _Listed(NamedTuple):
    """Deploys, and the accounts of whoever asked for them."""

    rows: Sequence[Row[Any]]
    people: People


def _listed(conn: Connection, rows: Sequence[Row[Any]]) -> _Listed:
    return _Listed(rows, people.known(conn, {row.actor for row in rows}))


def _list(request: web.Request, listed: _Listed, context: WebContext) -> web.Response:
    return answers.answer_list(
        request,
        listed.rows,
        lambda row: _shape(row, listed.people, context),
        created_at=lambda row: row.created_at,
        id=lambda row: row.id,
    )


async def latest(request: web.Request) -> web.Response:
    """GET /pipelines/PIPELINE/latest-builds: the newest build of each of its apps."""
    context, identity = request.app[CONTEXT], pipeline_in_path(request)

    def read(conn: Connection) -> _Listed:
        members = pipelines.members(conn, find_pipeline(conn, identity).id)
        of_pipeline = [app.id for app, _ in members if Permission.VIEW in to_app(identity.by, app)]
        newest = (
            select(func.max(requests.c.seq).label("seq"), requests.c.app_id)
            .where(requests.c.kind.in_(BUILDS), requests.c.app_id.in_(of_pipeline))
            .group_by(requests.c.app_id)
            .subquery()
        )
        same = and_(newest.c.app_id == requests.c.app_id, newest.c.seq == requests.c.seq)
        return _listed(conn, conn.execute(_deploys().join(newest, same)).all())

    return _list(request, await context.db.read(read), context)


async def info(request: web.Request) -> web.Response:
    """GET /apps/APP/builds/BUILD."""
    context, identity, build_id = request.app[CONTEXT], app_in_path(request), request.match_info["build"]

    def read(conn: Connection) -> _Listed:
        app = find_app(conn, identity)
        same = or_(requests.c.id == build_id, builds.c.id == build_id)
        return _listed(conn, conn.execute(_deploys().where(requests.c.app_id == app.id, same)).all())

    found = await context.db.read(read)
    if not found.rows:
        raise not_found("build")
    return answers.answer(request, _shape(found.rows[0], found.people, context))


async def cancel(request: web.Request) -> web.Response:
    """DELETE /apps/APP/builds/BUILD: end a build that is not over; nothing of it is released."""
    context, identity = request.app[CONTEXT], app_in_path(request)
    app = await context.db.read(lambda conn: find_app(conn, identity))
    ended = await context.enactor.cancel_build(
        app_id=app.id, build_id=request.match_info["build"], actor=request[CALLER].actor
    )
    return answers.answer(request, await context.db.read(lambda conn: shown_build(conn, ended.id, context)))


def _released_slug(conn: Connection, app: App, slug_id: str) -> tuple[Slug, Release]:
    """A slug as the app released it: apps see no slugs but their own."""
    query = (
        select(releases)
        .where(releases.c.app_id == app.id, releases.c.slug_id == slug_id)
        .order_by(releases.c.version.desc())
        .limit(1)
    )
    row = conn.execute(query).mappings().first()
    slug = build_rows.slug(conn, slug_id)
    if row is None or slug is None:
        raise not_found("slug")
    return slug, as_release(row)


async def slug_info(request: web.Request) -> web.Response:
    """GET /apps/APP/slugs/SLUG."""
    identity, slug_id = app_in_path(request), request.match_info["slug"]
    slug, release = await request.app[CONTEXT].db.read(
        lambda conn: _released_slug(conn, find_app(conn, identity), slug_id)
    )
    shape = {
        "blob": {"method": "get", "url": ""},
        "buildpack_provided_description": None,
        "checksum": f"SHA256:{slug.sha256}",
        "commit": release.commit,
        "commit_description": None,
        "created_at": shapes.moment(slug.created_at),
        "deleted_at": None,
        "id": slug.id,
        "process_types": dict(slug.process_types),
        "size": slug.size,
        "stack": shapes.stack_of(slug.stack),
        "updated_at": shapes.moment(slug.created_at),
    }
    return answers.answer(request, shape)


ROUTES = [
    rights.get("/apps/{app}/builds", listing, rights.app()),
    rights.post("/apps/{app}/builds", create, rights.app(Permission.DEPLOY)),
    rights.get("/apps/{app}/builds/{build}", info, rights.app()),
    rights.delete("/apps/{app}/builds/{build}", cancel, rights.app(Permission.DEPLOY)),
    rights.get("/apps/{app}/slugs/{slug}", slug_info, rights.app()),
    rights.get("/pipelines/{pipeline}/latest-builds", latest, rights.pipeline()),
]
