"""Apps that use up what they can: each is bounded, its neighbor answers meanwhile, and nothing of it is left.

The limits are those of whichever version of cgroups the machine has; what is written for the other one is looked at on
a file tree, in `tests/platforms/test_process_parts.py`.
"""

import asyncio
import contextlib
import os
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest
import pytest_asyncio

from service.domain.model import Trust
from tests.attacks.conftest import Crowd
from tests.platforms.conftest import FENCE, Collected
from tests.platforms.test_process_apps import outlet
from tests.waiting import until
from workers.platforms.base import Bind, Limits, Network, OneOffSpec, ProcessSpec, SandboxRun, Unhealthy
from workers.platforms.process import files

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(os.geteuid() != 0, reason="limits need root"),
]
TIGHT = Limits(memory_mb=64, pids=40, disk_mb=32)
TIMED_OUT, KILLED = 124, 137
KEEP = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Hog:
    """What it does in a shell, how that ends, and what its output says; `python` is given as a program."""

    does: str
    code: int
    says: str = ""
    seconds: float = 20.0


def python(text: str) -> str:
    return f"exec python3 - <<'END'\n{text}\nEND"


Role = Callable[[Crowd, str, Hog], Awaitable[tuple[int, str]]]
Key = TypeVar("Key", str, tuple[str, str])

MANY = "i=0; while head -c 8M /dev/zero > {0}/$i; do i=$((i+1)); done"
HOGS = {
    "forks without end": Hog(does=python("import os\nwhile True:\n try: os.fork()\n except OSError: pass"), code=TIMED_OUT, seconds=1),
    "starts threads without end": Hog(
        does=python(
            "import threading, time\nstarted = 0\ntry:\n while True: threading.Thread(target=time.sleep, args=(99,), daemon=True).start(); started += 1\n"
            "except RuntimeError: print('refused', flush=True)\nimport os; os._exit(started > 40)"
        ),
        code=0,
        says="refused",
    ),
    "takes memory without end": Hog(does=python("x = []\nwhile True: x.append(bytearray(1 << 20))"), code=KILLED, says="exceeded its memory limit"),
    "takes memory in many processes": Hog(
        does="for i in $(seq 12); do { head -c 8M /dev/zero; sleep 5; } | tail > /dev/null & done; wait", code=0, says="exceeded its memory limit"
    ),
    "fills its own directory": Hog(does=MANY.format("/app"), code=KILLED, says="exceeded its memory limit"),
    "fills its own directory by one file": Hog(does="head -c 500M /dev/zero > /app/hog", code=1, says="File too large"),
    "fills /tmp": Hog(does=MANY.format("/tmp"), code=0, says="No space left on device"),
    "fills the shared memory": Hog(does=MANY.format("/dev/shm"), code=0, says="No space left on device"),
    "fills the directory of devices": Hog(does=MANY.format("/dev"), code=0, says="Read-only file system"),
    "fills the root": Hog(does="mkdir /hog", code=1, says="Read-only file system"),
    "makes files without end": Hog(
        does=python("import os\nos.chdir('/tmp')\nwhile True: os.close(os.open(os.urandom(8).hex(), os.O_CREAT | os.O_WRONLY))"),
        code=KILLED, says="exceeded its memory limit",
    ),
    "opens files without end": Hog(
        does=python("import os\ntry:\n while True: os.open('/dev/null', os.O_RDONLY)\nexcept OSError as error: print(error.strerror)"),
        code=0, says="Too many open files",
    ),
    "leaves a daemon behind": Hog(does="(setsid sleep 600 > /dev/null 2>&1 &); (setsid sh -c 'exec -a kworker sleep 600' &); exit 3", code=3),
    "ignores every signal it can": Hog(does="trap '' TERM INT HUP QUIT; (trap '' TERM; sleep 600) & while :; do sleep 600; done", code=TIMED_OUT, seconds=0.5),
    "stops itself": Hog(does="kill -STOP $$; sleep 600", code=TIMED_OUT, seconds=0.5),
    "stops everything of its sandbox": Hog(does="kill -STOP -1; sleep 600", code=TIMED_OUT, seconds=0.5),
    "kills everything that it can": Hog(does="kill -9 1; kill -9 -1; exit 5", code=5),
    "takes every port": Hog(
        does=python(
            "import socket\nheld = []\nfor port in (22, 53, 80, 443, 3128, 5000, 5080, 6379, *range(20000, 20500)):\n try: held.append(socket.create_server(('0.0.0.0', port)))\n"
            " except OSError: pass\nassert len(held) > 400\n"
        ),
        code=0,
    ),
}  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ended(crowd: Crowd) -> dict[str, tuple[int, str]]:
    """How each ended."""
    return await _all_ended(crowd, dict.fromkeys(HOGS, _as_command))


async def _as_command(crowd: Crowd, name: str, hog: Hog) -> tuple[int, str]:
    app = f"hog-{list(HOGS).index(name)}"  # a new command of an app would end the one before
    return await crowd.engine.run(hog.does, name=name, app=app, limits=TIGHT, seconds=hog.seconds)


async def _all_ended(crowd: Crowd, what: dict[Key, Role]) -> dict[Key, tuple[int, str]]:
    """How each ended: several at once, for their neighbor has no right to an idle machine."""
    few = asyncio.Semaphore(4)

    async def run(key: Key, role: Role) -> tuple[int, str]:
        name = key if isinstance(key, str) else key[1]
        async with few:
            return await role(crowd, name, HOGS[name])

    running = asyncio.gather(*(run(key, role) for key, role in what.items()))
    while not running.done():
        assert await asyncio.wait_for(crowd.neighbor.get(), 5) == "still here"
        await asyncio.wait({running}, timeout=0.1)
    ends = await running
    assert crowd.left() == []
    return dict(zip(what, ends, strict=True))


@pytest.mark.parametrize("name", list(HOGS), ids=list(HOGS))
async def test_an_app_that(name: str, ended: dict[str, tuple[int, str]]) -> None:
    code, output = ended[name]
    assert (code, HOGS[name].says in output) == (HOGS[name].code, True), output[-2000:]


# In other roles than that of a command --------------------------------------------------------------


async def _as_build(crowd: Crowd, name: str, hog: Hog) -> tuple[int, str]:
    run = SandboxRun(
        trust=Trust.OWN, argv=("/bin/bash", "-c", hog.does), env={}, binds=(), cwd="/tmp", network=Network.NONE, limits=TIGHT,
        seconds=hog.seconds,
    )  # fmt: skip
    log = Collected()
    code = await crowd.engine.platform.sandboxed(name, run, log=log)
    await crowd.engine.platform.forget(name)
    return code, log.text


async def _as_one_off(crowd: Crowd, name: str, hog: Hog) -> tuple[int, str]:
    """Beside the neighbor itself, which is no worse off for it."""
    platform, number, begun = crowd.engine.platform, list(HOGS).index(name), asyncio.Event()
    wanted = OneOffSpec(id=str(number), name=f"run.{number}", command=hog.does)

    async def note() -> None:
        begun.set()

    spec = crowd.engine.spec(app="neighbor", limits=TIGHT)
    code = await platform.one_off(spec, wanted, seconds=hog.seconds, begin=True, begun=note)
    assert begun.is_set()
    said = [line async for line in platform.logs("neighbor", follow=False, lines=1000, process=wanted.name)]
    await platform.forget_one_off("neighbor", wanted.id)
    return code, "\n".join(said)


async def _as_web(crowd: Crowd, name: str, hog: Hog) -> tuple[int, str]:
    """Beside its server, until the app is removed; returns how many processes were in one group at the most."""
    app = f"web-{list(HOGS).index(name)}"
    web = ProcessSpec(type="web", command=f"({hog.does}\n) & exec python3 app.py", quantity=1)
    spec = crowd.engine.spec(app=app, processes=(web,), limits=TIGHT, boot_seconds=3.0, stop_seconds=0.2)
    coming, most = asyncio.ensure_future(crowd.engine.up(spec)), 0
    while not coming.done():
        await asyncio.wait({coming}, timeout=0.02)
        most = max(most, *map(_processes_in, crowd.engine.groups()))
    with contextlib.suppress(Unhealthy):  # it may take its own server down, and no other
        await coming
    await crowd.engine.platform.remove(app, fence=FENCE)
    return most, ""


def _processes_in(group: str) -> int:
    with contextlib.suppress(OSError):
        return int(Path(group, "pids.current").read_text())
    return 0


ROLES: dict[str, Role] = {
    "a build": _as_build,
    "a one-off dyno": _as_one_off,
}
WEB = "a web process"
IN_ROLES = (
    "forks without end", "takes memory without end", "leaves a daemon behind", "ignores every signal it can",
    "stops everything of its sandbox", "takes every port",
)  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def in_roles(crowd: Crowd) -> dict[tuple[str, str], tuple[int, str]]:
    """How each ended in each role, a few at once."""
    roles = {**ROLES, WEB: _as_web}
    return await _all_ended(crowd, {(role, name): roles[role] for role in roles for name in IN_ROLES})


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", IN_ROLES)
async def test_it_ends_no_other_way_as(role: str, name: str, in_roles: dict[tuple[str, str], tuple[int, str]]) -> None:
    code, output = in_roles[role, name]
    assert (code, HOGS[name].says in output) == (HOGS[name].code, True), output[-2000:]


@pytest.mark.parametrize("name", IN_ROLES)
async def test_a_web_process_is_bounded_that(name: str, in_roles: dict[tuple[str, str], tuple[int, str]]) -> None:
    most, _ = in_roles[WEB, name]
    assert most in range(20 if name == "forks without end" else 1, TIGHT.pids + 1)


FILLING = {
    "large files": MANY.format("/kept") + "; sleep 600",
    "files outside of what it gives back": MANY.format("/tmp") + "; sleep 600",
    "empty files": python("import os\nos.chdir('/kept')\nwhile True: os.close(os.open(os.urandom(8).hex(), os.O_CREAT | os.O_WRONLY))"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(FILLING), ids=list(FILLING))
async def test_a_build_that_fills_the_disk_of_the_machine_with(name: str, crowd: Crowd) -> None:
    kept = crowd.engine.data / "work/builds/kept"
    kept.mkdir(parents=True)
    bind = Bind(host=kept, inside="/kept", writable=True)
    run = SandboxRun(
        trust=Trust.OWN, argv=("/bin/bash", "-c", FILLING[name]), env={}, binds=(bind,), cwd="/", network=Network.NONE,
        limits=Limits(memory_mb=256, disk_mb=40), seconds=30,
    )  # fmt: skip
    log = Collected()
    assert await crowd.engine.platform.sandboxed(name, run, log=log) == KILLED
    assert "took more than its 40 MB of disk" in log.text
    assert crowd.left() == []
    await crowd.engine.platform.forget(name)
    await _delete(str(kept))


NEST = "import os\nfor place in ('/kept', '/tmp'):\n os.chdir(place)\n for _ in range(3000): os.mkdir('d'); os.chdir('d')\n os.chmod('.', 0)"


async def test_a_build_that_nests_directories_too_deep_for_python_is_cleared_away(crowd: Crowd) -> None:
    kept = crowd.engine.data / "work/builds/kept"
    kept.mkdir(parents=True)
    bind = Bind(host=kept, inside="/kept", writable=True)
    assert await crowd.engine.build(python(NEST), bind, name="nest") == (0, "")
    assert crowd.left() == []
    before = len(list((crowd.engine.data / "run/x").iterdir()))
    await crowd.engine.platform.forget("nest")
    assert len(list((crowd.engine.data / "run/x").iterdir())) == before - 1
    await _delete(str(kept))


async def _delete(path: str) -> None:
    process = await asyncio.create_subprocess_exec("rm", "-rf", "--", path)
    assert await process.wait() == 0


FLOODS = {
    "one line": "head -c 200M /dev/zero | tr '\\0' x",
    "many lines": "yes xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx | head -c 200M",
    "zeros": "head -c 200M /dev/zero",
}


@pytest.mark.parametrize("name", list(FLOODS), ids=list(FLOODS))
async def test_a_command_that_prints_200_megabytes_as(name: str, crowd: Crowd) -> None:
    code, output = await crowd.engine.run(FLOODS[name], name=f"prints {name}", app="hog")
    assert code == 0
    assert KEEP <= len(output) < KEEP + 100
    assert output.endswith("[output is cut here: it is too long]\n")


async def test_a_web_process_that_prints_200_megabytes_serves_on_and_its_log_is_bounded(crowd: Crowd) -> None:
    web = ProcessSpec(
        type="web", command="python3 app.py & yes " + "x" * 63 + " | head -c 200M; echo the end; wait", quantity=1
    )
    try:
        routes = await crowd.engine.up(crowd.engine.spec(app="flood", greeting="through the flood", processes=(web,)))
        directory = crowd.engine.data / "apps/flood/log"
        await until(lambda: _ends_with(directory / "app.log", b"the end"), seconds=30, what="all is printed")
        assert await routes.get() == "through the flood"
        assert await crowd.neighbor.get() == "still here"
        assert sum(path.stat().st_size for path in directory.iterdir()) <= KEEP + 2 * 1024 * 1024
    finally:
        await crowd.engine.platform.remove("flood", fence=FENCE)


async def test_what_an_app_makes_its_shim_and_its_way_out_do_is_bounded_apart_from_the_app(crowd: Crowd) -> None:
    """They work as much as it prints and connects; in the app's own group they would end when it is out of memory."""
    (instance,) = (crowd.engine.data / "run/i").iterdir()
    group = f"{instance.name}.shim"
    await until(lambda: len(outlet(instance)) == 3, what="all of its way out has begun")
    pids = files.read_json(instance / "pids")
    for pid in (pids["shim"][0], *outlet(instance)):
        await until(lambda pid=pid: _groups(pid) == {group}, what="it is in that group")
    assert _groups(pids["init"][0]) == {instance.name}
    limits = {one: _limit(group, one) for one in ("cpu.cfs_quota_us", "cpu.max", "memory.limit_in_bytes", "memory.max")}
    assert {value for value in limits.values() if value} == {"50000", str(256 * 1024 * 1024)}


def _groups(pid: int) -> set[str]:
    paths = [Path(line.rpartition(":")[2]) for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    return {path.name for path in paths if path.parent.name.startswith("towpath-")}


def _limit(group: str, name: str) -> str:
    # Unlike `rglob`, this bears that other groups come and go meanwhile.
    found = [place for place, _, names in os.walk("/sys/fs/cgroup") if place.endswith(f"/{group}") and name in names]
    return Path(found[0], name).read_text().split()[0] if found else ""


def _ends_with(path: Path, text: bytes) -> bool:
    """Whether the last of it holds `text`; for a moment there is no file while it is turned over."""
    with contextlib.suppress(FileNotFoundError):
        return text in path.read_bytes()[-4096:]
    return False


FORGED = "2026-01-01T00:00:00.000000+00:00 towpath[web.1]: forged"
ODD = {
    "an escape that clears the screen": b"\x1b[2J\x1b]0;title\x07",
    "a zero": b"a\0b",
    "what is no UTF-8": b"\xff\xfe\xc3\x28",
    "a return that hides the line": b"\r",
    **{
        f"a line within a line, divided by {divider!r}": f"x{divider}".encode()
        for divider in ("\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029")
    },
}  # fmt: skip


async def test_no_app_writes_into_its_log_in_another_name(crowd: Crowd) -> None:
    """Whatever is in a line, the log has as many lines as were printed, each in the name of its process."""
    printed = b"".join(odd + FORGED.encode() + b"\n" for odd in ODD.values())
    (crowd.engine.slug("odd") / "printed").write_bytes(printed)
    web = ProcessSpec(type="web", command="cat printed; exec python3 app.py", quantity=1)
    spec = crowd.engine.spec(app="odd", processes=(web,), slug_dir=crowd.engine.slug("odd"))
    try:
        await crowd.engine.up(spec)
        lines = [line async for line in crowd.engine.platform.logs("odd", follow=False, lines=1000)]
    finally:
        await crowd.engine.platform.remove("odd", fence=FENCE)
    own = re.compile(r"\S+ app\[web\.1\]: ")
    assert [line for line in lines if not own.match(line)] == []
    assert sum("forged" in line for line in lines) == len(ODD)
