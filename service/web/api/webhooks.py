"""Outbound webhooks of apps and of pipelines, what they heard, and what became of telling them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from sqlalchemy import Connection

from service.domain.access import Permission
from service.domain.errors import Refused
from service.domain.webhooks import Include, OutboundState, check_include
from service.event_body import Teller
from service.store import outbound, people, webhooks
from service.store.outbound import Attempt, Event, Outbound
from service.store.people import People
from service.store.webhooks import Webhook
from service.web import rights
from service.web.api import answers, bodies, shapes
from service.web.api.finding import Asked, app_in_path, find_app, find_pipeline, pipeline_in_path
from service.web.api.webhook_bodies import AddWebhook, ChangeWebhook
from service.web.errors import not_found
from service.web.keys import CALLER, CONTEXT, WebContext
from service.web.rights import Route

SECRET_HEADER: Final = "Heroku-Webhook-Secret"  # noqa: S105  (the name of a header)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """Whose webhooks are meant: an app's or a pipeline's, one of the two."""

    app_id: str | None
    pipeline_id: str | None


def _target(conn: Connection, of: str, asked: Asked) -> _Target:
    if of == "app":
        return _Target(app_id=find_app(conn, asked).id, pipeline_id=None)
    return _Target(app_id=None, pipeline_id=find_pipeline(conn, asked).id)


def _in_path(request: web.Request) -> Callable[[Connection], _Target]:
    """How to find the app or pipeline that the path names."""
    of = "app" if "app" in request.match_info else "pipeline"
    asked = app_in_path(request) if of == "app" else pipeline_in_path(request)
    return lambda conn: _target(conn, of, asked)


def _named(request: web.Request, what: str) -> str:
    """What the path calls a thing: the names of a pipeline's are other ones than those of an app's."""
    return request.match_info[what if "app" in request.match_info else f"pipeline_{what}"]


def _find_webhook(conn: Connection, target: _Target, webhook_id: str) -> Webhook:
    found = webhooks.get(conn, webhook_id)
    if found is None or (found.app_id, found.pipeline_id) != (target.app_id, target.pipeline_id):
        raise not_found("webhook")
    return found


def _find_event(conn: Connection, target: _Target, event_id: str) -> Event:
    found = outbound.event(conn, event_id)
    ours = found and (found.app_id == target.app_id if target.app_id else found.pipeline_id == target.pipeline_id)
    if found is None or not ours:
        raise not_found("webhook event")
    return found


def _find_outbound(conn: Connection, target: _Target, outbound_id: str) -> Outbound:
    found = outbound.get(conn, outbound_id)
    of = webhooks.get(conn, found.webhook_id) if found else None
    if found is None or of is None or (of.app_id, of.pipeline_id) != (target.app_id, target.pipeline_id):
        raise not_found("webhook delivery")
    return found


def webhook_shape(it: Webhook) -> shapes.Json:
    """A webhook without what is secret of it."""
    return {
        "app": None if it.app_id is None else {"id": it.app_id, "name": it.name},
        "created_at": shapes.moment(it.created_at),
        "id": it.id,
        "include": sorted(it.include),
        "level": it.level.value,
        "updated_at": shapes.moment(it.updated_at),
        "url": it.url,
        "pipeline": None if it.pipeline_id is None else {"id": it.pipeline_id, "name": it.name},
        "state": "active" if it.stopped_at is None else "stopped",
        "reason": it.reason or None,
    }


def _event_shape(it: Event, known: People, teller: Teller) -> shapes.Json:
    """An event with what receivers are sent."""
    at = shapes.moment(it.created_at)
    told = teller.payload(it, known)
    return {"created_at": at, "id": it.id, "include": it.include.value, "payload": told, "updated_at": at}


def _attempt_shape(it: Attempt) -> shapes.Json:
    at = shapes.moment(it.at)
    return {
        "code": it.code,
        "created_at": at,
        "error_class": it.error,
        "id": it.id,
        "status": "succeeded" if it.succeeded else "failed",
        "updated_at": at,
        "text": it.text or None,
    }


def outbound_shape(it: Outbound) -> shapes.Json:
    """A delivery with its last attempt."""
    return {
        "created_at": shapes.moment(it.created_at),
        "event": {"id": it.event_id, "include": it.include.value},
        "id": it.id,
        "last_attempt": None if it.last is None else _attempt_shape(it.last),
        "next_attempt_at": shapes.moment(it.next_attempt_at),
        "num_attempts": it.attempts,
        "status": it.state.value,
        "updated_at": shapes.moment(it.updated_at),
        "webhook": {"id": it.webhook_id, "level": it.level.value},
        "seq": it.seq,
    }


async def listing(request: web.Request) -> web.Response:
    """GET /apps/APP/webhooks and /pipelines/PIPELINE/webhooks."""
    find = _in_path(request)

    def read(conn: Connection) -> list[Webhook]:
        target = find(conn)
        return webhooks.listing(conn, app_id=target.app_id, pipeline_id=target.pipeline_id)

    found = await request.app[CONTEXT].db.read(read)
    return answers.answer_list(request, found, webhook_shape, id=lambda it: it.id, created_at=lambda it: it.created_at)


def _checked(target: _Target, include: list[str]) -> frozenset[Include]:
    return check_include(include, of_pipeline=target.pipeline_id is not None)


async def add(request: web.Request) -> web.Response:
    """POST /apps/APP/webhooks and /pipelines/PIPELINE/webhooks.

    A secret that was made up is in a header of the answer, and nowhere else afterwards.
    """
    context, find = request.app[CONTEXT], _in_path(request)
    body = await bodies.parse(request, AddWebhook)
    target = await context.db.read(find)
    context.settings.webhook_reach.check(body.url)
    made, secret = await context.enactor.add_webhook(
        app_id=target.app_id,
        pipeline_id=target.pipeline_id,
        include=_checked(target, body.include),
        level=body.level,
        url=body.url,
        secret=body.secret,
        authorization=body.authorization,
        actor=request[CALLER].actor,
    )
    told = {} if body.secret else {SECRET_HEADER: secret, **answers.OF_SECRETS}
    return answers.answer(request, webhook_shape(made), status=201, headers=told)


async def _found(request: web.Request) -> tuple[_Target, Webhook]:
    find, named = _in_path(request), _named(request, "webhook")

    def read(conn: Connection) -> tuple[_Target, Webhook]:
        target = find(conn)
        return target, _find_webhook(conn, target, named)

    return await request.app[CONTEXT].db.read(read)


async def info(request: web.Request) -> web.Response:
    """GET /apps/APP/webhooks/WEBHOOK and the same of a pipeline."""
    _, found = await _found(request)
    return answers.answer(request, webhook_shape(found))


async def change(request: web.Request) -> web.Response:
    """PATCH /apps/APP/webhooks/WEBHOOK and the same of a pipeline: one that was stopped starts again."""
    context = request.app[CONTEXT]
    body = await bodies.parse(request, ChangeWebhook)
    target, found = await _found(request)
    if body.url is not None:
        context.settings.webhook_reach.check(body.url)
    changed = await context.enactor.change_webhook(
        webhook_id=found.id,
        include=None if body.include is None else _checked(target, body.include),
        level=body.level,
        url=body.url,
        secret=body.secret,
        authorization=body.authorization,
        actor=request[CALLER].actor,
    )
    return answers.answer(request, webhook_shape(changed))


async def remove(request: web.Request) -> web.Response:
    """DELETE /apps/APP/webhooks/WEBHOOK and the same of a pipeline, with what it was still to be told."""
    _, found = await _found(request)
    removed = await request.app[CONTEXT].enactor.remove_webhook(webhook_id=found.id, actor=request[CALLER].actor)
    return answers.answer(request, webhook_shape(removed))


async def events(request: web.Request) -> web.Response:
    """GET /apps/APP/webhook-events and the same of a pipeline: the newest thousand that somebody listened to."""
    context, find = request.app[CONTEXT], _in_path(request)

    def read(conn: Connection) -> tuple[list[Event], People]:
        target = find(conn)
        found = outbound.event_listing(conn, app_id=target.app_id, pipeline_id=target.pipeline_id)
        return found, people.known(conn, frozenset().union(*(it.actors for it in found)))

    (listed, known), teller = await context.db.read(read), _teller(context)
    return answers.answer_list(
        request,
        listed,
        lambda it: _event_shape(it, known, teller),
        id=lambda it: it.id,
        seq=lambda it: it.seq,
    )


async def event(request: web.Request) -> web.Response:
    """GET /apps/APP/webhook-events/EVENT and the same of a pipeline."""
    context, find, named = request.app[CONTEXT], _in_path(request), _named(request, "event")

    def read(conn: Connection) -> tuple[Event, People]:
        found = _find_event(conn, find(conn), named)
        return found, people.known(conn, found.actors)

    found, known = await context.db.read(read)
    return answers.answer(request, _event_shape(found, known, _teller(context)))


def _teller(context: WebContext) -> Teller:
    return Teller(settings=context.settings, vault=context.vault)


async def deliveries(request: web.Request) -> web.Response:
    """GET /apps/APP/webhook-deliveries and the same of a pipeline: the newest thousand, or those of a status."""
    find, state = _in_path(request), request.query.get("eq[status]")
    if state is not None and state not in set(OutboundState):
        raise Refused(f"eq[status]: is one of {', '.join(OutboundState)}")

    def read(conn: Connection) -> list[Outbound]:
        target = find(conn)
        return outbound.listing(conn, app_id=target.app_id, pipeline_id=target.pipeline_id, state=state)

    found = await request.app[CONTEXT].db.read(read)
    return answers.answer_list(
        request, found, outbound_shape, id=lambda it: it.id, seq=lambda it: it.seq, created_at=lambda it: it.created_at
    )


async def _found_outbound(request: web.Request) -> Outbound:
    find, named = _in_path(request), _named(request, "delivery")
    return await request.app[CONTEXT].db.read(lambda conn: _find_outbound(conn, find(conn), named))


async def delivery(request: web.Request) -> web.Response:
    """GET /apps/APP/webhook-deliveries/DELIVERY and the same of a pipeline."""
    return answers.answer(request, outbound_shape(await _found_outbound(request)))


async def retry(request: web.Request) -> web.Response:
    """POST /apps/APP/webhook-deliveries/DELIVERY/actions/retry: once more what has ended, at once what waits."""
    found = await _found_outbound(request)
    asked = await request.app[CONTEXT].enactor.deliver_again(outbound_id=found.id, actor=request[CALLER].actor)
    return answers.answer(request, outbound_shape(asked), status=202)


def _routes(home: str, right: rights.Right, prefix: str = "") -> list[Route]:
    webhook, heard, told = f"{{{prefix}webhook}}", f"{{{prefix}event}}", f"{{{prefix}delivery}}"
    return [
        rights.get(f"{home}/webhooks", listing, right),
        rights.post(f"{home}/webhooks", add, right),
        rights.get(f"{home}/webhooks/{webhook}", info, right),
        rights.patch(f"{home}/webhooks/{webhook}", change, right),
        rights.delete(f"{home}/webhooks/{webhook}", remove, right),
        rights.get(f"{home}/webhook-events", events, right),
        rights.get(f"{home}/webhook-events/{heard}", event, right),
        rights.get(f"{home}/webhook-deliveries", deliveries, right),
        rights.get(f"{home}/webhook-deliveries/{told}", delivery, right),
        rights.post(f"{home}/webhook-deliveries/{told}/actions/retry", retry, right),
    ]


ROUTES = [
    *_routes("/apps/{app}", rights.app(Permission.MANAGE)),
    *_routes("/pipelines/{pipeline}", rights.pipeline(Permission.MANAGE), "pipeline_"),
]
