"""How times, people, addresses and names look to those outside: the same in the API and in what webhooks are told."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from service.domain.happenings import moment, team_email
from service.domain.model import ReviewState
from service.settings import Settings

__all__ = [
    "BUILD_OUTPUT",
    "DYNO_SIZE",
    "GENERATION",
    "RELEASE_OUTPUT",
    "Account",
    "Json",
    "constant_id",
    "git_url",
    "moment",
    "output_url",
    "review_outcome",
    "space_of",
    "stack_of",
    "team_email",
    "user_of",
    "web_url",
]

Json = dict[str, Any]

BUILD_OUTPUT: Final = "build output"
RELEASE_OUTPUT: Final = "release output"
"""What the key in the address of an output is signed for."""

_NAMES = uuid.UUID("6f0c2a52-6c0e-4a3d-9d5e-0d0f6a7b1c11")


def constant_id(name: str) -> str:
    """An id for something that has a name only: the same name has the same id for ever."""
    return str(uuid.uuid5(_NAMES, name))


GENERATION: Final[Json] = {"id": constant_id("generation:cedar"), "name": "cedar"}
DYNO_SIZE: Final[Json] = {"id": constant_id("dyno-size:standard"), "name": "standard"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Whose something is: what `GET /account` shows of them."""

    id: str
    email: str


def git_url(settings: Settings, name: str) -> str:
    """Where an app's code is pushed to."""
    return f"{settings.url}/{name}.git"


def web_url(settings: Settings, name: str, *, review: bool) -> str:
    """Where people reach an app: its own host under the domain for its kind."""
    domain = settings.review_domain if review else settings.apps_domain
    if domain == "localhost":
        return f"http://{name}.localhost:{settings.port}/"
    public = urlsplit(settings.url)
    port = f":{public.port}" if public.port else ""
    return f"{public.scheme}://{name}.{domain}{port}/"


def output_url(settings: Settings, path: str, *, key: str) -> str:
    """Where the output of a build or a release is read: whoever has the address may."""
    return f"{settings.url}{path}/output?key={key}"


def stack_of(name: str | None) -> Json:
    """What something was built on; this machine's, as long as nothing was."""
    return {"id": constant_id(f"stack:{name or 'host'}"), "name": name or "host"}


def space_of(region: Json) -> Json | None:
    """The space of a region; the common one is none to Heroku's clients."""
    return None if region["name"] == "common" else {**region, "shield": False}


def user_of(actor: str, settings: Settings, people: Mapping[str, Account]) -> Json:
    """Show who did something (`user:EMAIL`, `github:LOGIN`, `towpath`) as a user, with the id of their account.

    `people` holds the accounts of actors. Who has none any more, or never had one, keeps one id for ever, and has an
    address because clients need one.
    """
    account = people.get(actor)
    if account is not None:
        return {"id": account.id, "email": account.email}
    kind, _, rest = actor.partition(":")
    match kind:
        case "user":
            email = rest
        case "github":
            email = f"{rest}@users.noreply.github.com"
        case _:
            email = f"towpath@{urlsplit(settings.url).hostname}"
    return {"id": constant_id(actor), "email": email}


# Heroku's words. "pending" makes its CLI wait, so what stays without an app until somebody acts is "deleted" to it.
_REVIEW_STATUS: Final = {
    ReviewState.WAITING: "pending",
    ReviewState.CREATING: "creating",
    ReviewState.LIVE: "created",
    ReviewState.FAILED: "errored",
    ReviewState.SUSPENDED: "created",
    ReviewState.DESTROYING: "deleting",
    ReviewState.DESTROYED: "deleted",
    ReviewState.SKIPPED: "deleted",
}


def review_outcome(state: ReviewState, reason: str | None) -> Json:
    """How a review app stands, in Heroku's words."""
    failed = state is ReviewState.FAILED
    return {"error_status": reason if failed else None, "message": reason or None, "status": _REVIEW_STATUS[state]}
