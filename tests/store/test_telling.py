"""What is told of a change, alike on both engines: put down with it, taken in order, noted, and forgotten."""

from datetime import timedelta

from sqlalchemy import Connection

from service.domain.model import AppState, Stage
from service.domain.webhooks import Include, Level, OutboundState
from service.store import apps, changes, outbound, pipelines, telling, webhooks
from service.store.database import Database, new_id
from service.store.outbound import Attempt
from service.store.secrets import Vault
from tests.store.making import NOW, make_app, make_pipeline, make_review


def told(conn: Connection) -> list[str]:
    return telling.tell(conn, changes.taken(conn), actor="user:ada@acme.example", now=NOW)


async def test_who_listens_hears_in_order_and_once(database: Database, vault: Vault) -> None:
    def change(conn: Connection) -> tuple[str, str]:
        app, pipeline_id = make_app(conn), make_pipeline(conn)
        pipelines.couple(conn, app_id=app.id, pipeline_id=pipeline_id, stage=Stage.STAGING, now=NOW)
        assert told(conn) == []
        one = {"level": Level.SYNC, "url": "https://example.com/", "secrets": {}, "now": NOW}
        mine = webhooks.add(conn, vault, app_id=app.id, pipeline_id=None, include=[Include.APP], **one)
        both = [Include.APP, Include.REVIEW_APP]
        wide = webhooks.add(conn, vault, app_id=None, pipeline_id=pipeline_id, include=both, **one)
        apps.update(conn, app=app, now=NOW, maintenance=True)
        make_review(conn, pipeline_id)
        assert told(conn) == sorted([mine.id, wide.id])
        return mine.id, wide.id

    mine, wide = await database.write(change)

    def deliver(conn: Connection) -> list[tuple[str, str]]:
        heard = []
        while order := outbound.next_of(conn, wide, now=NOW):
            heard.append((order.event.include, order.event.action))
            outbound.note(conn, order, Attempt(id=new_id(), at=NOW, code=204, error=None, text=""), now=NOW)
        return heard

    assert await database.write(deliver) == [("api:app", "update"), ("api:review-app", "create")]
    assert await database.read(lambda conn: webhooks.due(conn, now=NOW, limit=9)) == [mine]
    later = NOW + timedelta(days=8)
    # What one of them has heard goes; what is still to be told to the other stays.
    assert await database.write(lambda conn: outbound.forget(conn, before=later, most=9)) == 1
    order = await database.read(lambda conn: outbound.next_of(conn, mine, now=NOW))
    assert order is not None
    failed = Attempt(id=new_id(), at=NOW, code=None, error="timeout", text="")
    await database.write(lambda conn: outbound.note(conn, order, failed, now=NOW))
    waiting = await database.read(lambda conn: outbound.get(conn, order.outbound.id))
    assert waiting is not None
    assert (waiting.state, waiting.next_attempt_at) == (OutboundState.RETRYING, NOW + timedelta(seconds=10))
    assert await database.read(lambda conn: outbound.next_of(conn, mine, now=NOW)) is None


async def test_who_listens_to_a_pipeline_hears_of_the_end_of_an_app_in_it(database: Database, vault: Vault) -> None:
    def destroy(conn: Connection) -> tuple[list[str], str]:
        app, pipeline_id = make_app(conn), make_pipeline(conn)
        pipelines.couple(conn, app_id=app.id, pipeline_id=pipeline_id, stage=Stage.STAGING, now=NOW)
        one = {"level": Level.SYNC, "url": "https://example.com/", "secrets": {}, "now": NOW}
        wide = webhooks.add(conn, vault, app_id=None, pipeline_id=pipeline_id, include=[Include.APP], **one)
        leaving = apps.set_state(conn, app=app, state=AppState.DESTROYING, now=NOW)
        changes.taken(conn)
        apps.forget(conn, app=leaving, now=NOW)
        return told(conn), wide.id

    heard, wide = await database.write(destroy)
    assert heard == [wide]
    order = await database.read(lambda conn: outbound.next_of(conn, wide, now=NOW))
    assert order is not None
    assert (order.event.include, order.event.action) == ("api:app", "destroy")
