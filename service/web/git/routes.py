"""Who may push to an app's own repository, and read it: the API token is the password, whatever the user is called."""

import asyncio
import re
from typing import Final

import msgspec
import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from sqlalchemy import Connection

from service.domain.access import Act, Permission, token_may
from service.domain.errors import Refused, Transient
from service.domain.model import App, Sha
from service.store import pushes
from service.web import rights
from service.web.api.finding import app_in_path, find_app, find_app_for_code
from service.web.git import pkt, program, push, room
from service.web.git.keeper import KEEPER, Keeper
from service.web.git.repository import Repository
from service.web.git.terminal import HEADERS
from service.web.keys import CALLER, CONTEXT, WebContext

log = structlog.get_logger()

ROOT: Final = "/{app}.git/"
_PULL, _PUSH = "git-upload-pack", "git-receive-pack"
_PROTOCOL: Final = re.compile(r"version=[0-9](:[a-z0-9=]+)*")
_CHUNK: Final = 64 * 1024
_ASKED: Final = 4 << 20
"""How many bytes a fetch may ask with: 80,000 branches, tags and commits by name."""
_ASKING_SECONDS: Final = 60.0
_GONE: Final = (ConnectionError, web.RequestPayloadError)


def _app_to_push_to(conn: Connection, request: web.Request) -> App:
    """The app; refused to whom may not bring new code to it where it stands."""
    app = find_app_for_code(conn, app_in_path(request))
    if not token_may(request[CALLER].token.scopes, Act.WRITE):
        raise Refused("This token may only read: a push takes one that may write.", code="forbidden")
    return app


async def refs(request: web.Request) -> web.StreamResponse:
    """GET /APP.git/info/refs: what there is, for who fetches it or is about to push."""
    context, service = request.app[CONTEXT], request.query.get("service", "")
    if service == _PUSH:
        app = await context.db.read(lambda conn: _app_to_push_to(conn, request))
        found = await _followed(request, app)
        return _answer(service, pkt.advertised(found))
    if service != _PULL:
        raise Refused("Only git's smart protocol is spoken here.", code="bad_request")
    app = await context.db.read(lambda conn: find_app(conn, app_in_path(request)))
    await _followed(request, app)
    repository = request.app[KEEPER].repository(app.id)
    args = ("upload-pack", "--stateless-rpc", "--advertise-refs", "--strict", ".")
    done = await program.run(*args, at=repository.path, env=_protocol(request))
    if done.code:
        raise Refused(f"git could not read the repository: {done.cause}", code="bad_request")
    speaks_two = "version=2" in _protocol(request).get("GIT_PROTOCOL", "")
    head = b"" if speaks_two else pkt.line(f"# service={service}\n".encode()) + pkt.FLUSH
    return _answer(service, head + done.out)


async def _followed(request: web.Request, app: App) -> dict[str, Sha]:
    heads = await request.app[CONTEXT].db.read(lambda conn: pushes.heads(conn, app.id))
    return await request.app[KEEPER].repository(app.id).follow(heads)


def _answer(service: str, body: bytes) -> web.Response:
    return web.Response(body=body, content_type=f"application/x-{service}-advertisement", headers=HEADERS)


def _protocol(request: web.Request) -> dict[str, str]:
    asked = request.headers.get("Git-Protocol", "")
    return {"GIT_PROTOCOL": asked} if _PROTOCOL.fullmatch(asked) else {}


def _check_type(request: web.Request, service: str) -> None:
    if request.content_type != f"application/x-{service}-request":
        raise Refused(f"Content-Type: only git's application/x-{service}-request is taken here.", code="bad_request")


async def fetch(request: web.Request) -> web.StreamResponse:
    """POST /APP.git/git-upload-pack: what is fetched, as git packs it."""
    _check_type(request, _PULL)
    app = await request.app[CONTEXT].db.read(lambda conn: find_app(conn, app_in_path(request)))
    repository = request.app[KEEPER].repository(app.id, who=request[CALLER].user_id)
    await repository.ready()
    response = web.StreamResponse(headers=HEADERS)
    response.content_type = f"application/x-{_PULL}-result"
    try:
        asked = await _asked(request)  # before there is a place for it: whoever asks slowly takes none
        async with repository.busy(), asyncio.timeout(room.HELD_SECONDS):
            await _send(request, repository, asked, response)
    except Transient as trouble:
        # git shows this; of an answer that is none it shows but the number.
        said = pkt.line(f"ERR {trouble.message}. Try again in a while.\n".encode())
        return web.Response(body=said, content_type=response.content_type, headers=HEADERS)
    except _GONE:  # whoever fetched has gone
        log.info("fetch given up", app=app.id)
    except TimeoutError:
        log.info("fetch cut off", app=app.id, reason=room.too_long("receive"))
        if request.transport is not None:  # it would not take the end of it either
            request.transport.abort()
    return response


async def _asked(request: web.Request) -> bytes:
    """What a fetch asks for, as a whole; it is of a few lines."""
    said = bytearray()
    try:
        async with asyncio.timeout(_ASKING_SECONDS):
            async for chunk in request.content.iter_any():
                said += chunk
                if len(said) > _ASKED:
                    told = f"A fetch may ask with {_ASKED >> 20} MB; fetch fewer branches and tags at a time."
                    raise Refused(told, code="request_too_large")
    except TimeoutError:
        told = f"What is to be fetched took longer than {_ASKING_SECONDS:.0f} s to be asked for; try again."
        raise Refused(told, code="bad_request") from None
    return bytes(said)


async def _send(request: web.Request, repository: Repository, asked: bytes, response: web.StreamResponse) -> None:
    """Send what git packs, no faster than it is taken."""
    args = ("upload-pack", "--stateless-rpc", "--strict", ".")
    async with program.running(*args, at=repository.path, env=_protocol(request)) as process:
        assert process.stdout is not None
        feeding = asyncio.create_task(program.feed(program.once(asked), process))
        complaint = asyncio.create_task(program.complaint(process))
        try:
            chunk = await process.stdout.read(_CHUNK)
            await response.prepare(request)
            while chunk:
                await response.write(chunk)
                chunk = await process.stdout.read(_CHUNK)
            await response.write_eof()
            if await process.wait():
                log.info("fetch broken off", app=repository.app_id, reason=await complaint)
        finally:
            for task in (feeding, complaint):
                task.cancel()
            await asyncio.gather(feeding, complaint, return_exceptions=True)


async def take(request: web.Request) -> web.StreamResponse:
    """POST /APP.git/git-receive-pack: a push."""
    _check_type(request, _PUSH)
    app = await request.app[CONTEXT].db.read(lambda conn: _app_to_push_to(conn, request))
    keeper = request.app[KEEPER]
    try:
        return await push.answer(request, app, keeper.repository(app.id, who=request[CALLER].user_id))
    except _GONE:  # the deploy, if it has come so far, goes on
        log.info("push given up by the client", app=app.id)
        return web.Response(status=400)
    finally:
        keeper.tidy_soon(app.id)


@web.middleware
async def for_git(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer git as it wants to be answered: it asks for a password when challenged, and shows plain text."""
    response = await handler(request)
    if not is_gits(request) or response.status < 400 or not isinstance(response, web.Response):
        return response
    if response.status == 401:
        response.headers[hdrs.WWW_AUTHENTICATE] = 'Basic realm="Towpath", charset="UTF-8"'
    is_git = request.headers.get(hdrs.USER_AGENT, "").startswith("git/")
    if is_git and response.content_type == "application/json" and isinstance(response.body, bytes):
        response.content_type, response.text = "text/plain", msgspec.json.decode(response.body)["message"]
    return response


def is_gits(request: web.Request) -> bool:
    """Whether it is for an app's repository."""
    resource = request.match_info.route.resource
    return resource is not None and resource.canonical.startswith(ROOT)


ROUTES = [
    rights.get(f"{ROOT}info/refs", refs, rights.app()),
    rights.post(f"{ROOT}{_PULL}", fetch, rights.reading(rights.app())),
    rights.post(f"{ROOT}{_PUSH}", take, rights.app(Permission.DEPLOY)),
]


def add_to(app: web.Application, context: WebContext) -> None:
    """Serve the repositories of apps."""
    keeper = Keeper(context)
    app[KEEPER] = keeper
    rights.add(app, ROUTES)
    app.on_startup.append(keeper.start)
    app.on_cleanup.append(keeper.finish)
