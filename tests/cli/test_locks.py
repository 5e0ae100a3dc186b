"""`towpath lock`, `unlock` and `locks`, and where else a lock is seen from the command line."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.cli.conftest import Cli
from tests.web.serving import Server


async def test_locking_a_pipeline_keeps_promotions_out_until_it_is_unlocked(
    towpath: Cli, server: Server, worker: dict[str, Any]
) -> None:
    await server.pipeline(staging="example-staging", production="example")
    await towpath("deploy", "-a", "example-staging")
    locked = await towpath("lock", "-p", "shop", "--reason", "sale", "--for", "1h30m")
    (lock,) = await server.get("/deploy-locks")
    lasts = datetime.fromisoformat(lock["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=88) < lasts < timedelta(minutes=91)
    assert locked.out == f"Locking pipeline shop... done\npipeline shop is {lock['message']}\n"

    promoted = await towpath("pipelines:promote", "-a", "example-staging", code=1)
    assert f"example is {lock['message']}. Take the lock off (towpath unlock -p shop)" in promoted.err
    assert (await towpath("deploy", "-a", "example", code=1)).err.count("--override-lock") == 1
    seen = f"pipeline shop is {lock['message']}\n"
    for command in (("pipelines:info", "shop"), ("ps", "-a", "example"), ("ps", "-a", "example-staging")):
        assert (await towpath(*command)).out.endswith(seen)
    (told,) = [line for line in (await towpath("apps:info", "example")).out.splitlines() if line.startswith("Locked:")]
    assert told.endswith(f"  {lock['message'].removeprefix('locked ')}")
    assert lock["message"] in (await towpath("why", "example")).out
    listed = (await towpath("locks")).out.splitlines()
    assert listed[0].split() == ["locked", "by", "until", "because"]
    assert listed[1].startswith("pipeline shop  admin@localhost  2")
    assert listed[1].endswith("  sale")
    assert (await towpath("pipelines:info", "shop", "--json")).json["locks"] == [lock]

    past = await towpath("pipelines:promote", "-a", "example-staging", "--override-lock")
    assert past.out.endswith("done, v1\n")
    assert (await towpath("unlock", "-p", "shop")).out == "Unlocking pipeline shop... done\n"
    assert (await towpath("locks")).out == "Nothing is locked.\n"
    assert (await towpath("pipelines:promote", "-a", "example-staging")).out.endswith("done, v2\n")


async def test_locking_an_app_until_a_time_of_the_readers_own_clock(towpath: Cli, server: Server) -> None:
    await server.pipeline(staging="example")
    day = datetime.now(UTC) + timedelta(days=3)
    made = await towpath(
        "lock", "-a", "example", "-m", "sale", "--until", f"{day:%Y-%m-%d}T18:00", "--json", TZ="UTC-2"
    )
    assert made.json["expires_at"] == f"{day:%Y-%m-%d}T16:00:00Z"
    assert (await towpath("locks", "-a", "example", "--json")).json == [made.json]
    assert (await towpath("unlock", "-a", "example", "--json")).json == made.json


async def test_an_app_that_only_its_pipeline_keeps_locked_says_how_that_is_unlocked(
    towpath: Cli, server: Server
) -> None:
    await server.pipeline(staging="example")
    assert (await towpath("unlock", "-a", "example", code=1)).err.endswith("example is not locked.\n")
    await towpath("lock", "-p", "shop", "-m", "sale")
    refused = await towpath("unlock", "-a", "example", code=1)
    assert refused.err.endswith("example is not locked. But pipeline shop is: towpath unlock -p shop\n")


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        pytest.param(("lock", "-a", "example"), 2, "Why? Say --reason TEXT.", id="no reason"),
        pytest.param(("lock", "-a", "example", "-m", " "), 2, "Why? Say --reason TEXT.", id="an empty reason"),
        pytest.param(("lock", "-m", "x"), 2, "Which app?", id="neither app nor pipeline"),
        pytest.param(("lock", "-a", "example", "-p", "shop", "-m", "x"), 2, "not both", id="app and pipeline"),
        pytest.param(("lock", "-a", "example", "-m", "x", "--for", "soon"), 2, "30m, 2h, 1d", id="no length of time"),
        pytest.param(("lock", "-a", "example", "-m", "x", "--until", "friday"), 2, "2026-12-24T18:00", id="no time"),
        pytest.param(
            ("lock", "-a", "example", "-m", "x", "--for", "1h", "--until", "2099-01-01"), 2, "not both", id="two times"
        ),
        pytest.param(
            ("lock", "-a", "example", "-m", "x", "--until", "2020-01-01"), 1, "is over already", id="a past time"
        ),
        pytest.param(("lock", "-a", "exampel", "-m", "x"), 1, "Did you mean example?", id="an unknown app"),
        pytest.param(("lock", "-p", "nowhere", "-m", "x"), 1, "Couldn't find the pipeline nowhere", id="no pipeline"),
        pytest.param(("locks", "-a", "example", "-p", "shop"), 2, "not both", id="locks of app and pipeline"),
    ],
)
async def test_what_makes_no_lock_says_what_to_say(
    towpath: Cli, server: Server, args: tuple[str, ...], code: int, message: str
) -> None:
    await server.app("example")
    assert message in (await towpath(*args, code=code)).err
    assert await server.get("/deploy-locks") == []
