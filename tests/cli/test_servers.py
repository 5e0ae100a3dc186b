"""The server's own commands, as they are met by somebody who does it wrong: one sentence with what to do, no traceback."""

import asyncio
import fcntl
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from service.cli.parts import Part
from service.cli.up import Supervisor
from service.demo import remains
from service.settings import Settings, same_site
from service.store import apps
from service.store.__main__ import prepare
from service.store.opening import open_store
from service.store.secrets import Vault, new_key_line
from tests.cli.conftest import ROOT, Cli, Run
from tests.github_contract.fixtures import GitHub, github, known_as, octokit
from tests.store.making import NOW, make_app
from tests.waiting import until

__all__ = ["github", "octokit"]


@contextmanager
def taken_port() -> Iterator[int]:
    with socket.socket(socket.AF_INET6) as listener:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(("::", 0))
        listener.listen()
        yield int(listener.getsockname()[1])


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def said(done: Run) -> str:
    """The one sentence of a command that refused."""
    refusals = [line for line in done.err.splitlines() if "▸" in line]
    assert len(refusals) == 1, done.err
    return refusals[0]


BAD_DIRECTORIES = [("a file", "file"), ("a place where nothing can be made", "/proc/towpath")]


@pytest.mark.parametrize("place", [row[1] for row in BAD_DIRECTORIES], ids=[row[0] for row in BAD_DIRECTORIES])
@pytest.mark.parametrize("command", ["up", "doctor", "github-sim"])
async def test_a_data_directory_that_cannot_be_is_named_with_the_way_out(
    offline: Cli, short_tmp: Path, command: str, place: str
) -> None:
    (short_tmp / "file").touch()
    data = str(short_tmp / place)
    refusal = said(await offline(command, "--data", data, code=1))
    assert data in refusal
    assert "--data" in refusal


async def test_a_port_that_is_no_number_is_wrong_usage(offline: Cli, short_tmp: Path) -> None:
    for port in ("abc", "\u00b2", "0"):
        done = await offline("up", "--data", str(short_tmp), code=2, TOWPATH_PORT=port)
        assert f"TOWPATH_PORT={port!r} is not a port" in said(done)
    assert "65536" in (await offline("up", "--data", str(short_tmp), "--port", "65536", code=2)).err


@pytest.mark.parametrize("command", ["up", "github-sim"])
async def test_a_taken_port_is_named_with_the_way_out(offline: Cli, short_tmp: Path, command: str) -> None:
    with taken_port() as port:
        refusal = said(await offline(command, "--data", str(short_tmp / "data"), "--port", str(port), code=1))
    assert f"Port {port} is taken" in refusal
    assert "--port" in refusal


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up the right to low ports")
async def test_a_port_that_only_root_may_open_is_not_called_taken(short_tmp: Path) -> None:
    command = [
        "setpriv",
        "--bounding-set=-net_bind_service",
        "--inh-caps=-all",
        sys.executable,
        "-m",
        "service.cli",
        "up",
    ]
    words = [*command, "--data", str(short_tmp), "--port", "81"]
    done = await asyncio.to_thread(
        subprocess.run, words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert "Port 81 is for root alone" in done.stderr


async def test_up_that_still_waits_for_its_database_ends_when_it_is_told_to(short_tmp: Path) -> None:
    came = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        url = f"postgresql://towpath@127.0.0.1:{server.sockets[0].getsockname()[1]}/towpath?sslmode=disable"
        words = ("up", "--data", str(short_tmp), "--port", free_port())
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "service.cli", *words),
            cwd=ROOT, env={**os.environ, "TOWPATH_DATABASE_URL": url}, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        await until(came.is_set, seconds=30, what="the database is asked")
        process.terminate()
        async with asyncio.timeout(5):
            assert await process.wait() == 0
    assert remains.processes(short_tmp) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a small disk")
async def test_a_full_disk_is_one_sentence_and_no_traceback(short_tmp: Path) -> None:
    words = [sys.executable, "-m", "service.cli", "up", "--data", str(short_tmp), "--port", free_port()]
    small = f'mount -t tmpfs -o size=64k tmpfs {short_tmp}; exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", small, "sh", *words]
    done = await asyncio.to_thread(subprocess.run, command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    (refusal,) = [line for line in done.stderr.splitlines() if "▸" in line]
    assert "database or disk is full" in refusal


async def test_a_router_on_a_taken_port_says_so(offline: Cli, short_tmp: Path) -> None:
    await offline("migrate", "--data", str(short_tmp))
    with taken_port() as port:
        done = await offline("router", "--data", str(short_tmp), "--port", str(port), code=1)
    assert f"Port {port} cannot be listened on" in done.err
    assert "--port" in done.err


SETTINGS_THAT_CANNOT_BE = [
    ("a Redis that is none", {"TOWPATH_REDIS_URL": "me:password@host"}, "TOWPATH_REDIS_URL is not a Redis"),
    ("an unknown form of logs", {"TOWPATH_LOG_FORMAT": "xml"}, "TOWPATH_LOG_FORMAT is not console or json"),
    ("a time that is over", {"TOWPATH_LEASE_SECONDS": "-1"}, "TOWPATH_LEASE_SECONDS='-1' is not a number of seconds"),
    ("a time without end", {"TOWPATH_DUE_SECONDS": "inf"}, "TOWPATH_DUE_SECONDS='inf' is not a number of seconds"),
    (
        "a platform that there is not",
        {"TOWPATH_PLATFORM": "docker"},
        "TOWPATH_PLATFORM is not process, the one platform",
    ),
    (
        "a public address without a scheme",
        {"TOWPATH_PUBLIC_URL": "towpath.example.com"},
        "TOWPATH_PUBLIC_URL is not an address",
    ),
    ("half an address", {"TOWPATH_PUBLIC_URL": "https://[::1"}, "TOWPATH_PUBLIC_URL is not an address"),
    (
        "a GitHub of no address",
        {"TOWPATH_GITHUB_API_URL": "github.example.com"},
        "TOWPATH_GITHUB_API_URL is not an address",
    ),
    ("half a domain", {"TOWPATH_APPS_DOMAIN": "[::"}, "TOWPATH_APPS_DOMAIN='[::' is no name of a host"),
    (
        "review apps beside production",
        {"TOWPATH_APPS_DOMAIN": "example.com", "TOWPATH_REVIEW_DOMAIN": "review.example.com"},
        "TOWPATH_REVIEW_DOMAIN=review.example.com shares cookies with TOWPATH_APPS_DOMAIN",
    ),
    (
        "review apps beside the dashboard",
        {"TOWPATH_PUBLIC_URL": "https://towpath.example.co.uk", "TOWPATH_REVIEW_DOMAIN": "apps.example.co.uk:5080"},
        "TOWPATH_REVIEW_DOMAIN=apps.example.co.uk shares cookies with TOWPATH_PUBLIC_URL",
    ),
]


@pytest.mark.parametrize(
    ("env", "says"), [row[1:] for row in SETTINGS_THAT_CANNOT_BE], ids=[row[0] for row in SETTINGS_THAT_CANNOT_BE]
)
async def test_a_setting_is_refused_that_names(offline: Cli, short_tmp: Path, env: dict[str, str], says: str) -> None:
    refusal = said(await offline("up", "--data", str(short_tmp), "--port", free_port(), code=2, **env))
    assert says in refusal
    assert "password" not in refusal


SITES = [
    ("an app beside another", "a.example.com", "b.example.com", True),
    ("a domain and what is below it", "example.com", "review.example.com", True),
    ("two registered domains", "example.com", "example-review.com", False),
    ("two registered below co.uk", "a.co.uk", "b.co.uk", False),
    ("one registered below co.uk", "a.x.co.uk", "b.x.co.uk", True),
    ("short names of a country", "a.ab.de", "b.ab.de", False),
    ("the same", "example.com", "EXAMPLE.com", True),
    ("localhost", "localhost", "a.localhost", False),
    ("addresses", "10.0.0.1", "10.0.0.2", False),
    ("what is not registered", "shop", "example.com", False),
]


@pytest.mark.parametrize(("one", "other", "same"), [row[1:] for row in SITES], ids=[row[0] for row in SITES])
def test_browsers_share_cookies_between(one: str, other: str, same: bool) -> None:
    assert (same_site(one, other), same_site(other, one)) == (same, same)


async def test_a_redis_that_does_not_answer_is_said_and_is_no_reason_not_to_start(
    offline: Cli, short_tmp: Path
) -> None:
    url = f"redis://127.0.0.1:{free_port()}/0"
    done = await offline("doctor", "--data", str(short_tmp), code=1, TOWPATH_REDIS_URL=url)
    (line,) = [line for line in done.out.splitlines() if "redis: " in line]
    assert line.startswith("!!")
    assert "does not answer" in line


async def test_a_second_up_names_the_one_that_runs(offline: Cli, short_tmp: Path) -> None:
    (short_tmp / "run").mkdir()
    ready = {"url": "http://localhost:5123", "pids": {"up": 4711}}
    (short_tmp / "ready.json").write_text(json.dumps(ready))
    with (short_tmp / "run/up.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refusal = said(await offline("up", "--data", str(short_tmp), "--port", free_port(), code=1))
    assert "http://localhost:5123" in refusal
    assert "4711" in refusal


SETTINGS = [
    ("a key file that is not there", {"TOWPATH_GITHUB_APP_ID": "7", "TOWPATH_GITHUB_PRIVATE_KEY_FILE": "/nope.pem"}),
    ("an id that is no number", {"TOWPATH_GITHUB_APP_ID": "shop", "TOWPATH_GITHUB_PRIVATE_KEY_FILE": "/etc/hostname"}),
    ("a key that is none", {"TOWPATH_GITHUB_APP_ID": "7", "TOWPATH_GITHUB_PRIVATE_KEY_FILE": "/etc/hostname"}),
    ("an id without a key", {"TOWPATH_GITHUB_APP_ID": "7"}),
]


@pytest.mark.parametrize("env", [row[1] for row in SETTINGS], ids=[row[0] for row in SETTINGS])
async def test_a_github_app_that_cannot_be_is_refused_before_anything_is_started(
    offline: Cli, short_tmp: Path, env: dict[str, str]
) -> None:
    done = await offline("up", "--data", str(short_tmp / "d"), "--port", free_port(), code=1, **env)
    assert "TOWPATH_GITHUB_" in said(done)
    assert not (short_tmp / "d/log/worker.log").exists()


async def test_the_web_process_does_not_start_without_a_secret_that_proves_what_github_sent(
    offline: Cli, short_tmp: Path
) -> None:
    await prepare(Settings(data=short_tmp), token="")
    done = await offline("web", "--data", str(short_tmp), code=1)
    assert "TOWPATH_GITHUB_WEBHOOK_SECRET is not set" in done.err


@pytest.mark.parametrize("command", ["up", "doctor"])
async def test_a_word_that_is_no_way_to_pull_is_named_with_those_that_are(
    offline: Cli, short_tmp: Path, command: str
) -> None:
    done = await offline(command, "--data", str(short_tmp), code=2, TOWPATH_GITHUB_PULL="maybe")
    assert said(done) == " ▸    TOWPATH_GITHUB_PULL='maybe' is not on, off or auto"


@pytest.mark.parametrize("option", ["--pull", "--no-pull"])
async def test_what_is_said_on_the_command_line_about_pulling_wins(offline: Cli, short_tmp: Path, option: str) -> None:
    with taken_port() as port:
        argv = ("up", "--data", str(short_tmp / "d"), "--port", str(port), option)
        done = await offline(*argv, code=1, TOWPATH_GITHUB_PULL="maybe")
    assert f"Port {port} is taken" in said(done)


@pytest.mark.parametrize("command", ["web", "worker"])
async def test_a_server_does_not_start_on_keys_that_are_not_the_databases(
    offline: Cli, short_tmp: Path, command: str
) -> None:
    await prepare(Settings(data=short_tmp), token="")
    (short_tmp / "secret.keys").write_text(new_key_line())
    done = await offline(command, "--data", str(short_tmp), code=1, TOWPATH_GITHUB_WEBHOOK_SECRET="s")
    assert "data needs key" in done.err
    assert "secret.keys holds" in done.err


@pytest.mark.parametrize("command", ["web", "worker", "router"])
async def test_a_server_does_not_start_before_the_tables_are_there(offline: Cli, short_tmp: Path, command: str) -> None:
    Vault.open(short_tmp / "secret.keys", create=True)
    done = await offline(command, "--data", str(short_tmp), code=1, TOWPATH_GITHUB_WEBHOOK_SECRET="s")
    assert "run towpath migrate" in done.err


async def test_after_a_rotation_the_old_key_can_be_taken_out_of_the_file(offline: Cli, short_tmp: Path) -> None:
    keys = short_tmp / "secret.keys"
    await prepare(Settings(data=short_tmp), token="")
    db, old = await open_store(Settings(data=short_tmp))
    app = await db.write(make_app)
    await db.write(lambda conn: apps.set_config(conn, old, app_id=app.id, vars={"A": "1"}, now=NOW))
    new = new_key_line()
    with keys.open("a") as file:
        file.write(new)
    done = await offline("secrets:rotate", "--data", str(short_tmp))
    assert done.out.startswith("Sealed 1 secrets with the newest key")
    keys.write_text(new)
    vault = Vault.open(keys, create=False)
    assert await db.read(lambda conn: apps.config(conn, vault, app.id)) == {"A": "1"}
    await db.close()
    assert (await offline("secrets:rotate", "--data", str(short_tmp))).out.startswith("Sealed 0")


async def test_a_part_that_cannot_be_started_for_a_while_is_tried_until_it_can(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    program = tmp_path / "program"
    supervisor = Supervisor(settings=Settings(data=tmp_path), log_dir=tmp_path, serving=True)
    supervisor.keep(Part(name="part", argv=(str(program),)))
    (task,) = supervisor.tasks
    await until((tmp_path / "part.log").exists)
    program.symlink_to("/bin/cat")
    try:
        await until(lambda: supervisor.pids or task.done())
        assert not task.done()
    finally:
        await supervisor.stop()


async def test_a_part_whose_pid_cannot_be_written_down_is_not_left_running(tmp_path: Path) -> None:
    (tmp_path / "run").touch()  # as a full disk: nothing can be written in it
    supervisor = Supervisor(settings=Settings(data=tmp_path), log_dir=tmp_path, serving=True)
    supervisor.keep(
        Part(name="part", argv=("/bin/sh", "-c", "trap 'sleep 0.5; exit' TERM; while :; do sleep 0.05; done"))
    )
    await until(lambda: supervisor.pids)
    await supervisor.stop()  # while it is being ended for want of its pid file
    assert not Path(f"/proc/{supervisor.pids['part']}").exists()


async def test_the_version_is_told(offline: Cli) -> None:
    assert (await offline("--version")).out.startswith("towpath ")


async def test_doctor_advises_only_where_something_is_amiss(offline: Cli, short_tmp: Path) -> None:
    done = await offline("doctor", "--data", str(short_tmp), code=None)
    lines = done.out.splitlines()
    assert any("isolation: " in line for line in lines)
    assert any("GitHub" in line for line in lines)
    for line, following in pairwise(lines):
        assert not (line.startswith("ok") and following.startswith(" ")), f"{line}\n{following}"


async def test_doctor_asks_github_whether_it_knows_the_app(offline: Cli, short_tmp: Path) -> None:
    done = await offline("doctor", "--data", str(short_tmp), code=1, TOWPATH_GITHUB_APP_ID="7")
    (line,) = [line for line in done.out.splitlines() if "GitHub" in line]
    assert line.startswith("!!")
    assert "TOWPATH_GITHUB_PRIVATE_KEY_FILE" in line


async def test_doctor_takes_the_port_of_the_server_that_runs(offline: Cli, short_tmp: Path, github: GitHub) -> None:
    github.webhook_url = "http://127.0.0.1:5123/github/webhooks"
    place = short_tmp / "key"
    place.mkdir()
    (short_tmp / "ready.json").write_text(json.dumps({"url": "http://localhost:5123", "api_token": "x", "pids": {}}))
    done = await offline("doctor", "--data", str(short_tmp), code=None, **known_as(github, place))
    (line,) = [line for line in done.out.splitlines() if "deliveries: " in line]
    assert line == "ok  deliveries: GitHub sends them to http://localhost:5123/github/webhooks"


async def test_help_on_a_topic_says_what_each_of_its_commands_does(offline: Cli) -> None:
    shown = (await offline("help", "pipelines")).out
    assert "Add an app to a pipeline." in shown
