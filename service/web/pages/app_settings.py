"""An app's settings: config vars, maintenance, its name, and its end.

Values of config vars are not on the page until they are asked for, one by one or all at once, and only whoever may
change them is shown any.
"""

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web
from sqlalchemy import Connection

from service.domain.access import Permission
from service.domain.errors import Refused
from service.domain.model import App
from service.store import apps, releases
from service.web import rights
from service.web.api import bodies
from service.web.errors import STATUS_OF_ID
from service.web.keys import CONTEXT, VISITOR
from service.web.pages.app_head import ONE, RELEASES, SEEN, Head, app_page, found, head_of, path_of, to
from service.web.pages.signed_in import PATH, form_of

ALL_VALUES: Final = "*"
_BAD_NAME: Final = "use letters, digits and _, not starting with a digit, 256 at most."


@dataclass(frozen=True, slots=True, kw_only=True)
class Var:
    """A config var; its value is None until it is asked for. `waits`: the running release does not have it so."""

    name: str
    value: str | None
    waits: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What was refused, of which form, and what was entered there."""

    form: str
    refused: Refused
    entered: Mapping[str, str] = field(default_factory=dict)


async def show(request: web.Request, trouble: Trouble | None = None, *, asked: str = "") -> web.Response:
    """The page; with `trouble`, what was refused is said where it was entered, and `asked` names values to show."""

    def read(conn: Connection) -> tuple[Head, list[Var]]:
        head = head_of(conn, request)
        return head, _vars(conn, request, head, asked) if head.does(*RELEASES) else []

    head, listed = await request.app[CONTEXT].db.read(read)
    return app_page(
        "settings.html",
        request,
        head,
        tab="settings",
        status=200 if trouble is None else STATUS_OF_ID.get(trouble.refused.code, 422),
        vars=listed,
        all_values=ALL_VALUES,
        may_config=head.does(*RELEASES),
        may_operate=head.does(Permission.OPERATE),
        may_manage=head.does(Permission.MANAGE),
        failed=trouble.form if trouble else "",
        error=trouble.refused.message if trouble else "",
        entered=trouble.entered if trouble else {},
    )


def _vars(conn: Connection, request: web.Request, head: Head, asked: str) -> list[Var]:
    vault, serving = request.app[CONTEXT].vault, head.app.current_release_id
    wanted = apps.config(conn, vault, head.app.id)
    running = releases.config(conn, vault, serving) if serving else wanted
    return [
        Var(
            name=name,
            value=value if asked in {name, ALL_VALUES} else None,
            waits=running.get(name) != value,
        )
        for name, value in sorted(wanted.items())
    ]


async def settings(request: web.Request) -> web.Response:
    """GET /dashboard/apps/APP/settings."""
    return await show(request)


async def values(request: web.Request) -> web.Response:
    """GET /dashboard/apps/APP/settings/values?of=NAME: with the value of one config var, or of all."""
    return await show(request, asked=request.query.get("of", ""))


async def _act(request: web.Request, act: Awaitable[object], app: App, form: str, **entered: str) -> web.Response:
    """Do it and lead back to the form, or say at the form why it is not done."""
    try:
        await act
    except Refused as refused:
        return await show(request, Trouble(form=form, refused=refused, entered=entered))
    return to(f"{path_of(app)}/settings#{form}")


async def change_config(request: web.Request) -> web.Response:
    """POST /dashboard/apps/APP/settings/config: set a config var, or unset it."""
    app, form = await found(request), await form_of(request)
    name = str(form.get("name", "")).strip()
    # A browser sends the lines of a text area with the line ends of e-mail.
    value = None if form.get("do") == "unset" else str(form.get("value", "")).replace("\r\n", "\n")
    return await _act(request, _set(request, app, name, value), app, "config", name=name, value=value or "")


async def _set(request: web.Request, app: App, name: str, value: str | None) -> None:
    changes = _checked(name, None) | _checked(name, value)
    context = request.app[CONTEXT]
    before = await context.db.read(lambda conn: apps.config(conn, context.vault, app.id))
    if before.get(name) != value:
        await context.enactor.change_config(app_id=app.id, changes=changes, actor=request[VISITOR].actor)


def _checked(name: str, value: str | None) -> dict[str, str | None]:
    try:
        return bodies.checked(bodies.ConfigVars, {name: value}).root
    except Refused:
        what = "its value is longer than 64 kB." if value is not None else _BAD_NAME
        raise Refused(f"{name or 'A config var without a name'} cannot be set: {what}") from None


async def maintain(request: web.Request) -> web.Response:
    """POST /dashboard/apps/APP/settings/maintenance: on or off."""
    app, form = await found(request), await form_of(request)
    act = request.app[CONTEXT].enactor.change_app(
        app_id=app.id, maintenance=form.get("do") == "on", actor=request[VISITOR].actor
    )
    return await _act(request, act, app, "maintenance")


async def rename(request: web.Request) -> web.Response:
    """POST /dashboard/apps/APP/settings/name."""
    app, name = await found(request), str((await form_of(request)).get("name", "")).strip()
    try:
        renamed = await request.app[CONTEXT].enactor.change_app(app_id=app.id, name=name, actor=request[VISITOR].actor)
    except Refused as refused:
        return await show(request, Trouble(form="name", refused=refused, entered={"name": name}))
    return to(f"{path_of(renamed)}/settings#name")


async def destroy(request: web.Request) -> web.Response:
    """POST /dashboard/apps/APP/settings/delete: to whoever has typed its name."""
    app, typed = await found(request), str((await form_of(request)).get("confirm", "")).strip()
    try:
        _check_typed(typed, app)
        await request.app[CONTEXT].enactor.destroy_app(app_id=app.id, actor=request[VISITOR].actor)
    except Refused as refused:
        return await show(request, Trouble(form="delete", refused=refused, entered={"confirm": typed}))
    return to(PATH)


def _check_typed(typed: str, app: App) -> None:
    if typed != app.name:
        raise Refused(f"That is not the app's name: type {app.name}. Nothing was deleted.")


_SETTINGS: Final = f"{ONE}/settings"
_SECRETS: Final = rights.page(rights.SECRETS_OF_APP)
_MANAGED: Final = rights.page(rights.app(Permission.MANAGE))
ROUTES = [
    rights.get(_SETTINGS, settings, SEEN),
    rights.get(f"{_SETTINGS}/values", values, _SECRETS),
    rights.post(f"{_SETTINGS}/config", change_config, _SECRETS),
    rights.post(f"{_SETTINGS}/maintenance", maintain, rights.page(rights.app(Permission.OPERATE))),
    rights.post(f"{_SETTINGS}/name", rename, _MANAGED),
    rights.post(f"{_SETTINGS}/delete", destroy, _MANAGED),
]
