"""One-off dynos through the API: who asks for what, what is shown of it, and where one attaches."""

from typing import Any

import pytest
from aiohttp import WSServerHandshakeError

from service.domain.one_offs import MOST, OneOffState
from service.store import one_offs
from service.store.tables import one_offs as rows
from tests.web.serving import HEADS, Server

DYNOS = "/apps/example/dynos"
SECRET = "postgres://shop:hunter2hunter2@db.example.com/shop"


@pytest.fixture
async def deployed(server: Server) -> Server:
    await server.pipeline(production="example")
    await server.call("PATCH", "/apps/example/config-vars", {"API_KEY": "s3cr3t-of-ours"}, expect=200)
    await server.call("POST", "/apps/example/builds", {"source_blob": {"version": HEADS["main"]}}, expect=201)
    await server.work()
    return server


async def run(server: Server, body: dict[str, Any]) -> Any:
    return (await server.call("POST", DYNOS, body, expect=201))[0]


async def finish(server: Server, dyno: Any, *, code: int | None, reason: str = "") -> None:
    """What a worker records."""

    def record(conn: Any) -> None:
        found = one_offs.get(conn, dyno["id"])
        assert found is not None
        state = OneOffState.FAILED if code is None else OneOffState.ENDED
        now = server.db.now()
        assert one_offs.finish(conn, found, state=state, exit_code=code, reason=reason, now=now)

    await server.db.write(record)


async def test_what_runs_beside_an_app_is_listed_until_it_ends_and_found_afterwards(deployed: Server) -> None:
    made = await run(deployed, {"command": "rake db:migrate", "env": {"COLUMNS": 80, "TERM": None}, "attach": False})
    prefix, _, number = made["name"].partition(".")
    assert (prefix, len(number)) == ("run", 4)
    assert {
        "type": "run",
        "state": "starting",
        "command": "rake db:migrate",
        "attach_url": None,
    }.items() <= made.items()
    listed = await deployed.get(DYNOS)
    assert [each["name"] for each in listed] == [made["name"], "web.1"]
    assert await deployed.get(f"{DYNOS}/{made['name']}") == made
    await finish(deployed, made, code=0)
    assert [each["name"] for each in await deployed.get(DYNOS)] == ["web.1"]
    ended = await deployed.get(f"{DYNOS}/{made['id']}")
    assert (ended["state"], ended["exit_code"], ended["reason"]) == ("complete", 0, None)
    lost = await run(deployed, {"command": "ls", "type": "worker", "size": "standard-2x", "time_to_live": 60})
    assert lost["name"].startswith("worker.")
    await finish(deployed, lost, code=None, reason="nobody knows how it ended")
    lost = await deployed.get(f"{DYNOS}/{lost['id']}")
    assert (lost["state"], lost["exit_code"], lost["reason"]) == ("crashed", None, "nobody knows how it ended")


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("no command", {}, "command: is required"),
    ("an empty command", {"command": " \n"}, "command"),
    ("a command with NUL", {"command": "a\0b"}, "command"),
    ("a name that no variable has", {"command": "ls", "env": {"A=B": "c"}}, "the name of a config var"),
    ("a life that is too long", {"command": "ls", "time_to_live": 86401}, "time_to_live"),
    ("a life that is too short", {"command": "ls", "time_to_live": 1}, "time_to_live"),
    ("a type that is none", {"command": "ls", "type": "a b"}, "type"),
    ("a misspelt switch", {"command": "ls", "atach": True}, "atach: unknown field"),
    ("attach as a word", {"command": "ls", "attach": "yes"}, "attach"),
    ("a command where there is no code", {"command": "ls"}, "deploy something first"),
]


async def test_what_cannot_be_run_is_refused_by_its_name(server: Server) -> None:
    await server.app("example")
    for what, body, words in BAD:
        answer, _ = await server.call("POST", DYNOS, body, expect=422)
        assert words in answer["message"], what


async def test_the_record_says_who_ran_what_and_no_secret_is_in_it(deployed: Server) -> None:
    made = await run(deployed, {"command": f"psql {SECRET} -c s3cr3t-of-ours", "env": {"TOKEN": "value-of-token"}})
    await deployed.call("POST", f"{DYNOS}/{made['name']}/actions/stop", expect=202)
    entries = [each for each in await deployed.get("/activity") if each["action"].startswith("one-off")]
    assert [(each["action"], each["data"]["dyno"]) for each in entries] == [
        ("one-off dyno run", made["name"]),
        ("one-off dyno stopped", made["name"]),
    ]
    assert all(each["actor"].startswith("user:") for each in entries)
    command = "psql postgres://[redacted]@db.example.com/shop -c [redacted]"
    assert (made["command"], entries[0]["data"]["command"]) == (command, command)
    said = str(await deployed.get(DYNOS)) + str(entries)
    stored = str(await deployed.db.read(lambda conn: conn.execute(rows.select()).all()))
    for secret in ("hunter2", "s3cr3t", "value-of-token"):
        assert secret not in said
        assert secret not in stored

    def word_for_word(conn: Any) -> Any:
        return one_offs.order(conn, deployed.vault, made["id"])

    order = await deployed.db.read(word_for_word)
    assert (order.command, order.env) == (f"psql {SECRET} -c s3cr3t-of-ours", {"TOKEN": "value-of-token"})
    await finish(deployed, made, code=0)
    assert await deployed.db.read(word_for_word) is None


async def test_one_is_stopped_by_either_verb_and_then_no_more(deployed: Server) -> None:
    for method, suffix in (("POST", "/actions/stop"), ("DELETE", "")):
        made = await run(deployed, {"command": "sleep 100"})
        _, answer = await deployed.call(method, f"{DYNOS}/{made['name']}{suffix}", expect=202)
        assert "Towpath-Request" not in answer.headers
        found = await deployed.get(f"{DYNOS}/{made['name']}")
        assert found["reason"] == "stopped by user:admin@localhost"
        await finish(deployed, made, code=143, reason=found["reason"])
        await deployed.call(method, f"{DYNOS}/{made['name']}{suffix}", expect=404)


async def test_no_more_than_some_run_at_once(deployed: Server) -> None:
    made = [await run(deployed, {"command": "sleep 100"}) for _ in range(MOST)]
    assert len({each["name"] for each in made}) == MOST
    answer, _ = await deployed.call("POST", DYNOS, {"command": "ls"}, expect=422)
    assert f"runs {MOST} one-off dynos already" in answer["message"]
    await finish(deployed, made[0], code=0)
    await run(deployed, {"command": "ls"})


async def test_the_same_request_sent_twice_runs_once(deployed: Server) -> None:
    answers = [
        (await deployed.call("POST", DYNOS, {"command": "ls"}, expect=201, Idempotency_Key="once"))[0] for _ in range(2)
    ]
    assert answers[0] == answers[1]
    assert len(await deployed.get(DYNOS)) == 2


async def test_the_heroku_cli_is_told_at_once_that_it_cannot_attach(deployed: Server) -> None:
    agent = {"User_Agent": "heroku-cli/11.10.0 linux"}
    answer, _ = await deployed.call("POST", DYNOS, {"command": "ls", "attach": True}, expect=422, **agent)
    assert "towpath run" in answer["message"]
    await deployed.call("POST", DYNOS, {"command": "ls", "attach": False}, expect=201, **agent)


async def test_only_who_holds_the_key_attaches_and_is_told_when_no_worker_answers(deployed: Server) -> None:
    made = await run(deployed, {"command": "bash", "attach": True})
    assert made["attach_url"].startswith(deployed.url.replace("http://", "ws://") + "/dyno-attachments/")
    where = made["attach_url"].replace("ws://", "http://")
    assert (await deployed.get(f"{DYNOS}/{made['id']}"))["attach_url"] is None
    answer, _ = await deployed.call("GET", where.removeprefix(deployed.url), expect=400)
    assert "WebSocket" in answer["message"]
    with pytest.raises(WSServerHandshakeError, match="404"):
        await deployed.session.ws_connect(f"{where[:-4]}AAAA")
    async with deployed.session.ws_connect(where) as socket:  # nobody answers at this server's Redis
        message = await socket.receive(timeout=15)
        assert message.data.startswith(b"lNo worker answers")


async def test_a_key_is_worth_nothing_once_its_holder_may_not_run_commands(deployed: Server) -> None:
    made = await run(deployed, {"command": "bash", "attach": True})
    await deployed.db.write(lambda conn: conn.exec_driver_sql("UPDATE apps SET owner_id = 'somebody else'"))
    await deployed.db.write(lambda conn: conn.exec_driver_sql("UPDATE users SET admin = false"))
    with pytest.raises(WSServerHandshakeError, match="404"):
        await deployed.session.ws_connect(made["attach_url"].replace("ws://", "http://"))
