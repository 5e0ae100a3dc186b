"""Tells on the developer's terminal how a push is deployed: its build, its release phase, and how it ended."""

from dataclasses import dataclass
from typing import Final

from aiohttp import web
from sqlalchemy import Connection

from service.domain.errors import Transient
from service.domain.model import App, Build, BuildState, QueuedRequest, Release, RequestState
from service.store import builds, logs, releases, requests
from service.waiting import set_within
from service.web.api.shapes import web_url
from service.web.git.terminal import Terminal
from service.web.keys import CLOSING, CONTEXT

DECLINED: Final = "pre-receive hook declined"
"""What Heroku's git says of a push that is not deployed; why not stands above it."""
_POLL_SECONDS: Final = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """How far a deploy has come, and what was said since the last look; `ahead` is what it waits for."""

    request: QueuedRequest
    ahead: str
    build: Build | None
    release: Release | None
    built: list[logs.Chunk]
    released: list[logs.Chunk]


class Story:
    """Of one deploy."""

    def __init__(self, request: web.Request, app: App, terminal: Terminal) -> None:
        self._request = request
        self._context = request.app[CONTEXT]
        self._app = app
        self._terminal = terminal
        self._built_seq = 0
        self._released_seq = 0
        self._told: set[str] = set()
        self._last = ""

    async def tell(self, request_id: str) -> str:
        """Tell it to its end; returns what git is to say of the branch, nothing when the push is accepted."""
        while True:
            try:
                seen = await self._context.db.read(lambda conn: self._glance(conn, request_id))
            except Transient:
                seen = None
            if seen is not None:
                await self._show(seen)
                if seen.request.state not in requests.OPEN:
                    return await self._end(seen)
            await self._terminal.alive()
            if await set_within(self._request.app[CLOSING], _POLL_SECONDS):
                await self._terminal.complain("The server is restarted; the deploy goes on. Push again to follow it.")
                return "the server is restarted"

    def _glance(self, conn: Connection, request_id: str) -> Glance | None:
        request = requests.get(conn, request_id)
        if request is None:
            return None
        build, release = builds.of_request(conn, request_id), releases.of_request(conn, request_id)
        before = (each for each in requests.open_of(conn, request.app_id) if each.seq < request.seq)
        waits = next(before, None) if request.state is RequestState.QUEUED else None
        return Glance(
            request=request,
            ahead=waits.reason if waits else "",
            build=build,
            release=release,
            built=logs.read(conn, build.log_id, self._built_seq)[0] if build else [],
            released=logs.read(conn, release.log_id, self._released_seq)[0] if release else [],
        )

    async def _show(self, seen: Glance) -> None:
        if seen.ahead:
            await self._once(f"Waiting for what was asked for before: {seen.ahead}\n")
        if seen.build is not None:
            await self._once("Building source:\n\n")
        for chunk in seen.built:
            self._built_seq, self._last = chunk.seq, chunk.text
            await self._terminal.say(chunk.text)
        if seen.release is not None:
            await self._once(f"-----> Launching...\n       Releasing v{seen.release.version}\n")
        for chunk in seen.released:
            self._released_seq = chunk.seq
            await self._terminal.say(chunk.text)

    async def _once(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            await self._terminal.say(text)

    async def _end(self, seen: Glance) -> str:
        name, outcome = self._app.name, seen.request.reason
        if seen.request.state is RequestState.SUCCEEDED:
            url = web_url(self._context.settings, name, review=self._app.is_review)
            version = f"Released v{seen.release.version}\n       " if seen.release else ""
            await self._terminal.say(f"       {version}{url} deployed to Towpath\n\nVerifying deploy... done.\n")
            return ""
        if outcome not in self._last:  # some builds end with it
            await self._terminal.complain(outcome)
        if seen.build is None or seen.build.state is not BuildState.SUCCEEDED:
            await self._terminal.say("\nVerifying deploy... failed.\n\n")
            await self._terminal.complain(f"Push rejected to {name}.")
            return DECLINED
        # As on Heroku: what was built is accepted, and the release can be tried again without a push.
        again = f"The commit is accepted, but not released: {name} runs what it ran before. "
        if seen.release is not None:
            again += f"To try the release again: towpath releases:retry -a {name}"
        await self._terminal.say("\nVerifying deploy... failed.\n\n")
        await self._terminal.complain(again.rstrip())
        return ""
