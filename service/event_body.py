"""An event as people and receivers see it: Heroku's form, with the addresses that this installation has.

What was written down before it held all of it is shown with what it holds.
"""

from dataclasses import dataclass
from typing import Final, assert_never

from service.domain.model import ReviewState
from service.domain.webhooks import Include
from service.settings import Settings
from service.shown import (
    BUILD_OUTPUT,
    DYNO_SIZE,
    GENERATION,
    RELEASE_OUTPUT,
    Json,
    constant_id,
    git_url,
    moment,
    output_url,
    review_outcome,
    space_of,
    stack_of,
    user_of,
    web_url,
)
from service.store.outbound import Event, Order
from service.store.people import People
from service.store.secrets import Vault

VERSION: Final = "application/vnd.heroku+json; version=3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Teller:
    """What is told of events here: under which addresses, and with keys of whose making."""

    settings: Settings
    vault: Vault

    def payload(self, event: Event, people: People) -> Json:
        """What happened, without what is said of one delivery of it; `people` are those whom it tells of."""
        at = moment(event.created_at)
        return {
            "action": event.action.value,
            "actor": user_of(event.actor, self.settings, people),
            "created_at": at,
            "data": self._data(event, people),
            "id": event.id,
            "previous_data": dict(event.previous),
            "published_at": at,
            "resource": event.include.resource,
            "sequence": event.seq,
            "updated_at": at,
            "version": VERSION,
        }

    def body(self, order: Order, *, attempt_id: str) -> Json:
        """What one attempt sends: the ids of event and delivery stay the same however often it is tried."""
        it = order.outbound
        metadata = {
            "attempt": {"id": attempt_id},
            "delivery": {"id": it.id},
            "event": {"id": it.event_id, "include": it.include.value},
            "webhook": {"id": it.webhook_id},
        }
        return {**self.payload(order.event, order.people), "webhook_metadata": metadata}

    def _data(self, event: Event, people: People) -> Json:
        data = dict(event.data)
        of: Json = {}
        match event.include:
            case Include.APP:
                of = self._of_app(data)
            case Include.REVIEW_APP:
                of = self._of_review(data)
            case Include.FORMATION:
                of = {"dyno_size": DYNO_SIZE, "id": constant_id(f"formation:{data['app']['id']}:{data['type']}")}
            case Include.DYNO:
                of = {"id": _id_of_dyno(data)}
            case Include.BUILD:
                of = {"generation": GENERATION["name"], **self._made(data, BUILD_OUTPUT)}
            case Include.RELEASE:
                of = self._made(data, RELEASE_OUTPUT)
            case Include.PROMOTION:
                pass
            case never:
                assert_never(never)
        by = {"user": user_of(str(data["user"]), self.settings, people)} if "user" in data else {}
        return data | of | by

    def _of_app(self, data: Json) -> Json:
        name, review, stack = str(data["name"]), bool(data["review"]), stack_of(data.get("stack"))
        region = data.get("region")
        return {
            "build_stack": stack,
            "generation": GENERATION,
            "git_url": git_url(self.settings, name),
            "organization": data.get("team"),
            "space": None if region is None else space_of(region),
            "stack": stack,
            "web_url": web_url(self.settings, name, review=review),
        }

    def _of_review(self, data: Json) -> Json:
        app = data["app"]
        return {
            "app_setup": None,
            "fork_repo": None,
            "web_url": None if app is None else web_url(self.settings, app["name"], review=True),
            **review_outcome(ReviewState(data["state"]), data.get("reason")),
        }

    def _made(self, data: Json, purpose: str) -> Json:
        """What a build or a release was made on, and where its output is read, if it has any."""
        path, key = data.get("output_stream_url"), self.vault.sign(str(data["id"]), purpose)
        return {
            "output_stream_url": None if path is None else output_url(self.settings, str(path), key=key),
            "stack": stack_of(data.get("stack"))["name"],
        }


def _id_of_dyno(data: Json) -> str:
    """The one under which the API shows it; an app that has no release yet has none there."""
    release = data.get("release")
    return constant_id(f"dyno:{data['app']['id'] if release is None else release['id']}:{data['name']}")
