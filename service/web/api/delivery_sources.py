"""Whence deliveries are fetched where GitHub cannot send them, and what stands in the way."""

from collections.abc import Mapping

from aiohttp import web
from sqlalchemy import Connection

from service.domain.model import RepositoryId
from service.store import pull_sources, repositories
from service.store.pull_sources import PullSource
from service.web import rights
from service.web.api import answers, shapes
from service.web.keys import CONTEXT


def _shape(it: PullSource, names: Mapping[RepositoryId, str]) -> shapes.Json:
    kind, _, number = it.name.partition(":")
    return {
        "name": it.name,
        "kind": kind,
        "repository": {"id": int(number), "name": names.get(RepositoryId(int(number)))} if number else None,
        "state": it.state.value,
        "reason": it.reason or None,
        "pulled_up_to": shapes.moment(it.watermark),
        "checked_at": shapes.moment(it.checked_at),
        "retry_at": shapes.moment(it.retry_at),
    }


async def source_list(request: web.Request) -> web.Response:
    """GET /delivery-sources: the App's log of deliveries, those of repositories' own webhooks, and polls.

    Empty where deliveries are awaited: what was kept when they were last pulled says nothing by now.
    """
    context = request.app[CONTEXT]

    def read(conn: Connection) -> tuple[list[PullSource], Mapping[RepositoryId, str]]:
        return pull_sources.listing(conn), {each.id: each.full_name for each in repositories.listing(conn)}

    listed, names = await context.db.read(read) if context.settings.why_pull else ([], {})
    return answers.answer_list(request, listed, lambda it: _shape(it, names), name=lambda it: it.name)


ROUTES = [rights.get("/delivery-sources", source_list, rights.ADMIN)]
