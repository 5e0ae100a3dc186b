"""The demo says that all of it was seen only when it was, touches nothing but its own, and leaves nothing behind."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from service.demo import remains
from service.demo.story import SAMPLES
from service.store import apps
from service.store.database import Database
from tests.store.fixtures import sqlite_database, sqlite_template
from tests.waiting import until
from tests.walk.conftest import runtimes

__all__ = ["runtimes", "sqlite_database", "sqlite_template"]

PROGRAM = """
import asyncio, sys
from pathlib import Path
from service.demo import story
story.STEP_SECONDS = 20.0
story.SAMPLES = Path(sys.argv[1])
sys.exit(asyncio.run(story.tell(data=Path(sys.argv[2]), port=None, keep=True)))
"""
# What somebody has set who runs Towpath in earnest on this machine.
IN_EARNEST = {
    "TOWPATH_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/towpath",
    "TOWPATH_REDIS_URL": "redis://127.0.0.1:1",
    "TOWPATH_PUBLIC_URL": "https://towpath.example.com",
    "TOWPATH_URL": "https://towpath.example.com",
    "TOWPATH_TOKEN": "x",
}


@asynccontextmanager
async def story(samples: Path, place: Path, *, cwd: Path | None = None) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, str(samples), str(place)),
        cwd=cwd,
        env={**os.environ, **IN_EARNEST},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


@pytest.fixture
def place(short_tmp: Path, runtimes: Path) -> Path:
    """Where a demo plays, with the interpreters there already: to copy them takes ten seconds."""
    shutil.copytree(runtimes, short_tmp / "p/data/work/runtimes", symlinks=True, copy_function=os.link)
    return short_tmp / "p"


async def test_a_step_that_does_not_come_true_ends_the_demo_with_1_and_what_was_seen_instead(
    short_tmp: Path, place: Path
) -> None:
    samples = short_tmp / "samples"
    shutil.copytree(SAMPLES, samples)
    (samples / "python" / "Procfile").write_text("web: python -c 'import time; time.sleep(600)' # never listens\n")
    checkout = short_tmp / "checkout"
    subprocess.run(["git", "init", "--quiet", checkout], check=True)
    async with story(samples, place, cwd=checkout) as process:
        out, err = (text.decode() for text in await asyncio.wait_for(process.communicate(), 120))
    assert process.returncode == 1, out + err
    assert "not seen within 20 s: the review app's page, but 'HTTP " in err
    assert f"What was written is in {place}" in err
    assert "All of it was seen" not in out
    assert remains.of_all(place / "data") == []
    # The apps of a demo are no business of the folder that it was begun in.
    assert subprocess.run(["git", "remote"], cwd=checkout, check=True, capture_output=True).stdout == b""


async def test_a_demo_that_is_told_to_stop_takes_everything_with_it(place: Path) -> None:
    async with story(SAMPLES, place) as process:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            while b"A Python app" not in (line := await process.stdout.readline()):
                assert line, "the demo ended by itself"
        assert remains.processes(place / "data")
        process.send_signal(signal.SIGTERM)
        _, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 130
    assert b"Stopped before the end" in err
    assert b"Traceback" not in err
    assert remains.of_all(place / "data") == []


# What is looked for at the end


@pytest.fixture
def data(tmp_path: Path) -> Path:
    place = tmp_path / "data"
    (place / "run/i/web.1").mkdir(parents=True)
    (place / "log").touch()
    return place


HOLDS = [
    ("has it in its words", "exec python3 -c 'import time; time.sleep(60)' {data}"),
    ("has it in its environment", "TOWPATH_DATA={data} exec sleep 60"),
    ("stands in it", "cd {data}; exec sleep 60"),
    ("has a file of it open", "exec sleep 60 < {data}/log"),
    ("has it mounted where nobody else sees it", "exec unshare -rm sh -c 'mount --bind {data}/run /mnt && echo on && exec sleep 60'"),
]  # fmt: skip


@pytest.mark.parametrize("held", [row[1] for row in HOLDS], ids=[row[0] for row in HOLDS])
async def test_a_process_is_found_that(data: Path, held: str) -> None:
    script = held.format(data=data)
    if "unshare" in script and subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode:
        pytest.skip("no mount namespace can be made here")
    assert remains.processes(data) == []
    # The script comes by standard input: its words must not be what is found.
    process = await asyncio.create_subprocess_exec("sh", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    assert process.stdin is not None
    try:
        process.stdin.write(script.encode())
        process.stdin.close()
        await until(lambda: remains.processes(data), what="the process is found", seconds=10)
        assert any(found.startswith("process ") for found in remains.of_all(data))
    finally:
        process.kill()
        await process.communicate()


def test_a_directory_and_a_cgroup_of_an_app_are_found(data: Path) -> None:
    group = data.parent / "cgroup"
    (group / "web.1").mkdir(parents=True)
    (data / "run/cgroups").write_text(f'{{"pids": "{group}"}}')
    found = remains.of_apps(data)
    assert f"directory {data / 'run/i/web.1'}" in found
    assert any(each.startswith("cgroup ") and each.endswith("web.1") for each in found)
    assert f"cgroup {group}" in remains.of_all(data)


async def test_a_row_that_is_not_final_is_found(sqlite_database: Database, tmp_path: Path) -> None:
    (tmp_path / "database").symlink_to(".")
    assert remains.unfinished_rows(tmp_path) == []

    def create(conn: object) -> None:
        space = apps.ensure_space(conn, name="common", driver="process", now=sqlite_database.now())
        apps.create(conn, name="shop", space_id=space.id, owner_id=None, is_review=False, now=sqlite_database.now())

    await sqlite_database.write(create)
    assert remains.unfinished_rows(tmp_path) == ["1 apps state <> 'gone'"]
