"""What runs of an app: its process types with how many of each, the dynos with their state, scaling and restarting."""

from dataclasses import dataclass
from typing import Final

from aiohttp import web
from sqlalchemy import Connection

from service.domain.access import Permission
from service.domain.errors import Refused
from service.domain.one_offs import OneOff
from service.domain.overview import Said, Tone
from service.web import rights
from service.web.api import shapes
from service.web.api.formation import Running, dynos_of, restart_of, running_now
from service.web.errors import STATUS_OF_ID
from service.web.keys import CONTEXT, VISITOR
from service.web.pages.app_head import ONE, SEEN, Head, app_page, asked_in, found, head_of, path_of, to
from service.web.pages.signed_in import form_of

_DIGITS: Final = 3
_TONES: Final = {
    "up": Tone.GOOD,
    "starting": Tone.BUSY,
    "crashed": Tone.BAD,
    "down": Tone.QUIET,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Type:
    """A process type, how many of it are wanted, and its dynos with their state."""

    name: str
    command: str
    quantity: int
    dynos: list[tuple[str, Said]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What was refused, of which process type, and what was entered there."""

    name: str
    refused: Refused
    entered: str


def _types(running: Running) -> list[Type]:
    dynos: dict[str, list[tuple[str, Said]]] = {}
    for each in dynos_of(running):
        said = Said(text=each["state"], tone=_TONES.get(each["state"], Tone.QUIET))
        dynos.setdefault(each["type"], []).append((each["name"], said))
    return [
        Type(
            name=name,
            command=command,
            quantity=shapes.quantity(running.app.formation, name),
            dynos=dynos.get(name, []),
        )
        for name, command in sorted(running.types.items(), key=lambda item: (item[0] != "web", item[0]))
        if name != "release"
    ]


async def show(request: web.Request, trouble: Trouble | None = None) -> web.Response:
    """The page; with `trouble`, what was refused is said where it was entered."""
    asked = asked_in(request)

    def read(conn: Connection) -> tuple[Head, Running]:
        return head_of(conn, request), running_now(conn, asked)

    head, running = await request.app[CONTEXT].db.read(read)
    one_offs: list[OneOff] = running.one_offs
    return app_page(
        "resources.html",
        request,
        head,
        tab="resources",
        status=200 if trouble is None else STATUS_OF_ID.get(trouble.refused.code, 422),
        types=_types(running) if running.release is not None else [],
        one_offs=one_offs,
        may=head.does(Permission.OPERATE),
        failed=trouble.name if trouble else "",
        error=trouble.refused.message if trouble else "",
        entered=trouble.entered if trouble else "",
    )


async def resources(request: web.Request) -> web.Response:
    """GET /dashboard/apps/APP/resources."""
    return await show(request)


async def scale(request: web.Request) -> web.Response:
    """POST /dashboard/apps/APP/resources/scale: how many of one process type are to run."""
    app, form = await found(request), await form_of(request)
    name, entered = str(form.get("type", "")), str(form.get("quantity", "")).strip()
    try:
        wanted = {name: _number(entered, name)}
        await request.app[CONTEXT].enactor.scale(app_id=app.id, formation=wanted, actor=request[VISITOR].actor)
    except Refused as refused:
        return await show(request, Trouble(name=name, refused=refused, entered=entered))
    return to(f"{path_of(app)}/resources")


def _number(entered: str, name: str) -> int:
    if not (entered.isascii() and entered.isdecimal() and len(entered) <= _DIGITS):
        raise Refused(f"How many of {name} are to run? Enter a number from 0 to 100.")
    return int(entered)


async def restart(request: web.Request) -> web.Response:
    """POST /dashboard/apps/APP/resources/restart: all dynos, or the one that is named; a one-off is stopped."""
    context, asked, form = request.app[CONTEXT], asked_in(request), await form_of(request)
    running = await context.db.read(lambda conn: running_now(conn, asked))
    await restart_of(context, running, str(form.get("dyno", "")) or None, actor=request[VISITOR].actor)
    return to(f"{path_of(running.app)}/resources")


_OPERATED: Final = rights.page(rights.app(Permission.OPERATE))
ROUTES = [
    rights.get(f"{ONE}/resources", resources, SEEN),
    rights.post(f"{ONE}/resources/scale", scale, _OPERATED),
    rights.post(f"{ONE}/resources/restart", restart, _OPERATED),
]
