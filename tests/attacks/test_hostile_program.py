"""A hostile repository through the front door: its build, release command, web process and one-off try every attack."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.attacks import hostile
from tests.attacks.host import listening, own_address
from tests.attacks.hostile import ATTACKS, CANARY
from tests.waiting import until
from tests.walk.acting import app_id, current, deployed, output
from tests.walk.samples import quick
from tests.walk.stage import Stage, staged
from workers.platforms.process.driver import ProcessPlatform

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(os.geteuid() != 0, reason="level full needs root"),
]
PROGRAM = {f"hostile/{path.name}": path.read_text() for path in Path(hostile.__file__).parent.glob("*.py")}
FORMS = ("build", "release command", "web process", "one-off dyno", "one-off dyno at a terminal")
OWN_TERMINAL = "has a terminal that controls it"
RUN = "python3 -m hostile targets.json"
PACKAGE = {"name": "hostile", "version": "1.0.0", "private": True, "scripts": {"heroku-postbuild": RUN}}
PROCFILE = f"release: {RUN}\nweb: {RUN} > /tmp/told; cd /tmp && exec python3 -m http.server $PORT\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What every form of the hostile program told of every attack, and where it was."""

    stage: Stage
    neighbor: str
    targets: dict[str, Any]
    by_form: dict[str, dict[str, dict[str, str]]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def told(runtimes: Path, octokit: Path) -> AsyncIterator[Told]:
    """Run it once in each form; at the end of the installation nothing of it may be left."""
    async with listening("::") as port, staged(runtimes, {"HOST_SECRET": CANARY}) as stage:
        neighbor = await stage.pipeline("neighbor", files=quick("the neighbor answers"), automatic=False)
        await deployed(stage, neighbor.staging)
        await stage.api("PATCH", f"/apps/{neighbor.staging}/config-vars", {"KEPT": CANARY})
        await stage.says(neighbor.staging, "the neighbor answers")
        targets = await asyncio.to_thread(_targets, stage, port)
        with socket.socket(socket.AF_UNIX) as abstract:
            abstract.bind("\0" + targets["abstract"])
            abstract.listen()
            by_form = await _attack(stage, targets)
            yield Told(stage=stage, neighbor=neighbor.staging, targets=targets, by_form=by_form)


def _targets(stage: Stage, port: int) -> dict[str, Any]:
    data = stage.data
    pids = [stage.pid(part) for part in ("redis", "runner", "worker", "web", "router")]
    files = [
        data / name for name in ("secret.keys", "api.token", "ready.json", "webhook.secret", "database/towpath.db")
    ]
    files += [
        data.parent / "key.pem",
        Path("/etc/shadow"),
        *data.glob("apps/*/wanted.json"),
        data / "apps",
        data / "log",
    ]
    files += list(data.glob("work/slugs/*/*/server.py"))
    assert len(files) > 10, files
    sockets = [*data.glob("run/services/*.sock"), data / "run/runner.sock", *data.glob("run/i/*/s")]
    assert len(sockets) >= 4, sockets
    return {
        "data": str(data), "pids": pids, "files": [str(path) for path in files if path.exists()],
        "sockets": [str(path) for path in sockets], "abstract": f"towpath-attack-{os.getpid()}", "port": port,
        "own_port": stage.port, "address": own_address(), "hostname": socket.gethostname(),
    }  # fmt: skip


async def _attack(stage: Stage, targets: dict[str, Any]) -> dict[str, dict[str, dict[str, str]]]:
    files = {**PROGRAM, "targets.json": json.dumps(targets), "Procfile": PROCFILE}
    pipeline = await stage.pipeline("hostile", files={**files, "package.json": json.dumps(PACKAGE)}, automatic=False)
    done = await deployed(stage, pipeline.staging)
    release = await current(stage, pipeline.staging)
    built = "".join(
        text
        for (text,) in await stage.rows(
            "SELECT text FROM log_chunks WHERE log_id = (SELECT log_id FROM builds WHERE id = ?) ORDER BY seq",
            done["build"]["id"],
        )
    )
    texts = (
        built, await output(stage, release["id"]), await stage.page(pipeline.staging, "/told"),
        await _beside(stage, pipeline.staging), await _at_a_terminal(stage, pipeline.staging),
    )  # fmt: skip
    return {form: _read(text) for form, text in zip(FORMS, texts, strict=True)}


async def _beside(stage: Stage, app: str) -> str:
    """What it prints into the app's log when nobody is attached to it."""
    made = await stage.api("POST", f"/apps/{app}/dynos", {"command": RUN, "attach": False})

    async def over() -> bool:
        return bool((await stage.api("GET", f"/apps/{app}/dynos/{made['id']}"))["state"] == "complete")

    await until(over, seconds=60, what="the end of the one-off dyno")
    platform = ProcessPlatform(stage.data / "run/runner.sock")
    lines = platform.logs(await app_id(stage, app), follow=False, lines=10_000, process=made["name"])
    return "\n".join([line async for line in lines])


async def _at_a_terminal(stage: Stage, app: str) -> str:
    """What somebody sees who is attached to it."""
    made = await stage.api("POST", f"/apps/{app}/dynos", {"command": RUN, "attach": True})
    said = b""
    async with stage.http.ws_connect(made["attach_url"]) as socket:
        async for message in socket:
            if message.data[:1] == b"x":
                assert message.data == b"x0", said
                return said.decode()
            said += message.data[1:] if message.data[:1] == b"o" else b""
    raise AssertionError(f"it was cut off: {said[-2000:]!r}")


def _read(text: str) -> dict[str, dict[str, str]]:
    lines = [line.partition("ATTACK ")[2] for line in text.splitlines() if "ATTACK {" in line]
    found = {each["attack"]: each for each in map(json.loads, lines)}
    assert found.keys() == ATTACKS.keys(), f"not all was tried: {text[-2000:]}"
    return found


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", list(ATTACKS), ids=list(ATTACKS))
async def test_an_app_that(name: str, form: str, told: Told) -> None:
    result = told.by_form[form][name]
    if (name, form) == (OWN_TERMINAL, FORMS[-1]):
        assert "got" in result, "it is its own, made for it, and goes with whoever is attached"
        return
    assert "got" not in result, f"{name}: {result['got']}"
    assert result["wall"] in ATTACKS[name].walls


OUTSIDE = [name for name, each in ATTACKS.items() if each.outside]


@pytest.mark.parametrize("name", OUTSIDE, ids=OUTSIDE)
async def test_without_a_sandbox_root(name: str, told: Told, tmp_path: Path) -> None:
    """Takes the wall down: the same attack gets what it is after, so a wall in the table is not an attack that never works."""
    place = tmp_path / "targets.json"
    place.write_text(json.dumps(told.targets))
    command = [sys.executable, "-m", hostile.__name__, str(place), name]
    with place.open() as left_open:
        done = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, check=True, timeout=60,
            env={"HOST_SECRET": CANARY, "PATH": os.environ["PATH"]}, pass_fds=[left_open.fileno()],
        )  # fmt: skip
    result = json.loads(done.stdout.partition("ATTACK ")[2])
    assert "got" in result, result


async def test_after_all_attacks_the_neighbor_answers_and_every_part_is_the_one_that_was_there(told: Told) -> None:
    await told.stage.says(told.neighbor, "the neighbor answers")
    assert [told.stage.pid(part) for part in ("redis", "runner", "worker", "web", "router")] == told.targets["pids"]
