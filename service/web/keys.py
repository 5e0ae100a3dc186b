"""What every handler may use, and the key it is found under.

`WebContext` is built once by whoever starts the web process; handlers reach it by `request.app[CONTEXT]`. Nothing else
is shared between requests.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from aiohttp import web

from service.attachments import Attachments
from service.domain.access import Person, Standing
from service.domain.facts import Difference, PullRequest
from service.domain.model import Repository, Sha, UserId
from service.settings import Settings
from service.store.database import Database
from service.store.secrets import Vault
from service.store.sessions import Session
from service.store.tokens import Token
from service.store.users import User

if TYPE_CHECKING:
    from service.enactor import Enactor
    from service.identity import Identity
    from service.queue import Queue
    from service.store.deliveries import Inbox


class RepositoryLookup(Protocol):
    """What the API asks GitHub for. All raise `Refused` in the user's words, or `Transient` when GitHub is away."""

    async def repository(self, full_name: str) -> Repository:
        """The repository of that name; `Refused` when it is not there or not ours to read."""

    async def resolve(self, repository: Repository, ref: str) -> Sha:
        """The commit a branch or a (short) sha names now."""

    async def branch(self, repository: Repository, name: str) -> Sha:
        """The commit a branch is at now; `Refused` as not found when there is no such branch."""

    async def pull_request(self, repository: Repository, number: int) -> PullRequest:
        """The pull request of this number as it is now; `Refused` when GitHub does not show it."""

    async def difference(self, repository: Repository, base: Sha, head: Sha) -> Difference:
        """By which commits one is ahead of another; `Refused` as not found when GitHub does not compare them."""

    async def standing(self, repository: Repository, login: str) -> Standing:
        """What a person may do there now, and who they are."""


AppLogs = Callable[[str, int, bool, str], AsyncGenerator[str, None]]
"""Lines an app has written: (app id, how many of the last lines, whether to go on with new ones, of which process)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebContext:
    """What the web process works with."""

    settings: Settings
    db: Database
    vault: Vault
    identity: "Identity"
    enactor: "Enactor"
    lookup: RepositoryLookup
    inbox: "Inbox"
    queue: "Queue"
    app_logs: AppLogs
    attachments: Attachments


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who sent a request, by their token."""

    user: User
    person: Person
    token: Token

    @property
    def user_id(self) -> UserId:
        """Whose token it is."""
        return self.user.id

    @property
    def actor(self) -> str:
        """The caller as the activity log names them."""
        return f"user:{self.user.email}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Who looks at the dashboard, by the session of their browser; `csrf` is what each form of theirs brings along."""

    user: User
    person: Person
    session: Session
    csrf: str

    @property
    def actor(self) -> str:
        """The visitor as the activity log names them."""
        return f"user:{self.user.email}"


SEND_SOURCE = "send a source"
READ_SOURCE = "read a source"
"""What the keys in the two addresses of a source are signed for."""

CONTEXT: web.AppKey[WebContext] = web.AppKey("context", WebContext)
CLOSING: web.AppKey[asyncio.Event] = web.AppKey("closing", asyncio.Event)
"""Set when the server stops, so that streams that would follow for ever end."""

CALLER: web.RequestKey[Caller] = web.RequestKey("caller", Caller)
VISITOR: web.RequestKey[Visitor] = web.RequestKey("visitor", Visitor)
