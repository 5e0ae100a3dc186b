"""An event as people and receivers see it: Heroku's form, with the addresses that this installation has."""

from typing import Final

from service.domain.webhooks import Include
from service.settings import Settings
from service.shown import Json, constant_id, git_url, moment, user_of, web_url
from service.store.outbound import Event, Order

VERSION: Final = "application/vnd.heroku+json; version=3"


def payload(event: Event, settings: Settings) -> Json:
    """What happened, without what is said of one delivery of it."""
    at = moment(event.created_at)
    return {
        "action": event.action.value,
        "actor": user_of(event.actor, settings),
        "created_at": at,
        "data": _data(event, settings),
        "id": event.id,
        "previous_data": dict(event.previous),
        "published_at": at,
        "resource": event.include.resource,
        "sequence": event.seq,
        "updated_at": at,
        "version": VERSION,
    }


def body(order: Order, settings: Settings, *, attempt_id: str) -> Json:
    """What one attempt sends: the ids of event and delivery stay the same however often it is tried."""
    it = order.outbound
    metadata = {
        "attempt": {"id": attempt_id},
        "delivery": {"id": it.id},
        "event": {"id": it.event_id, "include": it.include.value},
        "webhook": {"id": it.webhook_id},
    }
    return {**payload(order.event, settings), "webhook_metadata": metadata}


def _data(event: Event, settings: Settings) -> Json:
    data = dict(event.data)
    match event.include:
        case Include.APP:
            name, review = str(data["name"]), bool(data["review"])
            data |= {"git_url": git_url(settings, name), "web_url": web_url(settings, name, review=review)}
        case Include.REVIEW_APP:
            app = data["app"]
            data["web_url"] = None if app is None else web_url(settings, app["name"], review=True)
        case Include.FORMATION | Include.DYNO:
            resource = event.include.resource
            data["id"] = constant_id(f"{resource}:{data['app']['id']}:{data['type']}")
        case Include.BUILD | Include.RELEASE | Include.PROMOTION:
            data["user"] = user_of(str(data["user"]), settings)
    return data
