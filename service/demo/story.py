"""The whole story on one machine: pull request, review app, update, CI, staging, promotion, teardown, nothing left.

Everything is real but GitHub: two sample repositories in the simulated GitHub, `towpath up` as a process of its own,
every act of a person done with the `towpath` command, every claim looked up from outside.
"""

import asyncio
import json
import os
import shutil
import signal
import socket
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from service.demo.github_sim import GitHubSim, Repository, running

SAMPLES = Path(__file__).parent / "samples"
SAMPLE_FILES = {"python": "app.py", "node": "server.js"}
STEP_SECONDS = 180.0
APP_DIRECTORIES = ("apps", "work/builds", "run/i", "run/x")
UNFINISHED = {
    "apps": "state <> 'gone'",
    "routes": "1",
    "review_apps": "state NOT IN ('destroyed', 'skipped')",
    "requests": "state IN ('queued', 'running')",
    "builds": "state = 'pending'",
    "releases": "state = 'pending'",
    "promotion_targets": "state = 'pending'",
    "reports": "pending",
    "deliveries": "state = 'received'",
}


class NotSeen(Exception):
    """A step of the story did not come true; the text says which and what was seen instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of the table at the end."""

    sample: str
    what: str
    seconds: float
    note: str


@dataclass(slots=True)
class Stage:
    """Where the story plays."""

    data: Path
    port: int
    sim: GitHubSim
    http: aiohttp.ClientSession
    rows: list[Row] = field(default_factory=list)

    async def towpath(self, *args: str) -> str:
        """Do what a person does: run the command."""
        env = {**os.environ, "TOWPATH_DATA": str(self.data), "NO_COLOR": "1"}
        for name in ("TOWPATH_URL", "TOWPATH_TOKEN"):
            env.pop(name, None)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "service.cli.main", *args),
            env=env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        if process.returncode:
            raise NotSeen(f"towpath {' '.join(args)} ended with {process.returncode}: {err.decode().strip()}")
        return out.decode()

    async def listed(self, *args: str) -> Any:
        """Run a command that lists and return what it lists."""
        return json.loads(await self.towpath(*args, "--json"))

    async def api(self, path: str) -> Any:
        """Ask the API what the command does not list."""
        ready = json.loads((self.data / "ready.json").read_text())
        headers = {"Authorization": f"Bearer {ready['api_token']}", "Accept": "application/vnd.heroku+json; version=3"}
        async with self.http.get(f"http://127.0.0.1:{self.port}{path}", headers=headers) as answer:
            return await answer.json()

    async def page(self, app: str) -> str:
        """Return what an app answers, or the status when it is not 200."""
        try:
            async with self.http.get(
                f"http://127.0.0.1:{self.port}/", headers={"Host": f"{app}.localhost:{self.port}"}
            ) as answer:
                return await answer.text() if answer.status == 200 else f"HTTP {answer.status}"
        except aiohttp.ClientError as error:
            return f"no answer: {error}"

    async def until(self, what: str, seen: Callable[[], Awaitable[Any]]) -> Any:
        """Wait until something is seen; raises `NotSeen` with the last sight after three minutes."""
        deadline = time.monotonic() + STEP_SECONDS
        while True:
            value = await seen()
            if value:
                return value
            if time.monotonic() > deadline:
                raise NotSeen(f"not seen: {what}")
            await asyncio.sleep(0.02)

    def tell(self, sample: str, what: str, started: float, note: str) -> None:
        """Say that a step came true."""
        row = Row(sample=sample, what=what, seconds=time.monotonic() - started, note=note)
        self.rows.append(row)
        print(f"  {row.seconds:6.2f} s  {what:<44} {note}", flush=True)


async def tell(*, data: Path | None, port: int | None, keep: bool) -> int:
    """Tell the story; 0 only if all of it was seen."""
    place = data or Path(tempfile.mkdtemp(prefix="towpath-demo-"))
    place.mkdir(parents=True, exist_ok=True)
    place.chmod(0o755)
    sim = GitHubSim(place / "github")
    chosen = port or _free_port()
    async with running(sim), aiohttp.ClientSession() as http:
        stage = Stage(data=place / "data", port=chosen, sim=sim, http=http)
        try:
            await _play(stage, place)
        except NotSeen as error:
            print(f"\n{error}\nWhat was written is in {place}", file=sys.stderr, flush=True)
            return 1
    if not keep and data is None:
        await asyncio.to_thread(shutil.rmtree, place, ignore_errors=True)
    return 0


async def _play(stage: Stage, place: Path) -> None:
    started = time.monotonic()
    up = await _up(stage, place)
    try:
        await stage.until("Towpath is ready", lambda: _ready(stage, up))
        stage.tell("", "towpath up", started, f"http://localhost:{stage.port}")
        for sample in SAMPLE_FILES:
            print(f"\nA {sample.capitalize()} app", flush=True)
            await _one_sample(stage, sample)
        print("\nAfter the last app", flush=True)
        await _nothing_left(stage, "apps destroyed: nothing left")
    finally:
        started = time.monotonic()
        with suppress(ProcessLookupError):
            up.send_signal(signal.SIGTERM)
        await up.wait()
    left = await asyncio.to_thread(_processes_of, stage.data)
    mounts = await asyncio.to_thread(_mounts_of, stage.data)
    if left or mounts:
        raise NotSeen(f"left behind after the end: processes {left}, mounts {mounts}")
    stage.tell("", "stopped: no process, no mount", started, "")
    _table(stage.rows)


async def _up(stage: Stage, place: Path) -> asyncio.subprocess.Process:
    sim = stage.sim
    key = place / "app.pem"
    key.touch(mode=0o600)
    key.write_text(sim.private_key_pem)
    sim.webhook_url = f"http://127.0.0.1:{stage.port}/github/webhooks"
    env = {
        **os.environ,
        "TOWPATH_GITHUB_URL": sim.url,
        "TOWPATH_GITHUB_API_URL": sim.api_url,
        "TOWPATH_GITHUB_APP_ID": str(sim.app_id),
        "TOWPATH_GITHUB_PRIVATE_KEY_FILE": str(key),
        "TOWPATH_GITHUB_WEBHOOK_SECRET": sim.webhook_secret,
    }
    arguments = ("up", "--data", str(stage.data), "--port", str(stage.port))
    return await asyncio.create_subprocess_exec(sys.executable, "-m", "service.cli.main", *arguments, env=env)


async def _ready(stage: Stage, up: asyncio.subprocess.Process) -> bool:
    if up.returncode is not None:
        raise NotSeen("towpath up ended by itself")
    return (stage.data / "ready.json").exists()


async def _one_sample(stage: Stage, sample: str) -> None:
    file = SAMPLE_FILES[sample]
    source = (SAMPLES / sample / file).read_text()
    repo = await stage.sim.create_repo(f"acme/hello-{sample}", directory=SAMPLES / sample, default_branch="master")
    staging, production = f"hello-{sample}-staging", f"hello-{sample}-prod"
    pipeline = f"hello-{sample}"
    started = time.monotonic()
    for args in (
        ("apps:create", staging),
        ("apps:create", production),
        ("pipelines:create", pipeline, "-a", staging, "-s", "staging"),
        ("pipelines:add", pipeline, "-a", production, "-s", "production"),
        ("pipelines:connect", pipeline, "-r", repo.full_name),
        ("reviewapps:enable", "-p", pipeline, "--automatic"),
        ("deploy:auto", "on", "-a", staging, "--branch", "master", "--wait-for-ci"),
    ):
        await stage.towpath(*args)
    stage.tell(sample, "pipeline with staging and production", started, "by 7 commands")

    await stage.sim.push(repo, "topic", {file: source.replace("first version", "pull request")})
    started = time.monotonic()
    pull = await stage.sim.open_pull(repo, "topic", title="Greet differently")
    review = await stage.until("a review app", lambda: _review_app(stage, pipeline))
    await stage.until("the review app's page", lambda: _says(stage, review, "pull request"))
    stage.tell(sample, "PR opened -> review app's first byte", started, f"http://{review}.localhost:{stage.port}")
    await stage.until("a successful check", lambda: _check(stage, repo, pull.head_sha, "success"))

    started = time.monotonic()
    sha = await stage.sim.push(repo, "topic", {file: source.replace("first version", "second try")})
    await stage.until("the update", lambda: _says(stage, review, "second try"))
    stage.tell(sample, "push -> review app updated", started, sha[:7])
    await stage.until("a successful check", lambda: _check(stage, repo, sha, "success"))

    await _merge_and_promote(stage, sample, repo, pull.number, (staging, production, pipeline, review))


async def _merge_and_promote(
    stage: Stage, sample: str, repo: Repository, number: int, named: tuple[str, str, str, str]
) -> None:
    staging, production, pipeline, review = named
    closed = time.monotonic()
    merged = await stage.sim.merge_pull(repo, number)
    await stage.sim.set_status(repo, merged, "failure", context="test")
    await stage.until("that staging is held back", lambda: _why(stage, staging, "test"))
    stage.tell(sample, "merged, CI red -> staging held back", closed, "reason shown by towpath why")
    await stage.until("that the review app is gone", lambda: _says(stage, review, "HTTP 404"))
    stage.tell(sample, "PR closed -> review app gone", closed, "")
    started = time.monotonic()
    await stage.sim.set_status(repo, merged, "success", context="test")
    await stage.until("staging's page", lambda: _says(stage, staging, merged))
    builds = await stage.api(f"/apps/{staging}/builds")
    made = [each for each in builds if not each.get("reused")]
    if made:
        raise NotSeen(f"staging was built {len(made)} times; the pull request's slug should have been used")
    stage.tell(sample, "CI green -> staging", started, "0 builds; CI is read once in 10 s at most")
    started = time.monotonic()
    await stage.towpath("pipelines:promote", "-a", staging)
    await stage.until("production's page", lambda: _says(stage, production, merged))
    slugs = {(await stage.listed("releases", "-a", app))[0]["slug"]["id"] for app in (staging, production)}
    if len(slugs) != 1:
        raise NotSeen("production runs another slug than staging")
    stage.tell(sample, "promoted -> production", started, f"same slug {slugs.pop()[:8]}")
    await stage.until("that GitHub shows an end for everything", lambda: _github_is_final(stage, repo, production))
    started = time.monotonic()
    for app in (staging, production):
        await stage.towpath("apps:destroy", "-a", app, "--confirm", app)
    await stage.until("that the apps are gone", lambda: _gone(stage, (staging, production)))
    stage.tell(sample, "apps destroyed", started, pipeline)


async def _review_app(stage: Stage, pipeline: str) -> str:
    found = await stage.listed("reviewapps", "-p", pipeline)
    names = [each["app"]["name"] for each in found if each.get("app") and each["app"].get("name")]
    return names[0] if names else ""


async def _says(stage: Stage, app: str, text: str) -> bool:
    return text in await stage.page(app)


async def _why(stage: Stage, app: str, text: str) -> bool:
    return text in await stage.towpath("why", app)


async def _check(stage: Stage, repo: Repository, sha: str, conclusion: str) -> bool:
    checks = stage.sim.reported(repo)["check_runs"]
    return any(each["head_sha"] == sha and each["conclusion"] == conclusion for each in checks)


async def _github_is_final(stage: Stage, repo: Repository, production: str) -> bool:
    shown = stage.sim.reported(repo)
    states = {each["environment"]: each["state"] for each in shown["deployments"]}
    served = [state for name, state in states.items() if name.endswith(f"/{production}")]
    over = [each for each in shown["deployments"] if each["state"] not in ("success", "inactive", "failure", "error")]
    return served == ["success"] and not over and all(each["status"] == "completed" for each in shown["check_runs"])


async def _gone(stage: Stage, apps: tuple[str, ...]) -> bool:
    return not {each["name"] for each in await stage.listed("apps")} & set(apps)


async def _nothing_left(stage: Stage, what: str) -> None:
    started = time.monotonic()

    async def clear() -> bool:
        return not await asyncio.to_thread(_remains, stage)

    try:
        await stage.until(what, clear)
    except NotSeen:
        raise NotSeen(f"left behind: {_remains(stage)}") from None
    stage.tell("", what, started, "processes, mounts, directories, routes, rows, reports")


def _remains(stage: Stage) -> list[str]:
    """Return what of apps is still there: sandboxes, mounts, unfinished reports at GitHub."""
    found = [f"process {pid}" for pid in _sandboxes_of(stage.data)]
    found += [f"mount {place}" for place in _mounts_of(stage.data)]
    found += [f"directory {place}" for name in APP_DIRECTORIES for place in (stage.data / name).glob("*")]
    found += _unfinished_rows(stage.data / "database/towpath.db")
    for repo in stage.sim.repositories.values():
        shown = stage.sim.reported(repo)
        found += [f"deployment {each['environment']} is {each['state']}" for each in shown["deployments"]
                  if each["state"] not in ("inactive", "failure", "error")]  # fmt: skip
        found += [f"check {each['head_sha'][:7]} is {each['status']}" for each in shown["check_runs"]
                  if each["status"] != "completed"]  # fmt: skip
    return found


def _unfinished_rows(database: Path) -> list[str]:
    """Return the rows that are not final, and the routes, as the database file itself tells."""
    found = []
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        for table, unfinished in UNFINISHED.items():
            count = connection.execute(f"SELECT count(*) FROM {table} WHERE {unfinished}").fetchone()[0]  # noqa: S608
            if count:
                found.append(f"{count} {table} {unfinished}")
    return found


def _processes_of(data: Path) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                if str(data).encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
    return found


def _sandboxes_of(data: Path) -> list[int]:
    found = []
    for pid in _processes_of(data):
        with suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
            if b"bwrap" in words or b"shim" in words:
                found.append(pid)
    return found


def _mounts_of(data: Path) -> list[str]:
    lines = Path("/proc/mounts").read_text().splitlines()
    return [line.split()[1] for line in lines if str(data) in line]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _table(rows: list[Row]) -> None:
    print(f"\n{'sample':<8} {'what':<44} {'seconds':>8}  note")
    print(f"{'-' * 8} {'-' * 44} {'-' * 8}  {'-' * 30}")
    for row in rows:
        print(f"{row.sample:<8} {row.what:<44} {row.seconds:>8.2f}  {row.note}")
    print("\nAll of it was seen.")
