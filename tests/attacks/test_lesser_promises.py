"""What is promised below level `full`, where there is no root: the same walls, but for those that are named here."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.attacks.hostile import ATTACKS
from tests.platforms.test_process_as_user import NOBODY, as_nobody, interpreter

STORY = """
import asyncio, json, os, shutil, sys
from pathlib import Path
from tests.attacks import hostile
from tests.attacks.host import listening, own_address
from tests.platforms.conftest import FENCE, Engine
from workers.platforms.base import Limits
from workers.platforms.process import levels
from workers.platforms.process.stopping import stop_all

async def main():
    assert levels.probe().name == "user"
    engine = Engine(data=Path(sys.argv[1]), environment={"HOST_SECRET": hostile.CANARY})
    await engine.start()
    try:
        neighbor = await engine.up(engine.spec(app="neighbor", greeting="still here"))
        slug = engine.slug("hostile")
        shutil.copytree(Path(hostile.__file__).parent, slug / "hostile", ignore=shutil.ignore_patterns("__pycache__"))
        secret = engine.data / "secret.keys"
        secret.write_text("secret")
        async with listening("::") as port:
            targets = {
                "data": str(engine.data), "pids": [engine.process.pid], "port": port, "own_port": port, "address": own_address(),
                "files": [str(secret), str(slug / "app.py"), "/etc/shadow"], "hostname": "", "abstract": "nothing",
                "sockets": [str(engine.data / "run/runner.sock"), *map(str, engine.data.glob("run/i/*/s"))],
            }
            (slug / "targets.json").write_text(json.dumps(targets))
            code, output = await engine.run("python3 -m hostile targets.json", slug_dir=slug, seconds=60)
        print(output)
        tight = Limits(memory_mb=64, pids=40, disk_mb=8)
        for name, command in json.loads(sys.argv[2]).items():
            code, output = await engine.run(command, name=name, limits=tight, seconds=20)
            print("HOG " + json.dumps([name, code, output[-200:]]))
        assert await neighbor.get() == "still here"
        for app in ("neighbor", "app-1"):
            await engine.platform.remove(app, fence=FENCE)
    finally:
        await engine.end()
        await stop_all(engine.data)
    assert engine.processes() == []
    print("the story is over")

asyncio.run(main())
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hog:
    """What is used up and how that ends where there are no groups with limits."""

    does: str
    code: int
    says: str


FORKS = "import os, signal\nwhile True:\n if not os.fork(): signal.pause()"
HOLD = "import sys; print(len(bytearray(200 << 20)), flush=True); sys.stdin.read()"
TOGETHER = f"""import subprocess, sys
held = [subprocess.Popen([sys.executable, "-c", "{HOLD}"], stdin=-1, stdout=-1) for _ in range(3)]
print([int(one.stdout.readline()) for one in held])
for one in held: one.communicate()
"""
HOGS = {
    "bounds how many processes there are": Hog(
        does=f"exec python3 -c '{FORKS}'", code=1, says="Resource temporarily unavailable"
    ),
    "bounds what is in /tmp": Hog(
        does="head -c 7M /dev/zero > /tmp/1 && head -c 7M /dev/zero > /tmp/2", code=1, says="No space left on device"
    ),
    "bounds what is in the shared memory": Hog(
        does="head -c 7M /dev/zero > /dev/shm/1 && head -c 7M /dev/zero > /dev/shm/2", code=1, says="No space left"
    ),
    "bounds the size of a file": Hog(does="head -c 9M /dev/zero > 1", code=1, says="File too large"),
    "bounds what an app writes into its own directory": Hog(
        does="head -c 7M /dev/zero > 1 && head -c 7M /dev/zero > 2", code=1, says="No space left on device"
    ),
    "bounds how many files an app makes in its own directory": Hog(
        does="exec python3 -c 'for number in range(9999): open(str(number), \"w\")'", code=1, says="No space left"
    ),
    "bounds the memory of a process, at four times what the app may use": Hog(
        does="exec python3 -c 'bytearray(300 << 20)'", code=1, says="MemoryError"
    ),
    "does not bound what the processes of an app use together": Hog(
        does=f"exec python3 -c '{TOGETHER}'", code=0, says="[209715200, 209715200, 209715200]"
    ),
    "offers apps first when the machine runs out of memory": Hog(
        does="cat /proc/self/oom_score_adj", code=0, says="500"
    ),
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> str:
    """All that the story told; it is run once."""
    data = Path("/tmp") / f"tp-lesser-{os.getpid()}"
    data.mkdir()
    try:
        if os.getuid() == 0:
            os.chown(data, NOBODY, NOBODY)
        python = interpreter()
        if as_nobody([python, "-c", "import tests.waiting, msgspec"]).returncode:
            pytest.skip("this checkout cannot be read by an ordinary user")
        return as_nobody(
            [python, "-c", STORY, str(data), json.dumps({name: hog.does for name, hog in HOGS.items()})]
        ).stdout
    finally:
        shutil.rmtree(data, ignore_errors=True)


@pytest.mark.parametrize("name", list(ATTACKS), ids=list(ATTACKS))
def test_an_app_at_level_user_that(name: str, told: str) -> None:
    assert "the story is over" in told, told
    lines = [json.loads(line.removeprefix("ATTACK ")) for line in told.splitlines() if line.startswith("ATTACK ")]
    (result,) = [each for each in lines if each["attack"] == name]
    assert "got" not in result, result
    assert result["wall"] in ATTACKS[name].walls


@pytest.mark.parametrize("name", list(HOGS), ids=list(HOGS))
def test_level_user(name: str, told: str) -> None:
    lines = [json.loads(line.removeprefix("HOG ")) for line in told.splitlines() if line.startswith("HOG ")]
    ((_, code, output),) = [each for each in lines if each[0] == name]
    assert (code, HOGS[name].says in output) == (HOGS[name].code, True), output
