"""Deploy a commit: fetch, build (or find the slug of the same tree), release."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog
from sqlalchemy import Connection

from service.domain.decisions import Deploy
from service.domain.errors import Refused, Transient
from service.domain.facts import CommitsApart, Fact, FactKey, FactKind, Head, commits_between
from service.domain.manifest import Manifest, parse_app_json, review_manifest
from service.domain.model import (
    App,
    Build,
    BuildState,
    Pipeline,
    Repository,
    RepositoryId,
    RequestState,
    Sha,
    Slug,
)
from service.enact import Transaction, app_or_refuse
from service.github.app_auth import NO_ACCESS
from service.store import apps, builds, logs, pipelines, pushes, releases, repositories, requests, routes, views
from service.store.requests import TakenWork
from workers.builds import builder
from workers.builds.buildpack import Buildpack, resolve
from workers.builds.source import Origin
from workers.context import Context
from workers.jobs import apart, fenced, fetched, forks, release, settle
from workers.jobs.build_config import seen_by_build
from workers.jobs.built_from import of_commit
from workers.jobs.compare import compare
from workers.jobs.locked import Locked, check_unlocked
from workers.jobs.look import fresh

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A fetched commit, as which it is wanted, and what it says itself about running it."""

    wanted: Deploy
    app: App
    pipeline: Pipeline | None
    origin: Origin
    tree: str
    root: str
    manifest: Manifest
    buildpacks: tuple[Buildpack, ...]


_DENIED: Final = frozenset({NO_ACCESS, "forbidden", "not_found"})
Fetch = Callable[[logs.LogSink], Awaitable[Commit]]


class Superseded(Exception):
    """A newer commit is wanted; this one must not go live."""


async def deploy(context: Context, taken: TakenWork, wanted: Deploy) -> None:
    """Bring the commit live unless a newer one is wanted by then; every step may be repeated."""
    try:
        await context.db.read(lambda conn: check_unlocked(context, taken, conn))
        slug, commit = await _built_if_wanted(context, taken, wanted)
        await release.release_slug(context, taken, slug=slug, source=of_commit(wanted), manifest=commit.manifest)
    except Superseded as superseded:
        await settle.end(context, taken, state=RequestState.SUPERSEDED, outcome=str(superseded))
    except Locked as locked:
        if taken.request.by_person:
            raise
        # Nothing has failed: the plan waits for the lock, and asks again for what is the head then.
        await settle.end(context, taken, state=RequestState.SUPERSEDED, outcome=locked.message)


async def _built_if_wanted(context: Context, taken: TakenWork, wanted: Deploy) -> tuple[Slug, Commit]:
    """The commit's slug; raises `Superseded` when the commit is not to go live, or not before access is back."""
    try:
        await still_wanted(context, taken, wanted)
        build = await begin_build(context, taken, repository_id=wanted.repository_id or None, sha=wanted.sha)
        slug, commit = await slug_of(context, taken, build, lambda _sink: _fetch(context, taken, wanted))
        await still_wanted(context, taken, wanted)
    except (Refused, Transient) as error:
        lost = await _access_lost(context, taken, wanted, error)
        if lost is not None:
            raise Superseded(lost) from error
        raise
    return slug, commit


async def still_wanted(context: Context, taken: TakenWork, wanted: Deploy) -> None:
    """Raise `Superseded` when a newer deploy waits, the app is held, or the pull request has moved on or closed since.

    The pull request is read from GitHub now, not from what was known: a webhook may be late.
    """
    if await context.db.read(lambda conn: _serves(conn, taken)):
        return  # a worker that died went live with it; what is newer follows behind
    if taken.request.by_person and wanted.pull_request is None:
        return  # by sha or branch: `prove_own` looks where it comes from, and no newer commit replaces it
    newer = await context.db.read(lambda conn: requests.newer_deploy(conn, taken.request))
    if newer is not None and not taken.request.by_person:
        raise Superseded(f"superseded by {(newer.sha or '')[:7]}")
    if wanted.pull_request is None:
        held = await context.db.read(lambda conn: views.held(conn, taken.request.app_id))
        if held:
            raise Superseded(held)
        await _still_head(context, taken, wanted)
        return
    fact = await fresh(context, FactKey(FactKind.PULL_REQUEST, wanted.repository_id, str(wanted.pull_request)))
    pull = fact.value
    if pull is None:  # absence says neither that it is closed nor that it is open
        raise Transient(f"GitHub does not say what has become of pull request #{wanted.pull_request}")
    if pull.state != "open":
        raise Superseded(f"pull request #{pull.number} is closed")
    if not await forks.check(context, taken.request.app_id, wanted, pull):
        raise Superseded(f"superseded by {pull.head_sha[:7]}")


async def _access_lost(context: Context, taken: TakenWork, wanted: Deploy, error: Refused | Transient) -> str | None:
    """Why a deploy of a branch that no person asked for has not failed: its plan asks again once access is back.

    None where it is not that. Raises `Transient` where GitHub says so and its event has not come yet.
    """
    repository = await context.db.read(lambda conn: repositories.get(conn, wanted.repository_id))
    if repository is None or taken.request.by_person or wanted.pull_request is not None:
        return None
    denied = isinstance(error, Refused) and error.code in _DENIED
    if not repository.accessible and (denied or isinstance(error, Transient)):
        return f"access to {repository.full_name} was lost"
    if denied and await context.looks.suspended(repository):
        raise Transient(error.message) from error
    return None


def _serves(conn: Connection, taken: TakenWork) -> bool:
    made = releases.of_request(conn, taken.request.id)
    app = apps.get(conn, taken.request.app_id)
    return made is not None and app is not None and app.current_release_id == made.id


async def _still_head(context: Context, taken: TakenWork, wanted: Deploy) -> None:
    fact = await fresh(context, FactKey(FactKind.HEAD, wanted.repository_id, wanted.branch))
    head = fact.value
    if head is not None and head.sha != wanted.sha:
        raise Superseded(f"superseded by {head.sha[:7]}" if head.sha else f"branch {wanted.branch} is gone")
    if fact.doubted(now=context.db.now()) and not await _goes_on(context, taken, wanted, fact):
        raise Superseded(f"what runs may be later, and GitHub does not show the last push to {wanted.branch} yet")


async def _goes_on(context: Context, taken: TakenWork, wanted: Deploy, head: Fact[Head]) -> bool:
    """Whether the commit is surely later than what the app runs, if that is anything of the repository."""

    def find(conn: Connection) -> tuple[Repository | None, Sha | None]:
        app = app_or_refuse(conn, taken.request.app_id)
        return repositories.get(conn, wanted.repository_id), views.serving(conn, app)

    repository, runs = await context.db.read(find)
    if repository is None or runs is None:
        return True
    apart = (await compare(context, commits_between(repository.id, runs, wanted.sha), repository)).value
    return isinstance(apart, CommitsApart) and apart.onward and not head.returned


async def begin_build(context: Context, taken: TakenWork, *, repository_id: RepositoryId | None, sha: Sha) -> Build:
    """Begin the request's build, or find it begun; without a repository GitHub has nothing to show of it."""

    def begin(tx: Transaction) -> Build:
        app = app_or_refuse(tx.conn, taken.request.app_id)
        log_id = logs.open_log(tx.conn, tx.now)
        requests.set_step(tx.conn, taken.request.id, step="build", now=tx.now)
        routes.announce(tx.conn, app=app)
        build = builds.create(
            tx.conn,
            app_id=taken.request.app_id,
            request_id=taken.request.id,
            repository_id=repository_id,
            sha=sha,
            log_id=log_id,
            now=tx.now,
        )
        if repository_id is not None:
            tx.show_commit(taken.request.app_id, sha)
        return build

    return await fenced.commit(context, taken, begin)


async def slug_of(context: Context, taken: TakenWork, build: Build, fetch: Fetch) -> tuple[Slug, Commit]:
    """Find or make the slug of what is fetched; whatever is wrong with it also ends the log, which is read first."""
    async with fenced.log(context, taken, build.log_id) as sink:
        try:
            commit = await fetch(sink)
            slug = await _found_or_built(context, taken, build, commit, sink)
        except builder.BuildFailed:
            raise
        except Refused as refused:
            await sink.write("".join(f" !     {line}\n" for line in refused.message.splitlines()))
            raise
    return slug, commit


async def _found_or_built(context: Context, taken: TakenWork, build: Build, commit: Commit, sink: logs.LogSink) -> Slug:
    wanted = commit.wanted
    seen = await seen_by_build(context, taken, commit.manifest, wanted.trust, sink)
    key = builder.build_key(
        repository_id=commit.origin,
        tree=commit.tree,
        stack=context.stack,
        buildpacks=commit.buildpacks,
        build_config=seen,
        trust=wanted.trust,
    )
    key = apart.build_key(key, commit.app, commit.pipeline, wanted)
    slug = await _reusable(context, wanted, build, key)
    reused = slug is not None and build.state is not BuildState.SUCCEEDED
    if slug is not None:
        await sink.write(f"-----> Using the slug that was built from the same files ({slug.sha256[:12]})\n")
    else:
        order = _order(context, build, commit, seen)
        slug = await _built(context, order, key, sink)
    if not set(slug.process_types) - {"release"}:
        raise Refused("there is nothing to run: add a Procfile that names a process, for example web: python app.py")
    await _succeeded(context, taken, wanted, build, slug, build_key=key, reused=reused)
    return slug


async def _succeeded(
    context: Context, taken: TakenWork, wanted: Deploy, build: Build, slug: Slug, *, build_key: str, reused: bool
) -> None:
    def succeed(tx: Transaction) -> None:
        builds.finish(
            tx.conn,
            build_id=build.id,
            state=BuildState.SUCCEEDED,
            slug_id=slug.id,
            error="",
            reused=reused,
            build_key=build_key,
            now=tx.now,
        )
        if wanted.pushed_to:  # the push is accepted, whether or not anybody waits for its end
            to = {"app_id": taken.request.app_id, "branch": wanted.pushed_to}
            pushes.built(tx.conn, **to, sha=wanted.sha, now=tx.now)

    await fenced.commit(context, taken, succeed)


async def _reusable(context: Context, wanted: Deploy, build: Build, key: str) -> Slug | None:
    """Return the slug that the same files gave, unless it has aged or its content is gone or damaged.

    Who asked for a rebuild gets what this very build has given, should that be known already, and nothing older.
    """
    # What is not locked may give another slug another day.
    since = context.db.now() - timedelta(seconds=context.settings.unlocked_build_seconds)

    def find(conn: Connection) -> Slug | None:
        if wanted.rebuild:
            made = builds.get(conn, build.id)
            return builds.slug(conn, made.slug_id) if made and made.slug_id else None
        return builds.slug_for(conn, trust=wanted.trust, build_key=key, unlocked_since=since)

    slug = await context.db.read(find)
    if slug is not None and not await context.slugs.usable(slug.trust, slug.sha256):
        log.warning("slug lost, built anew", sha256=slug.sha256, trust=slug.trust.value)
        return None
    return slug


def _order(context: Context, build: Build, commit: Commit, seen: Mapping[str, str]) -> builder.Order:
    wanted = commit.wanted
    return builder.Order(
        name=builder.work_name(build.id),
        repository_id=commit.origin,
        sha=wanted.sha,
        root=commit.root,
        trust=wanted.trust,
        stack=context.stack,
        cache_key=apart.cache_key(commit.app, commit.pipeline, wanted),
        buildpacks=commit.buildpacks,
        build_config=seen,
        from_nothing=wanted.rebuild,
    )


async def _built(context: Context, order: builder.Order, key: str, sink: logs.LogSink) -> Slug:
    built = await builder.build(order, workshop=context.workshop, log=sink)

    def keep(tx: Transaction) -> Slug:
        slug = builds.add_slug(
            tx.conn,
            trust=order.trust,
            build_key=key,
            sha256=built.sha256,
            size=built.size,
            process_types=built.process_types,
            stack=context.stack,
            locked=built.locked,
            now=tx.now,
        )
        apart.check_process_types(slug, built.process_types)  # before the key leads to it: the next build looks there
        return slug

    return await context.commit(keep)


async def _fetch(context: Context, taken: TakenWork, wanted: Deploy) -> Commit:
    app, pipeline, repository = await context.db.read(
        lambda conn: (
            apps.get(conn, taken.request.app_id),
            pipelines.of_app(conn, taken.request.app_id),
            repositories.get(conn, wanted.repository_id),
        )
    )
    if app is None or (repository is None and not wanted.pushed_to):
        raise Refused("the app or its repository is gone")
    origin: Origin = app.id if wanted.pushed_to else wanted.repository_id
    if repository is None or wanted.pushed_to:
        await context.source.have_pushed(app.id, wanted.sha, trust=wanted.trust)
    else:
        await fetched.have(context, taken, repository, wanted)
    return await read_commit(context, app, pipeline, wanted, origin=origin)


async def read_commit(
    context: Context, app: App, pipeline: Pipeline | None, wanted: Deploy, *, origin: Origin
) -> Commit:
    """Read what a commit that is here says about running it in the app."""
    root = pipeline.root_directory if pipeline else ""
    tree = await context.source.tree_of(origin, wanted.sha, trust=wanted.trust, root=root)
    path = f"{root}/app.json" if root else "app.json"
    text = await context.source.read_file(origin, wanted.sha, path, trust=wanted.trust)
    manifest = parse_app_json(text) if text is not None else Manifest()
    manifest = review_manifest(manifest) if app.is_review else manifest
    return Commit(
        wanted=wanted,
        app=app,
        pipeline=pipeline,
        origin=origin,
        tree=tree,
        root=root,
        manifest=manifest,
        buildpacks=await resolve(manifest.buildpacks, source=context.source),
    )


async def clear_away(context: Context, taken: TakenWork) -> None:
    """End the sandbox of a build that was cancelled while we were at it; what is left then, the next sweep finds."""

    def given_up(conn: Connection) -> Build | None:
        request = requests.get(conn, taken.request.id)
        return builds.of_request(conn, taken.request.id) if request and request.state not in requests.OPEN else None

    build = await context.db.read(given_up)
    if build is not None:
        with suppress(Transient, Refused):
            await builder.discard(builder.work_name(build.id), workshop=context.workshop)
