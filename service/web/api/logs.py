"""Output as plain text while it is being written: builds, release phases, and what apps say.

The addresses carry an unguessable key instead of a token, because Heroku's clients open them without one.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import msgspec
from aiohttp import hdrs, web
from sqlalchemy import Connection, or_, select

from service.domain.access import Permission
from service.domain.errors import Transient
from service.domain.model import App, BuildState, ReleaseState, RequestState
from service.shown import BUILD_OUTPUT, RELEASE_OUTPUT
from service.store import apps, logs, sight
from service.store.database import new_id
from service.store.tables import builds, releases, requests
from service.waiting import set_within
from service.web import rights, sealed
from service.web.api import answers, bodies, shapes
from service.web.api.finding import app_in_path, find_app
from service.web.errors import not_found
from service.web.keys import CALLER, CLOSING, CONTEXT, WebContext
from service.web.streams import STREAMS

_POLL_SECONDS: Final = 0.25
_GRACE_POLLS: Final = 8
_SESSION_MINUTES: Final = 5
_SESSION: Final = "log session"
MAY_READ: Final = (Permission.DEPLOY, Permission.OPERATE)
"""What it takes to read what an app says."""
_LOOK_AGAIN_SECONDS: Final = 30.0
_GONE_SECONDS: Final = 1.0
_OPEN = (RequestState.QUEUED, RequestState.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """A log as far as it is known: none before a worker begins; `final` when nothing can be added any more.

    `of` is whose output it is: the id that the key in its address was signed for; `app` is the app it is about.
    """

    log_id: str | None
    of: str
    app: App
    final: bool
    last_words: str


def output_of_build(conn: Connection, build_id: str) -> Output:
    """What a build says, by its id or that of the request for it."""
    # As `OR` over both tables it would read all requests, and that four times a second for whoever follows.
    made = select(builds.c.request_id).where(builds.c.id == build_id)
    query = (
        select(
            requests.c.id,
            requests.c.app_id,
            requests.c.state,
            requests.c.outcome,
            builds.c.log_id,
            builds.c.state.label("build_state"),
        )
        .outerjoin(builds, builds.c.request_id == requests.c.id)
        .where(or_(requests.c.id == build_id, requests.c.id.in_(made)))
    )
    row = conn.execute(query).first()
    if row is None:
        raise not_found("build")
    final = row.state not in _OPEN if row.log_id is None else row.build_state != BuildState.PENDING
    app = _app(conn, row.app_id)
    return Output(log_id=row.log_id, of=row.id, app=app, final=final, last_words=row.outcome)


def output_of_release(conn: Connection, release_id: str) -> Output:
    """What a release phase says, by the release's id."""
    row = conn.execute(select(releases).where(releases.c.id == release_id)).first()
    if row is None:
        raise not_found("release")
    final = row.state != ReleaseState.PENDING
    return Output(log_id=row.log_id, of=row.id, app=_app(conn, row.app_id), final=final, last_words=row.error)


def _app(conn: Connection, app_id: str) -> App:
    app = apps.get(conn, app_id)
    assert app is not None  # held by a foreign key
    return app


async def _over_within(request: web.Request, seconds: float) -> bool:
    """Rest a moment; True when the server stops or the client has gone.

    Nobody else tells us of that: where there is nothing to write, writing does not fail.
    """
    stops = await set_within(request.app[CLOSING], seconds)
    return stops or request.transport is None or request.transport.is_closing()


async def follow(
    request: web.Request, find: Callable[[Connection], Output], *, after: int = 0
) -> AsyncGenerator[tuple[int, str], None]:
    """The log from its beginning or after a chunk of that number, then what is added, until it is closed.

    Yields (the number of the chunk, its text). A build or release that is over closes its log at once; only a killed
    worker leaves one open, and then its reader is let go after a short grace.
    """
    db, seen, grace = request.app[CONTEXT].db, after, _GRACE_POLLS

    def read(conn: Connection) -> tuple[Output, list[logs.Chunk], bool]:
        output = find(conn)
        return output, *(([], output.final) if output.log_id is None else logs.read(conn, output.log_id, seen))

    while True:
        output, chunks, closed = await db.read(read)
        for chunk in chunks:
            seen = chunk.seq
            yield seen, chunk.text
        grace -= output.final
        if closed or grace <= 0:
            if not seen and output.last_words:
                yield seen, f"{output.last_words}\n"
            return
        if await _over_within(request, _POLL_SECONDS):
            return


async def _send(request: web.Request, texts: AsyncGenerator[str, None]) -> web.StreamResponse:
    """Send texts as they come: as plain text, or as events when the client asks for them."""
    as_events = "text/event-stream" in request.headers.get(hdrs.ACCEPT, "")
    # Browsers are led here by the dashboard: what others have written is text to them, whatever it looks like.
    headers = {hdrs.CACHE_CONTROL: "no-store", "X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff"}
    response = web.StreamResponse(headers=headers)
    response.content_type = "text/event-stream" if as_events else "text/plain"
    response.charset = "utf-8"
    await response.prepare(request)
    with suppress(ConnectionResetError):  # the client has gone, and with it whom to tell
        async with aclosing(texts):
            try:
                async for text in texts:
                    await response.write((_event(text) if as_events else text).encode())
            except Transient as trouble:
                # The status has been sent already: all that is left is to say it.
                await response.write(f"{trouble.message}\n".encode())
        await response.write_eof()
    return response


def _event(text: str) -> str:
    return "".join(f"data: {line}\n\n" for line in text.splitlines())


async def _stream(request: web.Request, find: Callable[[Connection], Output], signed_for: str) -> web.StreamResponse:
    context, key = request.app[CONTEXT], request.query.get("key", "")
    output = await context.db.read(find)
    caller = request.get(CALLER)
    seen = caller is not None and Permission.VIEW in sight.to_app(caller.person, output.app)
    if not seen and not context.vault.has_signed(key, output.of, signed_for):
        # The same answer as for one that does not exist: the address alone tells nothing.
        raise not_found("output")
    return await _send(request, _texts(request, find))


async def _texts(request: web.Request, find: Callable[[Connection], Output]) -> AsyncGenerator[str, None]:
    async with aclosing(follow(request, find)) as chunks:
        async for _, text in chunks:
            yield text


async def build_output(request: web.Request) -> web.StreamResponse:
    """GET /builds/BUILD/output: what the build says, while it says it."""
    build_id = request.match_info["build"]
    return await _stream(request, lambda conn: output_of_build(conn, build_id), BUILD_OUTPUT)


async def release_output(request: web.Request) -> web.StreamResponse:
    """GET /releases/RELEASE/output: what the release phase says, while it says it."""
    release_id = request.match_info["release"]
    return await _stream(request, lambda conn: output_of_release(conn, release_id), RELEASE_OUTPUT)


class _Session(msgspec.Struct, frozen=True, array_like=True):
    app_id: str
    lines: int
    tail: bool
    expires: float
    dyno: str | None
    user_id: str


async def open_session(request: web.Request) -> web.Response:
    """POST /apps/APP/log-sessions: an address to read the app's log from, good for a few minutes."""
    context, identity = request.app[CONTEXT], app_in_path(request)
    body = await bodies.parse(request, bodies.LogSession)
    app = await context.db.read(lambda conn: find_app(conn, identity))
    now = context.db.now()
    expires = (now + timedelta(minutes=_SESSION_MINUTES)).timestamp()
    session = _Session(
        app_id=app.id,
        lines=body.lines,
        tail=body.tail,
        expires=expires,
        dyno=body.dyno,
        user_id=request[CALLER].user_id,
    )
    key = sealed.key_of(context.vault, session, _SESSION)
    shape = {
        "id": new_id(),
        "created_at": shapes.moment(now),
        "updated_at": shapes.moment(now),
        "logplex_url": f"{context.settings.url}/log-sessions/{key}",
    }
    return answers.answer(request, shape, status=201)


async def read_session(request: web.Request) -> web.StreamResponse:
    """GET /log-sessions/KEY: the app's lines, then new ones if the session says so."""
    context, key = request.app[CONTEXT], request.match_info["key"]
    session = sealed.opened(context.vault, key, _Session, _SESSION)
    if session is None:
        raise not_found("log session")
    if session.expires < context.db.now().timestamp() or not await _may_read(context, session):
        raise not_found("log session")
    with request.app[STREAMS].one(session.user_id):
        lines = request.app[CONTEXT].app_logs(session.app_id, session.lines, session.tail, session.dyno or "")
        return await _send(request, app_lines(request, lines, lambda: _may_read(context, session)))


async def _may_read(context: WebContext, session: _Session) -> bool:
    """Whether who opened the session may read the app's log still."""
    may = await context.db.read(lambda conn: sight.still_to_app(conn, session.user_id, session.app_id))
    return not may.isdisjoint(MAY_READ)


async def _over(request: web.Request, may: Callable[[], Awaitable[bool]]) -> bool:
    """Return when the server stops, the client has gone, or whoever reads the log may do so no longer."""
    clock = asyncio.get_running_loop().time
    looked = clock()
    while not await _over_within(request, _GONE_SECONDS):
        if clock() - looked < _LOOK_AGAIN_SECONDS:
            continue
        looked = clock()
        with suppress(Transient):
            if not await may():
                break
    return True


async def app_lines(
    request: web.Request, wanted: AsyncGenerator[str, None], may: Callable[[], Awaitable[bool]]
) -> AsyncGenerator[str, None]:
    """An app's lines, given up when the server stops even if the app says nothing, and once one `may` not read them."""
    closing = asyncio.create_task(_over(request, may))
    try:
        async with aclosing(wanted) as lines:
            while (line := await _next_unless(closing, lines)) is not None:
                yield line if line.endswith("\n") else f"{line}\n"
    finally:
        closing.cancel()


async def _next_unless(closing: asyncio.Task[bool], lines: AsyncGenerator[str, None]) -> str | None:
    """The next line, or None when there are no more or the server stops."""
    following = asyncio.ensure_future(anext(lines, None))
    try:
        await asyncio.wait({following, closing}, return_when=asyncio.FIRST_COMPLETED)
        return following.result() if following.done() else None
    finally:
        if not following.done():
            following.cancel()
            await asyncio.wait({following})


ROUTES = [
    rights.get("/builds/{build}/output", build_output, rights.OPEN),
    rights.get("/releases/{release}/output", release_output, rights.OPEN),
    rights.post("/apps/{app}/log-sessions", open_session, rights.app(*MAY_READ)),
    rights.get("/log-sessions/{key}", read_session, rights.OPEN),
]
