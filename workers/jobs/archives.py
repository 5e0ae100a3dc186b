"""Deploy a packed source: have it, make it a commit, then build and release it as any other.

It is the request that is worked off, so what was fetched once is not fetched again by a successor: behind an address
there may be something else by then.
"""

import asyncio
from functools import partial
from pathlib import Path

from sqlalchemy import Connection

from service.domain.decisions import Deploy, DeployArchive
from service.domain.errors import Refused
from service.domain.model import NO_REPOSITORY, NO_SHA, App, Build, Pipeline, Trust
from service.enact import app_or_refuse
from service.store import pipelines, sources
from service.store.logs import LogSink
from service.store.requests import TakenWork
from service.store.secrets import request_context
from workers.builds import packed
from workers.builds.builder import work_name
from workers.builds.files import raise_if_full
from workers.context import Context
from workers.jobs import deploy, release
from workers.jobs.built_from import of_archive
from workers.jobs.locked import check_unlocked


async def deploy_archive(context: Context, taken: TakenWork, wanted: DeployArchive) -> None:
    """Bring what was sent live; every step may be repeated."""
    await context.db.read(lambda conn: check_unlocked(context, taken, conn))
    build = await deploy.begin_build(context, taken, repository_id=None, sha=NO_SHA)
    fetch = partial(_as_commit, context, taken, wanted, build)
    slug, commit = await deploy.slug_of(context, taken, build, fetch)
    await release.release_slug(context, taken, slug=slug, source=of_archive(wanted), manifest=commit.manifest)
    _arrival(context, build).unlink(missing_ok=True)


async def _as_commit(
    context: Context, taken: TakenWork, wanted: DeployArchive, build: Build, sink: LogSink
) -> deploy.Commit:
    app, pipeline = await context.db.read(lambda conn: _target(conn, taken.request.app_id))
    arrival = _arrival(context, build)
    try:
        file = await _file(context, taken, wanted, arrival, sink)
        sha = await packed.commit_of(file, source=context.source, scratch=arrival)
    except OSError as error:
        raise_if_full(error)
        raise
    commit = Deploy(repository_id=NO_REPOSITORY, sha=sha, trust=Trust.SENT, branch="", rebuild=wanted.rebuild)
    return await deploy.read_commit(context, app, pipeline, commit, origin=commit.repository_id)


def _target(conn: Connection, app_id: str) -> tuple[App, Pipeline | None]:
    return app_or_refuse(conn, app_id), pipelines.of_app(conn, app_id)


def _arrival(context: Context, build: Build) -> Path:
    return context.workshop.arrivals / work_name(build.id)


async def _file(context: Context, taken: TakenWork, wanted: DeployArchive, arrival: Path, sink: LogSink) -> Path:
    """Where the packed source lies; raises `Refused` when it is not what it was said to be."""
    if wanted.source_id:
        return await _sent(context, wanted.source_id, sink)
    if await asyncio.to_thread(arrival.exists):
        return arrival
    await sink.write(f"-----> Fetching the source from {wanted.shown}\n")
    assert taken.sealed is not None
    url = context.vault.unseal(taken.sealed, request_context(taken.request.app_id)).decode()
    # Under another name until it is known to be the right one.
    fetched = arrival.with_name(f"{arrival.name}.fetched")
    sha256 = await context.downloads.fetch(url, fetched)
    if wanted.sha256 not in {"", sha256}:
        fetched.unlink()
        raise Refused(f"the source has the checksum SHA256:{sha256}, not SHA256:{wanted.sha256}")
    fetched.replace(arrival)
    return arrival


async def _sent(context: Context, source_id: str, sink: LogSink) -> Path:
    source = await context.db.read(lambda conn: sources.get(conn, source_id))
    file = None if source is None else context.settings.sources_dir / source.file_name
    if source is None or file is None or not file.is_file():
        raise Refused("the source that was sent is not kept any more: send it again")
    await sink.write(f"-----> Reading the source that was sent ({source.size / 2**20:.1f} MB)\n")
    return file
