"""The web process's application: the API, the webhook receiver, and what load balancers and monitoring ask."""

import asyncio
import uuid

from aiohttp import web
from aiohttp.typedefs import Handler

from service import queue
from service.web import api, ops, receiver, rights
from service.web.api.answers import check_accept
from service.web.auth import USES, Uses, authenticated, is_open
from service.web.errors import errors_as_json
from service.web.git import routes as git
from service.web.idempotency import once
from service.web.keys import CLOSING, CONTEXT, WebContext
from service.web.limits import ALLOWANCES, REMAINING, Allowances, limited
from service.web.openapi.document import add_description
from service.web.pages import (
    about,
    access,
    account,
    activity,
    app_access,
    app_activity,
    app_acts,
    app_deploy,
    app_logs,
    app_resources,
    app_settings,
    arriving,
    deliveries,
    github_sign_in,
    home,
    invitations,
    new,
    overview,
    placing,
    promote,
    review_acts,
    settings,
    setup,
    setup_connect,
    sign_in,
    team,
    tokens,
    why,
)
from service.web.pages.rendering import add_static
from service.web.pages.signed_in import MISSES, signed_in, some_misses
from service.web.pages.watching import WATCHES, Watches
from service.web.streams import STREAMS, Streams
from service.web.welcome import welcome

MAX_FIELD_SIZE = 65536
"""Heroku's CLI before version 9 sends back every Request-Id it was ever given, in one header."""


def build_app(context: WebContext) -> web.Application:
    """Put the application together; whoever runs it must give its runner `max_field_size=MAX_FIELD_SIZE`."""
    app = web.Application(
        middlewares=[git.for_git, errors_as_json, at_once, signed_in, authenticated, limited, version_three, once],
        client_max_size=receiver.CLIENT_MAX_SIZE,
    )
    app[CONTEXT] = context
    app[ALLOWANCES] = Allowances(context.settings.api_requests_per_hour)
    app[CLOSING] = asyncio.Event()
    app[STREAMS] = Streams()
    app[USES] = Uses(context.db)
    app[MISSES] = some_misses()
    app[WATCHES] = Watches(overview.reader(context))
    app.on_response_prepare.append(_name_request)
    app.on_shutdown.append(_close_streams)
    app.on_cleanup.append(app[USES].finish)
    app.on_cleanup.append(app[WATCHES].finish)
    rights.add(app, ops.ROUTES)
    git.add_to(app, context)
    rights.add(app, [rights.get("/", welcome, rights.OPEN)])
    api.add_routes(app)
    add_static(app)
    rights.add(app, [*setup.ROUTES, *setup_connect.ROUTES])
    rights.add(app, [*sign_in.ROUTES, *github_sign_in.ROUTES, *account.ROUTES, *invitations.ROUTES])
    rights.add(app, [*tokens.ROUTES, *team.ROUTES])
    rights.add(app, [*home.ROUTES, *overview.ROUTES, *promote.ROUTES])
    rights.add(app, [*settings.ROUTES, *access.ROUTES, *new.ROUTES])
    rights.add(app, [*deliveries.ROUTES, *why.ROUTES, *activity.ROUTES, *about.ROUTES])
    rights.add(app, [*app_activity.ROUTES, *app_logs.ROUTES, *app_resources.ROUTES])
    rights.add(app, [*app_deploy.ROUTES, *app_access.ROUTES, *app_settings.ROUTES, *app_acts.ROUTES])
    rights.add(app, [*placing.ROUTES, *review_acts.ROUTES, *arriving.ROUTES])
    _receiver(context).add_to(app)
    add_description(app, url=context.settings.url)
    rights.check(app)
    return app


def build_runner(context: WebContext) -> web.AppRunner:
    """Make the runner for the application, with the limits that its clients need."""
    return web.AppRunner(build_app(context), max_field_size=MAX_FIELD_SIZE, access_log=None, shutdown_timeout=2.5)


def _receiver(context: WebContext) -> receiver.Receiver:
    return receiver.Receiver(
        inbox=context.inbox,
        secrets=lambda: context.identity.webhook_secrets,
        ring=lambda guids: context.queue.ring(queue.react(guids)),
        now=context.db.now,
    )


@web.middleware
async def at_once(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let webhooks of GitHub pass all that follows: they prove themselves, and come many at a time."""
    of = request.match_info.route.resource
    is_webhook = of is not None and of.canonical == receiver.PATH
    return await (request.match_info.handler if is_webhook else handler)(request)


@web.middleware
async def version_three(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse other versions of the API before anything is done."""
    if not (is_open(request) or git.is_gits(request)):
        check_accept(request)
    return await handler(request)


async def _name_request(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Request-Id"] = str(uuid.uuid4())
    if REMAINING in request:
        response.headers["RateLimit-Remaining"] = str(request[REMAINING])


async def _close_streams(app: web.Application) -> None:
    app[CLOSING].set()
