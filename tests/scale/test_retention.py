"""What is kept for a time is really deleted after it, and nothing that is still needed."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, func, select

from service.domain.decisions import Subject, SubjectKind
from service.domain.facts import FactKey, FactKind
from service.domain.model import ReleaseState, RepositoryId, Trust
from service.store import commands, facts, logs, tables
from tests.scale.conftest import Place
from tests.scale.filling import id_of
from tests.store.making import NOW
from workers.jobs import loops, retention

LATER = NOW + timedelta(days=31)


async def count(place: Place, table) -> int:
    return await place.db.read(lambda conn: conn.execute(select(func.count()).select_from(table)).scalar_one())


async def house(place: Place, *, at=LATER) -> None:
    place.db._clock = lambda: at
    await loops.keep_house(place.context)


async def test_deliveries_go_after_eight_days_however_many(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "PART", 7)
    await house(place, at=NOW + timedelta(days=7, hours=23))
    assert await count(place, tables.deliveries) == 100
    await house(place, at=NOW + timedelta(days=8, seconds=-49))
    assert await count(place, tables.deliveries) == 50
    await house(place, at=NOW + timedelta(days=9))
    assert await count(place, tables.deliveries) == 0


async def test_subjects_at_rest_go_after_eight_days(place: Place) -> None:
    waiting = tables.subjects.update().where(tables.subjects.c.key.endswith("5")).values(due_at=NOW)
    left = (await place.db.write(lambda conn: conn.execute(waiting))).rowcount
    assert left > 0
    await house(place, at=NOW + timedelta(days=9))
    assert await count(place, tables.subjects) == left


async def output(place: Place, kind: str, number: int) -> list[str]:
    chunks, _ = await place.db.read(lambda conn: logs.read(conn, id_of(kind, number)))
    return [chunk.text for chunk in chunks]


async def test_output_goes_with_its_release_and_its_build(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "KEEP_RELEASES", 3)
    monkeypatch.setattr(retention, "LOGS", 4)
    unborn = await place.db.write(lambda conn: logs.open_log(conn, NOW))
    await house(place, at=NOW + timedelta(days=29))
    assert await count(place, tables.log_streams) == 201
    served = tables.releases.update().where(tables.releases.c.app_id == id_of("app", 1)).values(slug_id=None)
    await place.db.write(lambda conn: conn.execute(served))

    await house(place)

    kept = select(tables.releases.c.app_id).where(tables.releases.c.state != ReleaseState.EXPIRED)
    of_app_1 = await place.db.read(
        lambda conn: conn.execute(kept.where(tables.releases.c.app_id == id_of("app", 1))).all()
    )
    assert len(of_app_1) == 3
    assert [await output(place, kind, 12) for kind in ("log", "build log")] == [[], []]
    assert [await output(place, kind, 19) for kind in ("log", "build log")] == [["-----> done\n"]] * 2
    assert await place.db.read(lambda conn: logs.read(conn, unborn)) == ([], True)
    left = await count(place, kept.subquery())
    assert (await count(place, tables.log_streams), await count(place, tables.log_chunks)) == (2 * left, 2 * left)


async def test_facts_that_nobody_looks_at_go_and_those_that_are_wanted_stay(place: Place) -> None:
    ci, head = [FactKey(kind, RepositoryId(1), "x") for kind in (FactKind.CI, FactKind.HEAD)]

    def learn(conn: Connection) -> None:
        facts.want(conn, ci, waiter=Subject(SubjectKind.REPOSITORY, "1"), now=NOW)
        facts.learn(
            conn, head, asked=facts.next_asked(conn), value=None, error="", etag="", now=NOW + timedelta(days=9)
        )

    await place.db.write(learn)
    await house(place)
    assert await place.db.read(lambda conn: set(facts.load_all(conn, [ci, head]))) == {ci, head}
    assert await count(place, tables.facts) == 2
    await house(place, at=LATER + timedelta(days=9))
    assert await count(place, tables.facts) == 1


async def test_scripts_that_are_over_go_and_those_that_run_stay(place: Place) -> None:
    def run(conn: Connection) -> None:
        for name in ("over", "running"):
            commands.begin(conn, name=name, app_id=id_of("app", 1), step="release", now=NOW)
        commands.end(conn, name="over", exit_code=0, now=NOW)

    await place.db.write(run)
    await house(place)
    found = await place.db.read(lambda conn: conn.execute(select(tables.commands.c.name)).scalars().all())
    assert found == ["running"]


def _at(at: datetime, number: int, *, user: str) -> dict[Any, dict[str, Any]]:
    """A row of each kind that was over, or good for nothing any more, at that time."""
    owned = {"id": id_of("kept", number), "user_id": user, "sha256": f"{number:064}", "created_at": at}
    times = {"created_at": at, "updated_at": at}
    return {
        tables.idempotent_requests: {"user_id": user, "key": str(number), "fingerprint": "", "created_at": at},
        tables.api_tokens: {**owned, "expires_at": at},
        tables.sign_in_links: {**owned, "expires_at": at},
        tables.sessions: {**owned, "seen_at": at, "expires_at": at + timedelta(days=1)},
        tables.github_setups: {
            "id": owned["id"], "user_id": user, "state": "new", "link_sha256": owned["sha256"], "expires_at": at, **times,
        },
        tables.one_offs: {
            "id": owned["id"], "app_id": id_of("app", 1), "release_id": id_of("release", 19), "version": 1, "name": f"run.{number}",
            "command": "", "attached": False, "tty": False, "state": "ended", "actor": "", "ends_at": at, **times,
        },
    }  # fmt: skip


async def test_what_was_over_a_month_ago_goes_and_what_is_of_today_stays(place: Place) -> None:
    def add(conn: Connection) -> set[Any]:
        user = conn.execute(select(tables.users.c.id).limit(1)).scalar_one()
        conn.execute(tables.api_tokens.delete())  # the server's own
        for number, at in enumerate((NOW, LATER)):
            rows = _at(at, number, user=user)
            for table, row in rows.items():
                conn.execute(table.insert().values(row))
        return set(rows)

    def kept(conn: Connection, kinds: set[Any]) -> dict[str, list[datetime]]:
        return {each.name: list(conn.execute(select(each.c.created_at)).scalars()) for each in kinds}

    kinds = await place.db.write(add)
    await house(place)
    found = await place.db.read(lambda conn: kept(conn, kinds))
    assert found == {each.name: [LATER] for each in kinds}


async def test_mirrors_of_repositories_that_nothing_uses_are_deleted(place: Place) -> None:
    source = place.context.source

    def of(*numbers: int) -> list[Path]:
        return [source.mirror(number, trust) for number in numbers for trust in Trust]

    mirrors = of(1, 2, 99)
    for mirror in mirrors:
        mirror.mkdir(parents=True)
        (mirror / "HEAD").write_text("ref: refs/heads/main\n")

    def disconnect(conn: Connection) -> None:
        """Pipeline 1 of repository 2 lets go of it, but its review apps are not gone yet."""
        conn.execute(tables.pipelines.update().where(tables.pipelines.c.repository_id == 2).values(repository_id=None))
        conn.execute(tables.apps.update().where(tables.apps.c.repository_id == 2).values(repository_id=None))

    await place.db.write(disconnect)
    await house(place, at=NOW)
    assert [mirror for mirror in mirrors if mirror.exists()] == of(1, 2)
    over = tables.review_apps.update().where(tables.review_apps.c.repository_id == 2).values(state="destroyed")
    await place.db.write(lambda conn: conn.execute(over))
    await house(place, at=NOW)
    assert [mirror for mirror in mirrors if mirror.exists()] == of(1)


async def test_the_audit_log_stays(place: Place) -> None:
    before = await count(place, tables.activity)
    assert before > 0
    await house(place, at=NOW + timedelta(days=1000))
    assert await count(place, tables.activity) == before
