"""An app's config vars: a change is a release."""

from aiohttp import web
from sqlalchemy import Connection

from service.store import apps, releases
from service.web import rights
from service.web.api import answers, bodies
from service.web.api.finding import app_in_path, find_app
from service.web.keys import CALLER, CONTEXT


async def info(request: web.Request) -> web.Response:
    """GET /apps/APP/config-vars. The header names those that the running release does not have as they are here."""
    context, identity = request.app[CONTEXT], app_in_path(request)

    def read(conn: Connection) -> tuple[dict[str, str], dict[str, str]]:
        app = find_app(conn, identity)
        wanted = apps.config(conn, context.vault, app.id)
        serving = app.current_release_id
        return wanted, releases.config(conn, context.vault, serving) if serving else wanted

    wanted, running = await context.db.read(read)
    differ = sorted(key for key in wanted.keys() | running.keys() if wanted.get(key) != running.get(key))
    return answers.answer(request, wanted, headers={"Towpath-Not-Running": ", ".join(differ)} if differ else {})


async def change(request: web.Request) -> web.Response:
    """PATCH /apps/APP/config-vars: texts set, nulls unset; answers with all of them. The header names the request."""
    context, identity = request.app[CONTEXT], app_in_path(request)
    changes = (await bodies.parse(request, bodies.ConfigVars)).root
    app, before = await context.db.read(
        lambda conn: ((app := find_app(conn, identity)), apps.config(conn, context.vault, app.id))
    )
    headers = {}
    if any(before.get(name) != value for name, value in changes.items()):
        queued = await context.enactor.change_config(app_id=app.id, changes=changes, actor=request[CALLER].actor)
        headers["Towpath-Request"] = queued.id
    after = await context.db.read(lambda conn: apps.config(conn, context.vault, app.id))
    return answers.answer(request, after, headers=headers)


ROUTES = [
    rights.get("/apps/{app}/config-vars", info, rights.SECRETS_OF_APP),
    rights.patch("/apps/{app}/config-vars", change, rights.SECRETS_OF_APP),
]
