"""The life of a push: what it asks for is judged, its objects are taken in and checked, its commit is deployed.

The deploy belongs to the app's queue and goes on whoever listens; the branch moves when the commit is built (in the
transaction that says so). So a push that is cut off anywhere leaves nothing but a deploy, and is repeated by pushing
again: the same commit is followed where it is.
"""

import asyncio
from contextlib import suppress
from typing import Final

import structlog
from aiohttp import web

from service.domain.errors import Refused, Transient
from service.domain.model import NO_SHA, App, QueuedRequest
from service.domain.pushing import RefChange, judge
from service.enacting.pushes import Pushed, Stale, There, check_push
from service.store import pushes
from service.web.git import pkt, room
from service.web.git.repository import BadPack, Repository
from service.web.git.story import DECLINED, Story
from service.web.git.terminal import CONTENT_TYPE, HEADERS, Terminal
from service.web.keys import CALLER, CONTEXT

log = structlog.get_logger()

_ASKING_SECONDS: Final = 60.0
_STALE: Final = "fetch first"
_SHALLOW: Final = "shallow update not allowed"
_MISSING: Final = ("missing", "did not receive expected object", "unresolved delta")


class Push:
    """One push, whose objects are still to be read."""

    def __init__(self, request: web.Request, app: App, asked: pkt.PushRequest, repository: Repository) -> None:
        self._request = request
        self._context = request.app[CONTEXT]
        self._app = app
        self._asked = asked
        self._repository = repository
        self._terminal = Terminal(request, asked.capabilities)
        self._unpacked = "ok"
        self._until = asyncio.get_running_loop().time() + room.HELD_SECONDS
        self._verdicts = {each.ref: "" for each in asked.changes}
        self._words: list[str] = []
        self._pushed: Pushed | None = None
        self._note = "Tags are kept; what is pushed to main or master is deployed."

    async def run(self) -> web.StreamResponse:
        """Take it, and answer what became of each of its refs."""
        await self._judge()
        queued = None
        wanted = [each for each in self._asked.changes if not self._verdicts[each.ref]]
        if wanted:
            queued = await self._taken(wanted)
        await self._drop()
        for words in dict.fromkeys(self._words):
            await self._terminal.complain(words)
        if queued is not None and self._pushed is not None:
            story = Story(self._request, self._app, self._terminal)
            self._verdicts[f"refs/heads/{self._pushed.branch}"] = await story.tell(queued.id)
        elif wanted and not self._words:
            await self._terminal.say(f"{self._note}\n")
        return await self._terminal.end(self._unpacked, self._verdicts)

    async def _judge(self) -> None:
        """Say of each ref that is not taken why; the branch that is comes to the app's queue."""
        for ref, not_taken in judge(self._asked.changes, self._app.name).items():
            self._refuse([ref], not_taken.reason, not_taken.words)
        heads = await self._context.db.read(lambda conn: pushes.heads(conn, self._app.id))
        refs = await self._repository.follow(heads)
        branch = next((each for each in self._asked.changes if each.branch and not self._verdicts[each.ref]), None)
        if branch is None:
            return
        self._pushed = pushed = Pushed(branch=branch.branch, sha=branch.after, before=heads.get(branch.branch))
        try:
            now = self._context.db.now()
            same = await self._context.db.read(lambda conn: check_push(conn, self._app, pushed, now))
            if same is None and branch.before != refs.get(branch.ref, NO_SHA):
                raise Stale(f"{branch.branch} has moved since: fetch it first.")
        except There as there:
            self._pushed, self._note = None, there.message
        except Refused as refused:
            self._decline(refused, [branch])

    async def _taken(self, wanted: list[RefChange]) -> QueuedRequest | None:
        """Take the objects in and ask for the deploy; None when there is none, and then the verdicts say why."""
        try:
            async with self._repository.incoming() as incoming:
                if self._asked.has_pack:
                    chunks, then = self._request.content.iter_any(), self._terminal.meanwhile
                    await incoming.take(chunks, then, until=self._until)
                await self._terminal.meanwhile(incoming.check(wanted))
                await incoming.keep(wanted)
                pushed = self._pushed
                if pushed is None or self._verdicts[f"refs/heads/{pushed.branch}"]:
                    return None
                actor = self._request[CALLER].actor
                return await self._context.enactor.push(app_id=self._app.id, pushed=pushed, actor=actor)
        except There as there:
            self._note = there.message
        except BadPack as bad:
            log.info("push not taken", app=self._app.id, reason=bad.message)
            self._not_unpacked(bad, wanted)
        except Refused as refused:
            self._decline(refused, [each for each in wanted if each.branch])
        except Transient as trouble:  # said here, for the answer has begun
            log.warning("push not taken", app=self._app.id, reason=trouble.message)
            self._refuse([each.ref for each in wanted], "try again", f"{trouble.message}. Push again in a while.")
        return None

    def _not_unpacked(self, bad: BadPack, wanted: list[RefChange]) -> None:
        if self._asked.shallow and any(each in bad.message for each in _MISSING):
            words = "Your clone does not have the whole history. Get it (git fetch --unshallow), then push again."
            self._refuse([each.ref for each in wanted], _SHALLOW, words)
            return
        self._unpacked = bad.message
        self._refuse([each.ref for each in wanted], "unpacker error", f"What was pushed is not taken: {bad.message}.")

    def _decline(self, refused: Refused, changes: list[RefChange]) -> None:
        reason = _STALE if isinstance(refused, Stale) else DECLINED
        self._refuse([each.ref for each in changes], reason, refused.message)

    def _refuse(self, refs: list[str], reason: str, words: str) -> None:
        self._verdicts |= dict.fromkeys(refs, reason)
        self._words += [words] if words else []

    async def _drop(self) -> None:
        """Read what is not wanted: git listens only when it has said everything. Not for ever, though."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._until):
                async for _ in self._request.content.iter_any():
                    pass


async def answer(request: web.Request, app: App, repository: Repository) -> web.StreamResponse:
    """Answer a push; one that asks for nothing only finds out whether it would be heard."""
    try:
        async with asyncio.timeout(_ASKING_SECONDS):
            asked = await pkt.read_push(request.content)
    except TimeoutError:
        told = f"What is to be pushed took longer than {_ASKING_SECONDS:.0f} s to be said; try again."
        raise Refused(told, code="bad_request") from None
    if not asked.changes:
        return web.Response(headers=HEADERS, content_type=CONTENT_TYPE)
    return await Push(request, app, asked, repository).run()
