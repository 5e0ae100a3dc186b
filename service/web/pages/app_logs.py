"""What an app's builds, its release phases and the app itself say: its end at once, and what is added as it comes.

All of it is somebody's output: it is shown as text, without what would control a terminal, and never as a whole when it
is long.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, suppress
from typing import Final

from aiohttp import hdrs, web
from sqlalchemy import Connection

from service.domain.errors import Transient
from service.shown import BUILD_OUTPUT, RELEASE_OUTPUT
from service.store import app_pages
from service.store.app_pages import Happened, Part
from service.web import rights
from service.web.api.finding import find_app, find_release
from service.web.api.loading import process_types
from service.web.api.logs import MAY_READ, Output, app_lines, follow, output_of_build, output_of_release
from service.web.errors import not_found
from service.web.keys import CLOSING, CONTEXT, VISITOR
from service.web.pages.app_activity import line_of
from service.web.pages.app_head import ONE, SEEN, Head, app_page, asked_in, found, head_of
from service.web.pages.plain import plain
from service.web.pages.signed_in import may_still
from service.web.streams import STREAMS

_MOST: Final = 256 * 1024
"""Characters of a log that are shown; all of it is there as text."""
_LINES: Final = 200
_DIGITS: Final = 9
_LONGEST_NAME: Final = 140
_LOOK_AGAIN_SECONDS: Final = 30.0

Find = Callable[[Connection], tuple[Output, str]]
"""Output, and the id of the request that it belongs to."""
_NOTHING: Final = Part(text="", last=0, cut=False, closed=True)


def _build(request: web.Request) -> Find:
    """How the output of the build is found that the path names; refused when it is none of the app's."""
    build_id, asked = request.match_info["build"], asked_in(request)

    def find(conn: Connection) -> tuple[Output, str]:
        app, output = find_app(conn, asked), output_of_build(conn, build_id)
        if output.app.id != app.id:
            raise not_found("build")
        return output, output.of

    return find


def _release(request: web.Request) -> Find:
    """How that of the release phase is found of the release that the path names."""
    wanted, asked = request.match_info["release"], asked_in(request)

    def find(conn: Connection) -> tuple[Output, str]:
        it = find_release(conn, find_app(conn, asked), wanted)
        return output_of_release(conn, it.id), it.request_id

    return find


async def _show(request: web.Request, find: Find, kind: str, signed_for: str) -> web.Response:
    context = request.app[CONTEXT]

    def read(conn: Connection) -> tuple[Head, Output, Part, Happened | None]:
        head, (output, request_id) = head_of(conn, request), find(conn)
        part = _NOTHING if output.log_id is None else app_pages.end_of_log(conn, output.log_id, _MOST)
        return head, output, part, app_pages.request_of(conn, head.app.id, request_id)

    head, output, part, it = await context.db.read(read)
    if it is None:
        raise not_found(kind)
    key = context.vault.sign(output.of, signed_for)
    return app_page(
        "log.html",
        request,
        head,
        tab="activity",
        kind=kind,
        line=line_of(head, it),
        text=plain(part.text),
        cut=part.cut,
        events="" if output.final and part.closed else f"{request.path}/log?after={part.last}",
        whole=f"/{kind}s/{output.of}/output?key={key}" if output.log_id else "",
    )


async def build(request: web.Request) -> web.Response:
    """GET /dashboard/apps/APP/builds/BUILD: by the build's id or that of its request."""
    return await _show(request, _build(request), "build", BUILD_OUTPUT)


async def release(request: web.Request) -> web.Response:
    """GET /dashboard/apps/APP/releases/RELEASE: with the output of its release phase."""
    return await _show(request, _release(request), "release", RELEASE_OUTPUT)


async def build_log(request: web.Request) -> web.StreamResponse:
    """GET /dashboard/apps/APP/builds/BUILD/log?after=CHUNK: what is added, as it comes."""
    return await _follow(request, _build(request))


async def release_log(request: web.Request) -> web.StreamResponse:
    """GET /dashboard/apps/APP/releases/RELEASE/log?after=CHUNK."""
    return await _follow(request, _release(request))


async def _follow(request: web.Request, find: Find) -> web.StreamResponse:
    # A browser whose connection broke off says how far it had come; that goes before what the address says.
    told = request.headers.get("Last-Event-ID") or request.query.get("after", "")
    after = int(told) if told.isascii() and told.isdecimal() and len(told) <= _DIGITS else 0
    await request.app[CONTEXT].db.read(find)
    return await _send(request, follow(request, lambda conn: find(conn)[0], after=after))


async def _numbered(wanted: AsyncGenerator[str, None]) -> AsyncGenerator[tuple[int, str], None]:
    async with aclosing(wanted):
        async for line in wanted:
            yield 0, line


async def _send(request: web.Request, texts: AsyncGenerator[tuple[int, str], None]) -> web.StreamResponse:
    """Send texts as events, each with its number, and at last that this was all."""
    async with aclosing(texts):
        with request.app[STREAMS].one(request[VISITOR].user.id):
            response = web.StreamResponse(headers={hdrs.CACHE_CONTROL: "no-store", "X-Accel-Buffering": "no"})
            response.content_type = "text/event-stream"
            await response.prepare(request)
            if request.method != hdrs.METH_HEAD:
                with suppress(ConnectionResetError):  # the browser has gone, and with it whom to tell
                    await _write(request, response, texts)
            return response


async def _write(
    request: web.Request, response: web.StreamResponse, texts: AsyncGenerator[tuple[int, str], None]
) -> None:
    clock = asyncio.get_running_loop().time
    looked = clock()
    await response.write(b"event: begin\ndata:\n\n")
    try:
        async for number, text in texts:
            if clock() - looked > _LOOK_AGAIN_SECONDS:
                looked = clock()
                if not await may_still(request):
                    return
            await response.write(_event(number, plain(text)))
    except Transient as trouble:
        await response.write(_event(0, f"{trouble.message}\n"))
    # Without this a browser comes back: to whoever serves next, or to be told that it may see this no longer.
    if not request.app[CLOSING].is_set() and await may_still(request):
        await response.write(b"event: end\ndata:\n\n")
    await response.write_eof()


def _event(number: int, text: str) -> bytes:
    name = f"id: {number}\n" if number else ""
    lines = "".join(f"data: {each}\n" for each in text.split("\n"))
    return f"{name}{lines}\n".encode(errors="replace")


async def logs(request: web.Request) -> web.Response:
    """GET /dashboard/apps/APP/logs: what the app says, all of it or one `?process=`."""

    def read(conn: Connection) -> tuple[Head, Mapping[str, str]]:
        head = head_of(conn, request)
        return head, process_types(conn, head.app)

    head, types = await request.app[CONTEXT].db.read(read)
    return app_page(
        "logs.html", request, head, tab="logs", process=_process(request), types=sorted({*types} - {"release"})
    )


def _process(request: web.Request) -> str:
    return request.query.get("process", "")[:_LONGEST_NAME]


async def lines(request: web.Request) -> web.StreamResponse:
    """GET /dashboard/apps/APP/logs/lines: the last lines, then new ones."""
    app = await found(request)
    wanted = request.app[CONTEXT].app_logs(app.id, _LINES, True, _process(request))
    return await _send(request, _numbered(app_lines(request, wanted, lambda: may_still(request))))


_BUILD: Final = f"{ONE}/builds/{{build}}"
_RELEASE: Final = f"{ONE}/releases/{{release}}"
_READ: Final = rights.page(rights.app(*MAY_READ))
ROUTES = [
    rights.get(_BUILD, build, SEEN),
    rights.get(f"{_BUILD}/log", build_log, SEEN),
    rights.get(_RELEASE, release, SEEN),
    rights.get(f"{_RELEASE}/log", release_log, SEEN),
    rights.get(f"{ONE}/logs", logs, _READ),
    rights.get(f"{ONE}/logs/lines", lines, _READ),
]
