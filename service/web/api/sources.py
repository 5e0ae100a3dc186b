"""Sources: a place to send a tar.gz to, once, and the address by which it is built then.

Both addresses carry a key of their own instead of a token, because Heroku's clients use them without one.
"""

import asyncio
import fcntl
import hashlib
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Final
from urllib.parse import parse_qs, urlsplit

import aiohttp
from aiohttp import web
from sqlalchemy import Connection

from service.domain.access import Permission
from service.domain.errors import Refused
from service.domain.source_hosts import LARGEST
from service.store import activity, sources, users
from service.store.sources import Source, SourceState
from service.web import rights
from service.web.api import answers, shapes
from service.web.api.finding import app_in_path, find_app
from service.web.errors import not_found
from service.web.keys import CALLER, CONTEXT, READ_SOURCE, SEND_SOURCE, WebContext

MOST: Final = 100
MOST_BYTES: Final = 8 * 1024**3
"""How many sources one user may have here, and how many bytes of them."""
_SECONDS: Final = 600.0
_CHUNK: Final = 1 << 20
_GZIP: Final = b"\x1f\x8b"


async def create(request: web.Request) -> web.Response:
    """POST /sources: a place for one tar.gz."""
    return await _create(request)


async def create_for_app(request: web.Request) -> web.Response:
    """POST /apps/APP/sources: the same, as Heroku had it before; what is sent may be built for any app."""
    identity = app_in_path(request)
    await request.app[CONTEXT].db.read(lambda conn: find_app(conn, identity))
    return await _create(request)


async def _create(request: web.Request) -> web.Response:
    context, user_id, actor = request.app[CONTEXT], request[CALLER].user_id, request[CALLER].actor

    def make(conn: Connection) -> Source:
        now = context.db.now()
        # What was begun in time may be sent to its end.
        since = now - sources.GOOD_FOR - timedelta(seconds=_SECONDS)
        number, to_fill, size = sources.held_by(conn, user_id, since=since)
        if number >= MOST or size + (to_fill + 1) * LARGEST > MOST_BYTES:
            raise Refused(
                f"You have {number} sources here ({size >> 20} MB), and {to_fill} of them, to which nothing has been "
                f"sent yet, count as {LARGEST >> 20} MB each for a day; {MOST} or {MOST_BYTES >> 20} MB are the most. "
                f"Each goes after {sources.KEPT_FOR.days} days."
            )
        source = sources.create(conn, user_id=user_id, now=now)
        activity.record(conn, now=now, actor=actor, action="source asked for", data={"id": source.id})
        return source

    made = await context.db.write(make)
    return answers.answer(request, _shape(made, context), status=201, headers=answers.OF_SECRETS)


def _shape(it: Source, context: WebContext) -> shapes.Json:
    where, sign = f"{context.settings.url}/sources/{it.id}", context.vault.sign
    return {
        "source_blob": {
            "get_url": f"{where}?key={sign(it.id, READ_SOURCE)}",
            "put_url": f"{where}?key={sign(it.id, SEND_SOURCE)}",
        },
        "created_at": shapes.moment(it.created_at),
        "expires_at": shapes.moment(it.good_until),
        "max_bytes": LARGEST,
    }


async def receive(request: web.Request) -> web.Response:
    """PUT /sources/SOURCE?key=KEY: take the tar.gz, if none has come yet."""
    context = request.app[CONTEXT]
    directory = context.settings.sources_dir
    source = await _named(request, SEND_SOURCE)
    if (request.content_length or 0) > LARGEST:
        raise _too_large()
    async with _alone(directory, source), _incoming(directory, source) as (path, file):
        if (await _named(request, SEND_SOURCE)).state is not SourceState.AWAITED:  # who was before us has sent it
            raise _used()
        try:
            async with asyncio.timeout(_SECONDS):
                size, sha256 = await _write(request, file)
        except TimeoutError:
            raise Refused(f"The source did not come within {_SECONDS:.0f} s: send it again.") from None
        except (aiohttp.ClientError, ConnectionError, web.RequestPayloadError):
            raise Refused("The connection broke before all of the source was here: send it again.") from None
        whole = directory / sources.file_name(source.id, sha256)
        await asyncio.to_thread(path.replace, whole)
        if not await context.db.write(lambda conn: _stored(conn, source, size, sha256, context.db.now())):
            await _drop_unless_stored(context, source, whole)
            raise _used()
    return web.Response(status=200)


def _stored(conn: Connection, source: Source, size: int, sha256: str, now: datetime) -> bool:
    """Note what came, on record as done by whoever was given the key; False when something has come already."""
    if not sources.store(conn, source.id, size=size, sha256=sha256):
        return False
    owner = users.find(conn, source.user_id)
    actor = f"user:{owner.email}" if owner else ""
    data = {"id": source.id, "size": size, "sha256": sha256}
    activity.record(conn, now=now, actor=actor, action="source sent", data=data)
    return True


async def _drop_unless_stored(context: WebContext, source: Source, whole: Path) -> None:
    """Of two that sent at once one was first; where both sent the same it is the same file."""
    stored = await context.db.read(lambda conn: sources.get(conn, source.id))
    if stored is None or stored.file_name != whole.name:
        await asyncio.to_thread(whole.unlink, missing_ok=True)


@asynccontextmanager
async def _alone(directory: Path, source: Source) -> AsyncIterator[None]:
    """Be the only one who sends to a source, across processes: no key of one place fills the disk many times over."""
    await asyncio.to_thread(directory.mkdir, mode=0o700, parents=True, exist_ok=True)
    path = directory / f".sending-{source.id}"
    with await asyncio.to_thread(path.open, "wb") as file:
        if not _locked(file, path):
            raise Refused("This source is being sent at this moment: wait for that to end.", code="conflict")
        try:
            yield
        finally:
            await asyncio.to_thread(path.unlink, missing_ok=True)


def _locked(file: IO[bytes], path: Path) -> bool:
    """Lock the file, unless another has it, or had it a moment ago and has taken it away."""
    with suppress(BlockingIOError, FileNotFoundError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    return False


@asynccontextmanager
async def _incoming(directory: Path, source: Source) -> AsyncIterator[tuple[Path, IO[bytes]]]:
    """A file to write what comes, gone afterwards unless it was put in its place."""
    path = directory / f".new-{source.id}-{secrets.token_hex(4)}"
    try:
        with await asyncio.to_thread(path.open, "xb") as file:
            yield path, file
    finally:
        with suppress(FileNotFoundError):
            await asyncio.to_thread(path.unlink)


async def _write(request: web.Request, file: IO[bytes]) -> tuple[int, str]:
    """Write the body as it comes; returns its size and sha256."""
    digest, size = hashlib.sha256(), 0

    def take(chunk: bytes) -> None:
        file.write(chunk)
        digest.update(chunk)

    async for chunk in request.content.iter_chunked(_CHUNK):
        if not size and not chunk.startswith(_GZIP[: len(chunk)]):
            raise Refused("The body is no tar.gz: send what `tar czf` or `git archive --format=tar.gz` writes.")
        size += len(chunk)
        if size > LARGEST:
            raise _too_large()
        await asyncio.to_thread(take, chunk)
    if not size:
        raise Refused("The body is empty: send a tar.gz.")
    await asyncio.to_thread(file.flush)
    return size, digest.hexdigest()


async def read(request: web.Request) -> web.StreamResponse:
    """GET /sources/SOURCE?key=KEY: what was sent."""
    source = await _named(request, READ_SOURCE)
    path = request.app[CONTEXT].settings.sources_dir / source.file_name
    if source.state is not SourceState.STORED or not path.is_file():
        raise Refused("Nothing has been sent to this source.", code="not_found")
    return web.FileResponse(path, headers={"Content-Type": "application/gzip", **answers.OF_SECRETS})


async def _named(request: web.Request, signed_for: str) -> Source:
    return await find(
        request.app[CONTEXT], request.match_info["source"], request.query.get("key", ""), signed_for=signed_for
    )


async def find(context: WebContext, source_id: str, key: str, *, signed_for: str) -> Source:
    """Find a source by its address; without the right key it is not there, and after its time it has expired."""
    if not context.vault.has_signed(key, source_id, signed_for):
        raise not_found("source")
    source = await context.db.read(lambda conn: sources.get(conn, source_id))
    if source is None:
        raise not_found("source")
    if source.good_until <= context.db.now():
        raise Refused("This source has expired: make another by POST /sources.", code="not_found")
    return source


async def sent(context: WebContext, url: str) -> Source | None:
    """The source that was sent and that a `get_url` of ours names; None when the address is none of ours."""
    place = f"{context.settings.url}/sources/"
    if not url.startswith(place):
        return None
    parts = urlsplit(url)
    key = parse_qs(parts.query).get("key", [""])[0]
    source = await find(context, url.removeprefix(place).partition("?")[0], key, signed_for=READ_SOURCE)
    if source.state is not SourceState.STORED:
        raise Refused("source_blob.url: nothing has been sent to this source yet; PUT the tar.gz to its put_url first.")
    return source


def _used() -> Refused:
    return Refused("Something has been sent to this source already: make another by POST /sources.", code="conflict")


def _too_large() -> Refused:
    return Refused(f"The source is larger than {LARGEST >> 20} MB.", code="request_too_large")


ROUTES = [
    rights.post("/sources", create, rights.CALLER),
    rights.post("/apps/{app}/sources", create_for_app, rights.app(Permission.DEPLOY)),
    rights.put("/sources/{source}", receive, rights.OPEN),
    rights.get("/sources/{source}", read, rights.OPEN),
]
