"""Ask a repository what is new where no delivery tells: pull requests, followed heads, its merge queue, its name.

What is found is put into the inbox as the event that would have told it, with `polled` for its action; from there on
it goes the same way. A question whose answer has not changed costs nothing of GitHub's hourly limit. Absence is never
news: a pull request that is closed is listed as closed, or the audit looks it up.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import quote

import msgspec
import structlog
from msgspec import Struct
from sqlalchemy import Connection

from service import queue
from service.domain.errors import Transient
from service.domain.facts import Fact, FactKey, FactKind, PullRequest
from service.domain.model import NO_SHA, Repository, RepositoryId
from service.domain.review_rules import OVER
from service.github.events import POLLED, QUEUE_PREFIX
from service.github.payloads import Commit, PullPayload, RepositoryPayload
from service.github.transport import Reply
from service.store import facts, reviews
from service.store.deliveries import Inbox
from workers.context import Context

log = structlog.get_logger()

LISTED: Final = 30
MOST_PAGES: Final = 5
"""More than this many updates at once are the audit's, which lists everything that is open."""


class _Object(Struct, frozen=True):
    sha: Commit


class _Ref(Struct, frozen=True):
    object: _Object
    ref: str = ""


@dataclass(slots=True, kw_only=True)
class Polled:
    """What a repository's poll came to."""

    asked: int = 0
    found: int = 0
    refused: str = ""


@dataclass(slots=True, kw_only=True)
class Poller:
    """Remembers what GitHub answered last; a successor asks everything once."""

    context: Context
    inbox: Inbox
    etags: dict[tuple[RepositoryId, str], str] = field(default_factory=dict)
    heads: dict[tuple[RepositoryId, str], str | None] = field(default_factory=dict)
    queued: dict[RepositoryId, frozenset[str]] = field(default_factory=dict)

    async def poll(self, repository: Repository, branches: Sequence[str], *, itself: bool) -> Polled:
        """Ask about one repository, also what it is called and which branch is its default if `itself`.

        Raises `Transient` when GitHub does not answer, `Refused` without credentials.
        """
        polled = Polled()
        if await self._pulls(repository, polled):
            for branch in branches:
                await self._head(repository, branch, polled)
            await self._queue(repository, polled)
            if itself:
                await self._itself(repository, polled)
        return polled

    async def _pulls(self, repository: Repository, polled: Polled) -> bool:
        """Whether GitHub shows the repository."""
        key = (repository.id, "pulls")
        params = {"state": "all", "sort": "updated", "direction": "desc", "per_page": str(LISTED)}
        ask = self.context.github.request
        reply = await ask("GET", repository, "/pulls", params=params, etag=self.etags.get(key, ""))
        etag = reply.etag
        for _ in range(MOST_PAGES):
            polled.asked += 1
            if reply.status == 304:
                return True
            if not reply.ok:
                polled.refused = f"GitHub does not show the pull requests: {reply.message}"
                return False
            items: list[Any] = reply.read(list[Any])
            news = await self._news(repository, items)
            for item in news:
                await self._tell(repository, "pull_request", {"action": POLLED, "pull_request": item})
            polled.found += len(news)
            if len(news) < len(items) or not reply.next_url:
                break
            reply = await ask("GET", repository, reply.next_url)
        # Last of all: who is stopped before it asks again.
        self.etags[key] = etag
        return True

    async def _news(self, repository: Repository, items: Sequence[Any]) -> list[Any]:
        """The listed pull requests that are other than what is known, the oldest news first."""
        said: dict[int, tuple[PullRequest, Any]] = {}
        for item in items:
            try:
                value = msgspec.convert(item, PullPayload).seen()
            except msgspec.ValidationError as error:
                log.warning("pull request cannot be read", repository=repository.full_name, error=str(error))
                continue  # the others can
            if value.base_repository_id == repository.id:
                said[value.number] = (value, item)

        def read(conn: Connection) -> set[int]:
            keys = [FactKey(FactKind.PULL_REQUEST, repository.id, str(number)) for number in said]
            known = {int(key.key): fact.value for key, fact in facts.load_all(conn, keys).items()}
            living = {each.ref for each in reviews.of_repository(conn, repository.id) if each.state not in OVER}
            return {
                number
                for number, (value, _) in said.items()
                if _is_news(value, known, running=f"pr:{number}" in living)
            }

        if items and not said:
            raise Transient("GitHub's list of pull requests cannot be read")
        new = await self.context.db.read(read)
        return [item for number, (_, item) in reversed(said.items()) if number in new]

    async def _head(self, repository: Repository, branch: str, polled: Polled) -> None:
        key = (repository.id, f"head {branch}")
        path = f"/git/ref/heads/{quote(branch, safe='/')}"
        reply = await self.context.github.get(repository, path, etag=self.etags.get(key, ""))
        polled.asked += 1
        unchanged = reply.status == 304
        if not (reply.ok or unchanged or reply.status in {404, 409}):  # 409: a repository without commits
            polled.refused = f"GitHub does not show branch {branch}: {reply.message}"
            return
        sha = self.heads.get(key) if unchanged else _sha(reply)
        fact = FactKey(FactKind.HEAD, repository.id, branch)
        known = await self.context.db.read(lambda conn: facts.load(conn, fact))
        # Unchanged, it may be other than what is known as well: the look was answered by a copy that lags behind.
        if _is_moved(known, sha, answered=not unchanged):
            # Without a sha it is only said that there is something to look at.
            after = sha or NO_SHA
            await self._tell(repository, "push", {"action": POLLED, "ref": f"refs/heads/{branch}", "after": after})
            polled.found += 1
        if not unchanged:
            self.heads[key], self.etags[key] = sha, reply.etag

    async def _queue(self, repository: Repository, polled: Polled) -> None:
        """What a merge queue tries, each commit once: it waits for our word, which says that it need not."""
        key = (repository.id, "queue")
        path = f"/git/matching-refs/heads/{QUEUE_PREFIX.rstrip('/')}"
        reply = await self.context.github.get(repository, path, etag=self.etags.get(key, ""))
        polled.asked += 1
        if not reply.ok:  # unchanged, or what the next look will find
            return
        tried = {each.object.sha: each.ref for each in reply.read(list[_Ref])}
        for sha in tried.keys() - self.queued.get(repository.id, frozenset()):
            await self._tell(repository, "push", {"action": POLLED, "ref": tried[sha], "after": sha})
        self.queued[repository.id], self.etags[key] = frozenset(tried), reply.etag

    async def _itself(self, repository: Repository, polled: Polled) -> None:
        key = (repository.id, "itself")
        reply = await self.context.github.get(repository, "", etag=self.etags.get(key, ""))
        polled.asked += 1
        if not reply.ok:  # unchanged, or what the next look will find
            return
        said = reply.read(RepositoryPayload).seen(repository.installation_id)
        if replace(said, accessible=repository.accessible) != repository and said.id == repository.id:
            moved = said.default_branch != repository.default_branch
            changes = {"default_branch": {"from": repository.default_branch}} if moved else {}
            await self._tell(said, "repository", {"action": POLLED, "changes": changes})
            polled.found += 1
        self.etags[key] = reply.etag

    async def _tell(self, repository: Repository, event: str, told: Mapping[str, Any]) -> None:
        """Put an event into the inbox and ring for it."""
        said = {
            "id": repository.id,
            "full_name": repository.full_name,
            "default_branch": repository.default_branch,
            "archived": repository.archived,
        }
        body = msgspec.json.encode({**told, "repository": said})
        guid = f"poll-{uuid.uuid4()}"
        await self.inbox.put(
            guid=guid,
            event=event,
            action=POLLED,
            repository_id=repository.id,
            installation_id=repository.installation_id or None,
            body=body,
            received_at=self.context.db.now(),
        )
        await self.context.queue.ring(queue.react([guid]))


def _is_news(value: PullRequest, known: Mapping[int, PullRequest | None], *, running: bool) -> bool:
    """One that was over before anybody here knew of it is nothing to tell."""
    before = known.get(value.number)
    if before is None:
        return value.state == "open" or running
    return value != before and value.updated_at >= before.updated_at


def _is_moved(known: Fact[Any] | None, sha: str | None, *, answered: bool) -> bool:
    """What is told is looked at by whoever needs it; it is told again only if what was looked at is otherwise."""
    if known is None:
        return sha is not None
    before = known.value.sha if known.value is not None else None
    return not known.stale and (before != sha or (answered and sha is not None and bool(known.error)))


def _sha(reply: Reply) -> str | None:
    return reply.read(_Ref).object.sha if reply.ok else None
