"""An approval is one commit of one pull request in one pipeline, kept as it was first given."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from service.domain.model import Sha
from service.store import approvals, pipelines
from service.store.approvals import Approval
from service.store.database import Database

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def given(conn: Connection) -> Approval:
    made = pipelines.create(conn, name="shop", owner_id=None, owner_type=None, now=NOW)
    return Approval(
        pipeline_id=made.id,
        repository_id=2**40,
        number=5,
        sha=Sha("a" * 40),
        actor="github:grace",
        how="comment",
        created_at=NOW,
    )


async def test_an_approval_is_kept_as_it_was_first_given_and_for_its_commit_alone(database: Database) -> None:
    first = await database.write(given)
    later = replace(first, actor="user:ada@acme.example", how="api", created_at=NOW + timedelta(hours=1))
    assert await database.write(lambda conn: approvals.add(conn, first))
    assert not await database.write(lambda conn: approvals.add(conn, later))
    second = replace(later, sha=Sha("b" * 40))
    assert await database.write(lambda conn: approvals.add(conn, second))
    of = {"pipeline_id": first.pipeline_id, "repository_id": first.repository_id}
    assert await database.read(lambda conn: approvals.of_pull_request(conn, number=5, **of)) == [first, second]  # type: ignore[arg-type]
    assert await database.read(lambda conn: approvals.shas(conn, number=6, **of)) == frozenset()  # type: ignore[arg-type]


async def test_approvals_go_with_their_pipeline(database: Database) -> None:
    first = await database.write(given)
    await database.write(lambda conn: approvals.add(conn, first))
    await database.write(lambda conn: pipelines.delete(conn, first.pipeline_id))
    of = {"pipeline_id": first.pipeline_id, "repository_id": first.repository_id}
    assert await database.read(lambda conn: approvals.shas(conn, number=5, **of)) == frozenset()  # type: ignore[arg-type]
