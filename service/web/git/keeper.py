"""Keeps the repositories of pushed apps in order, behind the requests."""

import asyncio

import structlog
from aiohttp import web
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from service.domain.errors import Refused, Transient
from service.domain.model import AppId
from service.store import pushes
from service.web.git.repository import INCOMING, Repository
from service.web.git.room import Room
from service.web.keys import WebContext

log = structlog.get_logger()


class Keeper:
    """Knows where they are, and tidies one after a push."""

    def __init__(self, context: WebContext) -> None:
        self._context = context
        self._room = Room()
        self._tidying: dict[AppId, asyncio.Task[None]] = {}

    def repository(self, app_id: AppId, *, who: str = "") -> Repository:
        """The repository of an app, for an account that has git work there."""
        settings = self._context.settings
        most = settings.push_limit_mb << 20
        return Repository(root=settings.pushes_dir, app_id=app_id, most=most, room=self._room, who=who)

    def tidy_soon(self, app_id: AppId) -> None:
        """Tidy it, unless that is being done."""
        if app_id not in self._tidying:
            self._tidying[app_id] = asyncio.create_task(self._tidy(app_id))

    async def _tidy(self, app_id: AppId) -> None:
        try:
            repository = self.repository(app_id)
            await repository.follow(await self._context.db.read(lambda conn: pushes.heads(conn, app_id)))
            await repository.tidy(self._wanted)
        except (Transient, Refused, DBAPIError, OSError) as trouble:  # the next push does it
            log.warning("repository not tidied", app=app_id, reason=str(trouble))
        finally:
            del self._tidying[app_id]

    async def _wanted(self, app_id: AppId) -> set[str]:
        """The commits that are built, or are to be: read at one moment, for one becomes the other."""

        def read(conn: Connection) -> set[str]:
            return {each.sha for each in pushes.under_way(conn, app_id)} | set(pushes.heads(conn, app_id).values())

        return await self._context.db.read(read)

    async def start(self, _app: web.Application) -> None:
        """Clear away what came in when the process was killed."""
        root = self._context.settings.pushes_dir
        for left in await asyncio.to_thread(lambda: list(root.glob(f"*.git/{INCOMING}*"))):
            self.tidy_soon(AppId(left.parent.stem))

    async def finish(self, _app: web.Application) -> None:
        """Leave it at that."""
        running = list(self._tidying.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


KEEPER: web.AppKey[Keeper] = web.AppKey("keeper", Keeper)
