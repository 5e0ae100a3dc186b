"""What an app's pages show, read on either database."""

from typing import Any

from sqlalchemy import Connection

from service.domain.decisions import Scale
from service.store import app_pages, builds, logs, releases, requests
from service.store.app_pages import Part
from service.store.database import Database
from service.store.tables import log_chunks
from tests.store.making import NOW, make_app, make_request


async def test_an_app_is_told_of_with_its_builds_and_releases_and_the_end_of_a_log(database: Database) -> None:
    def read(conn: Connection) -> dict[str, Any]:
        app = make_app(conn)
        deploy = make_request(conn, app.id, sha="a" * 40)
        log_id = logs.open_log(conn, NOW)
        build = builds.create(
            conn, app_id=app.id, request_id=deploy.id, repository_id=7, sha="a" * 40, log_id=log_id, now=NOW
        )
        releases.create(
            conn, app_id=app.id, request_id=deploy.id, slug_id=None, commit="a" * 40, repository_id=7,
            description="Deploy aaaaaaaa", actor="test", log_id=logs.open_log(conn, NOW), now=NOW,
        )  # fmt: skip
        requests.add(
            conn, app_id=app.id, work=Scale(formation={"web": 2}), actor="test", reason="scale", by_person=True, now=NOW
        )
        for seq in (1, 2, 3):
            conn.execute(log_chunks.insert().values(log_id=log_id, seq=seq, at=NOW, text=f"{seq}" * 10))
        return {
            "place": app_pages.place(conn, app),
            "all": app_pages.happened(conn, app.id, before=None, most=9),
            "first": app_pages.happened(conn, app.id, before=2, most=9),
            "by build": app_pages.request_of(conn, app.id, build.id),
            "by request": app_pages.request_of(conn, app.id, deploy.id),
            "of another": app_pages.request_of(conn, make_app(conn, "other").id, deploy.id),
            "end": app_pages.end_of_log(conn, log_id, 11),
            "nothing": app_pages.end_of_log(conn, "nowhere", 11),
        }

    found = await database.write(read)
    assert [step for _, step in found["place"].queue] == ["", ""]
    assert (found["place"].stage, found["place"].release) == (None, None)
    scale, deploy = found["all"]
    assert (scale.formation, scale.has_build, scale.release) == ({"web": 2}, False, None)
    assert (deploy.has_build, deploy.release.version, deploy.speaks) == (True, 1, False)
    assert found["first"] == [deploy] == [found["by build"]] == [found["by request"]]
    assert found["of another"] is None
    assert found["end"] == Part(text="2" * 10 + "3" * 10, last=3, cut=True, closed=False)
    assert found["nothing"] == Part(text="", last=0, cut=False, closed=True)


async def test_the_end_of_a_log_takes_as_much_to_read_however_long_the_log_is(sqlite_database: Database) -> None:
    def write(conn: Connection, chunks: int) -> tuple[Part, int]:
        log_id, steps = logs.open_log(conn, NOW), [0]
        rows = [{"log_id": log_id, "seq": seq, "at": NOW, "text": f"{seq:099}\n"} for seq in range(1, chunks + 1)]
        conn.execute(log_chunks.insert(), rows)

        def step() -> int:
            steps[0] += 1
            return 0

        driver: Any = conn.connection.driver_connection
        driver.set_progress_handler(step, 10)
        part = app_pages.end_of_log(conn, log_id, 5000)
        driver.set_progress_handler(None, 0)
        return part, steps[0]

    (_, few), (part, many) = [await sqlite_database.write(lambda conn, n=n: write(conn, n)) for n in (200, 5000)]  # type: ignore[misc]
    assert part.text == "".join(f"{seq:099}\n" for seq in range(4951, 5001))
    assert (part.last, part.cut) == (5000, True)
    assert 0 < many <= few + 20
