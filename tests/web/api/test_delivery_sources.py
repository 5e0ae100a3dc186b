"""What stands between GitHub and us where deliveries are fetched, on the wire."""

from datetime import UTC, datetime

from service.domain.model import RepositoryId
from service.store import pull_sources, repositories
from service.store.pull_sources import APP, PullSource, PullState, hook_of
from tests.web.serving import SHOP, Server

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


async def test_sources_are_listed_with_what_stands_in_their_way(server: Server) -> None:
    off = PullSource(name=hook_of(SHOP.id), state=PullState.OFF, reason="the webhook is switched off")
    gone = PullSource(
        name=hook_of(RepositoryId(999)), state=PullState.WAITING, reason="GitHub answered 500", retry_at=NOW
    )
    await server.db.write(lambda conn: repositories.remember(conn, SHOP, NOW))
    for source in (PullSource(name=APP, watermark=NOW, checked_at=NOW), off, gone):
        await server.db.write(lambda conn, source=source: pull_sources.keep(conn, source))
    app, shop, unknown = await server.get("/delivery-sources")
    assert app == {
        "name": "app",
        "kind": "app",
        "repository": None,
        "state": "ok",
        "reason": None,
        "pulled_up_to": "2026-05-01T12:00:00Z",
        "checked_at": "2026-05-01T12:00:00Z",
        "retry_at": None,
    }
    assert (shop["repository"], shop["reason"]) == ({"id": 42, "name": "acme/shop"}, "the webhook is switched off")
    assert (unknown["repository"], unknown["retry_at"]) == ({"id": 999, "name": None}, "2026-05-01T12:00:00Z")
