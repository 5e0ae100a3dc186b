"""How times, people, addresses and names look to those outside: the same in the API and in what webhooks are told."""

import uuid
from typing import Any
from urllib.parse import urlsplit

from service.domain.happenings import moment, team_email
from service.settings import Settings

__all__ = ["Json", "constant_id", "git_url", "moment", "team_email", "user_of", "web_url"]

Json = dict[str, Any]

_NAMES = uuid.UUID("6f0c2a52-6c0e-4a3d-9d5e-0d0f6a7b1c11")


def constant_id(name: str) -> str:
    """An id for something that has a name only: the same name has the same id for ever."""
    return str(uuid.uuid5(_NAMES, name))


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


def user_of(actor: str, settings: Settings) -> Json:
    """Show who did something (`user:EMAIL`, `github:LOGIN`, `towpath`) as a user: clients need an address."""
    kind, _, rest = actor.partition(":")
    match kind:
        case "user":
            email = rest
        case "github":
            email = f"{rest}@users.noreply.github.com"
        case _:
            email = f"towpath@{urlsplit(settings.url).hostname}"
    return {"id": constant_id(actor), "email": email}
