"""GitHub's side of this installation: a link to set up our App, and the webhook of a repository without one."""

import asyncio
import re
from dataclasses import asdict
from datetime import datetime
from typing import Final

from aiohttp import web
from sqlalchemy import Connection

from service.domain.errors import Refused
from service.github.hooks import CONTENT_TYPE
from service.github.manifest import HOOK_EVENTS, TOKEN_PERMISSIONS, cannot_reach
from service.settings import Settings
from service.store import activity, deliveries, setups
from service.waiting import set_within
from service.web import rights
from service.web.api import answers, bodies, shapes
from service.web.keys import CALLER, CLOSING, CONTEXT, WebContext

_ORGANIZATION: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9]|-(?=[A-Za-z0-9])){0,38}")
_REPOSITORY: Final = re.compile(r"[A-Za-z0-9][\w-]{0,38}/(?!\.\.?$)[\w.-]{1,100}", re.ASCII)
_PING_SECONDS: Final = 10.0
"""GitHub gives a webhook so long to answer."""
_POLL_SECONDS: Final = 0.2
_LISTED: Final = 50


def _unreachable(settings: Settings) -> str:
    """Why GitHub's events cannot come here, neither sent nor fetched."""
    return "" if settings.why_pull else cannot_reach(url=settings.url, github_url=settings.github_url)


async def begin_setup(request: web.Request) -> web.Response:
    """POST /github/setups: a link of one hour, by which a browser may make our GitHub App."""
    context = request.app[CONTEXT]
    body = await bodies.parse(request, bodies.BeginSetup)
    organization = body.organization or ""
    if organization and not _ORGANIZATION.fullmatch(organization):
        raise Refused(f"{organization} is not the name of an organization on GitHub.")
    if context.identity.is_given:
        raise Refused(
            "The GitHub App is given by TOWPATH_GITHUB_APP_ID and TOWPATH_GITHUB_PRIVATE_KEY_FILE, which go before one "
            "that is set up here. To set one up, start Towpath without them."
        )
    settings, user_id, now = context.settings, request[CALLER].user_id, context.db.now()

    def write(conn: Connection) -> tuple[str, datetime]:
        data = {"organization": organization}
        activity.record(conn, now=now, actor=request[CALLER].actor, action="github setup begun", data=data)
        return setups.create(conn, user_id=user_id, organization=organization, now=now)

    link, expires = await context.db.write(write)
    shown = {
        "url": f"{settings.url}/github/setup/start/{link}",
        "expires_at": shapes.moment(expires),
        "webhook_url": f"{settings.url}/github/webhooks",
        "unreachable": _unreachable(settings) or None,
    }
    return answers.answer(request, shown, status=201, headers=answers.OF_SECRETS)


async def webhook(request: web.Request) -> web.Response:
    """POST /github/webhook: what to put into a repository's webhook; with a token, how the one it has does."""
    context = request.app[CONTEXT]
    repository = (await bodies.parse(request, bodies.Webhook)).repository
    if not _REPOSITORY.fullmatch(repository):
        raise Refused(f"{repository} is not a repository's name: write it as ORG/REPO.")
    settings = context.settings
    if not settings.github_webhook_secret:
        raise Refused("Towpath was started without a secret for webhooks: set TOWPATH_GITHUB_WEBHOOK_SECRET.")
    findings = await _examined(request, context, repository) if settings.github_token else None
    stored = context.identity.stored
    shown = {
        "repository": repository,
        "settings_url": f"{settings.github_url}/{repository}/settings/hooks/new",
        "token_url": f"{settings.github_url}/settings/personal-access-tokens/new",
        "url": f"{settings.url}/github/webhooks",
        "content_type": CONTENT_TYPE,
        "secret": settings.github_webhook_secret,
        "events": [{"name": each.name, "label": each.label} for each in HOOK_EVENTS],
        "permissions": [asdict(each) for each in TOKEN_PERMISSIONS],
        "unreachable": _unreachable(settings) or None,
        "app": stored.name if stored else settings.github_app_id or None,
        "findings": findings,
    }
    return answers.answer(request, shown, headers=answers.OF_SECRETS)


async def _examined(request: web.Request, context: WebContext, repository: str) -> list[shapes.Json]:
    began = context.db.now()
    closing = request.app[CLOSING]

    def came(conn: Connection) -> bool:
        newest = deliveries.listing(conn, _LISTED)
        return any(each.event == "ping" and each.repository_id and each.received_at >= began for each in newest)

    async def arrived() -> bool:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _PING_SECONDS
        while not (there := await context.db.read(came)) and loop.time() < deadline and not closing.is_set():
            await set_within(closing, _POLL_SECONDS)
        return there

    url = f"{context.settings.url}/github/webhooks"
    return [asdict(each) for each in await context.identity.examine_hook(repository, url=url, arrived=arrived)]


ROUTES = [
    rights.post("/github/setups", begin_setup, rights.account(rights.ADMIN)),
    rights.post("/github/webhook", webhook, rights.account(rights.ADMIN)),
]
