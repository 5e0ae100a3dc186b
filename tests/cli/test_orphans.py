"""What runs without being known, from the command line."""

from service.store import orphans
from tests.cli.conftest import Cli
from tests.web.serving import Server


async def test_what_is_not_known_is_listed_and_taken_away_by_one_command(towpath: Cli, server: Server) -> None:
    assert "Nothing runs that is not known." in (await towpath("orphans")).out
    found = {"3f1c": "web.1, worker.1"}
    await server.db.write(lambda conn: orphans.keep(conn, driver="process", found=found, now=server.db.now()))
    listed = await towpath("orphans")
    assert "web.1, worker.1" in listed.out
    assert "towpath orphans:destroy ID" in listed.err
    unsure = await towpath("orphans:destroy", "3f1c", "--confirm", "other", code=1)
    assert "Nothing was done" in unsure.err
    assert [it["state"] for it in await server.get("/orphans")] == ["running"]
    await towpath("orphans:destroy", "3f1c", "--confirm", "3f1c")
    assert [it["state"] for it in await server.get("/orphans")] == ["leaving"]
    assert "Couldn't find the orphan 4a." in (await towpath("orphans:destroy", "4a", "-c", "4a", code=1)).err
