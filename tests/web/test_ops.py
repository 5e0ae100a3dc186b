"""What load balancers and monitoring are told: what does not work is named, and figures are there for alarms."""

from datetime import timedelta

import pytest

from service.store import leases, quotas
from service.store.leases import LeaseTerms
from service.store.quotas import Left
from service.store.tables import deliveries
from tests.store.fixtures import sqlite_database, sqlite_template
from tests.web.api.conftest import server
from tests.web.serving import Server

__all__ = ["server", "sqlite_database", "sqlite_template"]

REDIS = "Redis does not answer: nothing new is begun until it does"
WORKER = "no worker is working: nothing is built, deployed or told to GitHub"


async def asked(server: Server, path: str, *, token: bool = False) -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {server.token}"} if token else {}
    async with server.session.get(f"{server.url}{path}", headers=headers) as answer:
        return answer.status, await answer.text()


async def test_what_does_not_work_is_named_and_is_no_reason_to_send_nothing_here(server: Server) -> None:
    assert await asked(server, "/readyz") == (200, f"degraded: {REDIS}; {WORKER}\n")
    terms = LeaseTerms(holder="a worker", seconds=20)
    await server.db.write(lambda conn: leases.take(conn, "loop:clock", terms=terms))
    assert await asked(server, "/readyz") == (200, f"degraded: {REDIS}\n")
    await server.db.write(lambda conn: leases.give_back(conn, "loop:clock", holder="a worker"))
    assert WORKER in (await asked(server, "/readyz"))[1]


async def test_all_is_well_with_redis_and_a_worker(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async def alive(_: object) -> bool:
        return True

    monkeypatch.setattr("service.queue.Queue.alive", alive)
    terms = LeaseTerms(holder="a worker", seconds=20)
    await server.db.write(lambda conn: leases.take(conn, "loop:clock", terms=terms))
    assert await asked(server, "/readyz") == (200, "ready\n")


async def test_monitoring_reads_what_waits_and_what_is_left_of_githubs_limit(server: Server) -> None:
    resets = server.db.now() + timedelta(minutes=20)
    left = [Left(installation_id=3, granted=5000, remaining=4321, resets_at=resets)]
    row = {"guid": "g", "event": "push", "body": b"", "state": "received"}
    await server.app("example")
    await server.call("PATCH", "/apps/example/config-vars", {"A": "1"}, expect=200)
    await server.db.write(lambda conn: quotas.keep(conn, left))
    await server.db.write(lambda conn: conn.execute(deliveries.insert().values(**row, received_at=server.db.now())))
    status, text = await asked(server, "/metrics", token=True)
    assert status == 200
    figures = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert figures == {
        'towpath_github_requests_left{installation="3"}': "4321",
        'towpath_github_requests_granted{installation="3"}': "5000",
        'towpath_github_limit_resets_timestamp_seconds{installation="3"}': str(int(resets.timestamp())),
        "towpath_deliveries_open": "1",
        "towpath_reports_pending": "0",
        'towpath_requests_open{state="queued"}': "1",
        'towpath_requests_open{state="running"}': "0",
        "towpath_redis_up": "0",
        "towpath_worker_up": "0",
    }
    described = [line.split(" ")[2] for line in text.splitlines() if line.startswith("# HELP")]
    assert sorted(described) == sorted({name.partition("{")[0] for name in figures})


async def test_figures_are_for_those_with_a_token_only(server: Server) -> None:
    assert (await asked(server, "/metrics"))[0] == 401
