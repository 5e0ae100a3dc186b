"""One-off dynos: asked for, shown, and joined over a WebSocket with whoever asked.

The address to attach at carries an unguessable key instead of a token, as that of a log session does. Over it messages
of a letter and bytes pass (`workers/platforms/base.py` says which), and `a` from time to time: that one is still there.
"""

import asyncio
import re
from contextlib import suppress
from datetime import timedelta
from typing import Final

import msgspec
from aiohttp import WSMsgType, hdrs, web

from service.attachments import LONGEST, Channel, Gone
from service.domain.access import Permission
from service.domain.errors import Refused, Transient
from service.domain.model import App
from service.domain.one_offs import LONGEST as LONGEST_LIFE
from service.domain.one_offs import OneOff, OneOffState
from service.store import sight
from service.waiting import set_within
from service.web import rights, sealed
from service.web.api import answers, bodies, shapes
from service.web.api.finding import app_in_path, find_app
from service.web.api.one_off_bodies import RunDyno
from service.web.errors import not_found
from service.web.keys import CALLER, CLOSING, CONTEXT, WebContext
from service.web.streams import STREAMS

_ATTACHMENT: Final = "dyno attachment"
_ATTACH_SECONDS: Final = 120
_ALIVE_SECONDS: Final = 15.0
_SILENT_SECONDS: Final = 60.0
_LOOK_AGAIN_SECONDS: Final = 30.0
_FROM_CLIENT: Final = frozenset(b"iewha")
_NO_WORKER: Final = "No worker answers (any more); is one running? (towpath doctor)"
_HEROKU_CLI: Final = re.compile(r"heroku(-cli)?/")


class _Attachment(msgspec.Struct, frozen=True, array_like=True):
    app_id: str
    one_off_id: str
    user_id: str
    expires: float


def shown(app: App, one_off: OneOff) -> shapes.Json:
    """A one-off dyno as the API shows it."""
    return {
        "app": {"id": app.id, "name": app.name},
        "attach_url": None,
        "command": one_off.command,
        "created_at": shapes.moment(one_off.created_at),
        "exit_code": one_off.exit_code,
        "id": one_off.id,
        "name": one_off.name,
        "reason": one_off.reason or None,
        "release": {"id": one_off.release_id, "version": one_off.version},
        "size": "standard",
        "state": _state(one_off),
        "type": one_off.type,
        "updated_at": shapes.moment(one_off.updated_at),
    }


def _state(one_off: OneOff) -> str:
    if one_off.state is OneOffState.ENDED:
        return "complete" if one_off.exit_code == 0 else "crashed"
    return "crashed" if one_off.state is OneOffState.FAILED else one_off.state.value


async def run(request: web.Request) -> web.Response:
    """POST /apps/APP/dynos: run a command beside the app; with `attach` it waits for whoever comes to `attach_url`."""
    context, identity = request.app[CONTEXT], app_in_path(request)
    body = await bodies.parse(request, RunDyno)
    attached = body.attach is True
    app = await context.db.read(lambda conn: find_app(conn, identity))
    if attached and _HEROKU_CLI.match(request.headers.get(hdrs.USER_AGENT, "")):
        raise Refused(
            "heroku run cannot be attached by itself: use `towpath heroku -- run` or `towpath run`, or "
            "`heroku run:detached` and `heroku logs --tail`."
        )
    made = await context.enactor.run_one_off(
        app_id=app.id,
        command=body.command,
        process_type=body.type or "run",
        env=body.variables,
        attached=attached,
        tty=attached and not body.force_no_tty,
        seconds=body.time_to_live or LONGEST_LIFE,
        actor=request[CALLER].actor,
    )
    url = _attach_url(context, made, request[CALLER].user_id) if attached else None
    headers = answers.OF_SECRETS if attached else None
    return answers.answer(request, shown(app, made) | {"attach_url": url}, status=201, headers=headers)


def _attach_url(context: WebContext, made: OneOff, user_id: str) -> str:
    expires = (context.db.now() + timedelta(seconds=_ATTACH_SECONDS)).timestamp()
    wanted = _Attachment(app_id=made.app_id, one_off_id=made.id, user_id=user_id, expires=expires)
    key = sealed.key_of(context.vault, wanted, _ATTACHMENT)
    return f"ws{context.settings.url.removeprefix('http')}/dyno-attachments/{key}"


async def attach(request: web.Request) -> web.StreamResponse:
    """GET /dyno-attachments/KEY: be the terminal of a one-off dyno, until it ends or the connection does."""
    context, key = request.app[CONTEXT], request.match_info["key"]
    wanted = sealed.opened(context.vault, key, _Attachment, _ATTACHMENT)
    if wanted is None:
        raise not_found("dyno")
    if wanted.expires < context.db.now().timestamp() or not await _may(context, wanted):
        raise not_found("dyno")
    socket = web.WebSocketResponse(max_msg_size=LONGEST + 2, receive_timeout=_SILENT_SECONDS, compress=False)
    if not socket.can_prepare(request):
        raise Refused("This address is for WebSockets only: `towpath run` connects to it.", code="bad_request")
    with request.app[STREAMS].one(wanted.user_id):
        await socket.prepare(request)
        await _attached(request, socket, wanted)
    return socket


async def _attached(request: web.Request, socket: web.WebSocketResponse, wanted: _Attachment) -> None:
    context = request.app[CONTEXT]
    try:
        async with context.attachments.open(wanted.one_off_id) as channel:
            await _join(request, socket, channel, wanted)
    except Gone:
        with suppress(ConnectionError):
            await socket.send_bytes(b"l" + _NO_WORKER.encode())
    finally:
        await socket.close()


async def _may(context: WebContext, wanted: _Attachment) -> bool:
    """Whether who asked for the dyno may run commands there still."""
    may = await context.db.read(lambda conn: sight.still_to_app(conn, wanted.user_id, wanted.app_id))
    return Permission.OPERATE in may


async def _join(request: web.Request, socket: web.WebSocketResponse, channel: Channel, wanted: _Attachment) -> None:
    """Pass messages both ways until either side goes; then the other is told."""
    ends = await channel.hold(_up(socket, channel), _down(socket, channel), _beat(socket), _over(request, wanted))
    last = next((end for end in ends if isinstance(end, str)), "")
    gone = any(isinstance(end, Gone) for end in ends)
    with suppress(Gone, ConnectionError):
        if not (gone or channel.over):
            await channel.tell(b"h")
        if gone or last:
            await socket.send_bytes(b"l" + (last or _NO_WORKER).encode())
    for end in ends:
        if isinstance(end, Exception) and not isinstance(end, Gone | ConnectionError | TimeoutError):
            raise end


async def _up(socket: web.WebSocketResponse, channel: Channel) -> str:
    """What the client says, until it goes or says nonsense; returns what to tell it then."""
    async for message in socket:
        if message.type is not WSMsgType.BINARY or not message.data or message.data[0] not in _FROM_CLIENT:
            return "That is not how a client speaks here; is it as new as the server?"
        if message.data[:1] != b"a":
            await channel.send(message.data)
    return ""


async def _down(socket: web.WebSocketResponse, channel: Channel) -> None:
    while not channel.over:
        await socket.send_bytes(await channel.receive())


async def _beat(socket: web.WebSocketResponse) -> None:
    while True:
        await asyncio.sleep(_ALIVE_SECONDS)
        await socket.send_bytes(b"a")


async def _over(request: web.Request, wanted: _Attachment) -> str:
    """Return why when the server stops, or who is attached may not be any longer."""
    context = request.app[CONTEXT]
    while True:
        if await set_within(request.app[CLOSING], _LOOK_AGAIN_SECONDS):
            return "The server stops."
        with suppress(Transient):
            if not await _may(context, wanted):
                return "You may not run commands here any longer."


ROUTES = [
    # A command can print every config var.
    rights.post("/apps/{app}/dynos", run, rights.secret(rights.app(Permission.OPERATE))),
    rights.get("/dyno-attachments/{key}", attach, rights.OPEN),
]
