"""What our GitHub App asks GitHub about itself: its own secrets, once, and where it is installed."""

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Annotated, Final, TypeVar

from msgspec import Meta, Struct

from service.domain.errors import Refused
from service.domain.model import Repository
from service.github.app_auth import AppTokens
from service.github.payloads import AccountPayload, Id, Moment, RepositoryPayload
from service.github.transport import Reply, Transport

CODE_GONE: Final = "github_code"
"""The code of a refusal that says: GitHub gave out the App's secrets already, or their hour is over."""
_PAGES: Final = 10
_PER_PAGE: Final = {"per_page": "100"}
_Slug = Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*\Z")]
Shape = TypeVar("Shape")


class NewApp(Struct, frozen=True):
    """A GitHub App as GitHub hands it over when it has just been made, with its secrets."""

    id: Id
    slug: _Slug
    name: str
    html_url: str
    client_id: str
    client_secret: str
    pem: str
    webhook_secret: str | None

    def __repr__(self) -> str:
        """Name it, show nothing secret."""
        return f"NewApp({self.id}, {self.slug})"


class Installation(Struct, frozen=True):
    """A place where our App is installed."""

    id: Id
    account: AccountPayload
    html_url: str = ""
    suspended_at: Moment | None = None


class _Issued(Struct, frozen=True):
    token: str


class _RepositoryPage(Struct, frozen=True):
    repositories: list[RepositoryPayload]


async def convert(transport: Transport, code: str) -> NewApp:
    """Have the secrets of the App that a person has just made; GitHub gives them out once, within the hour.

    Raises `Refused` with `CODE_GONE` when it no longer does, `Transient` when GitHub does not answer: then the code may
    still be good, or be used up.
    """
    if not code.replace("-", "").replace("_", "").isalnum():
        raise Refused("GitHub's code is not one", code=CODE_GONE)
    reply = await transport.send("POST", f"/app-manifests/{code}/conversions")
    if reply.status in {404, 410, 422}:
        raise Refused(f"GitHub does not take the code any more: {reply.message}", code=CODE_GONE)
    if not reply.ok:
        raise Refused(f"GitHub does not hand over the App: {reply.message}", code="github")
    return reply.read(NewApp)


class AppApi:
    """The API that is open to the App's own key."""

    def __init__(self, *, transport: Transport, tokens: AppTokens) -> None:
        self._transport = transport
        self._tokens = tokens

    async def installations(self) -> list[Installation]:
        """Everywhere the App is installed, suspended or not."""
        found: list[Installation] = []
        async for reply in _pages(partial(self._tokens.ask, "GET"), "/app/installations"):
            found += reply.read(list[Installation])
        return found

    async def set_webhook_secret(self, secret: str) -> None:
        """Have the App's webhooks signed with it."""
        body = {"secret": secret, "content_type": "json"}
        _check(await self._tokens.ask("PATCH", "/app/hook/config", body=body))

    async def repositories(self, installation: Installation) -> list[Repository]:
        """The repositories that an installation opens to us, at most a thousand."""
        path, body = f"/app/installations/{installation.id}/access_tokens", {"permissions": {"metadata": "read"}}
        issued = await self._tokens.ask("POST", path, body=body)
        _check(issued)
        found: list[Repository] = []
        send = partial(self._transport.send, "GET", token=issued.read(_Issued).token)
        async for reply in _pages(send, "/installation/repositories"):
            found += [each.seen(installation.id) for each in reply.read(_RepositoryPage).repositories]
        return found


async def _pages(send: Callable[..., Awaitable[Reply]], path: str) -> AsyncIterator[Reply]:
    reply = await send(path, params=_PER_PAGE)
    for _ in range(_PAGES):
        _check(reply)
        yield reply
        if not reply.next_url:
            return
        reply = await send(reply.next_url)


def _check(reply: Reply) -> None:
    if not reply.ok:
        raise Refused(f"GitHub does not tell where the App is installed: {reply.message}", code="github_access")
