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
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp

from service.demo import remains
from service.demo.github_sim import GitHubSim, Repository, running

SAMPLES = Path(__file__).parent / "samples"
SAMPLE_FILES = {"python": "app.py", "node": "server.js"}
STEP_SECONDS = 180.0
INTERRUPTED = 130


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
    sight: str = ""
    """What an app was last seen to answer, for whoever waits in vain."""

    async def towpath(self, *args: str) -> str:
        """Do what a person does: run the command."""
        # Whoever plays it may be logged in to a server of theirs, which is none of the demo's.
        env = _environment(TOWPATH_DATA=str(self.data), TOWPATH_PROFILE="local", NO_COLOR="1")
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
        self.sight = await self._page(app)
        return self.sight

    async def _page(self, app: str) -> str:
        try:
            async with self.http.get(
                f"http://127.0.0.1:{self.port}/", headers={"Host": f"{app}.localhost:{self.port}"}
            ) as answer:
                return await answer.text() if answer.status == 200 else f"HTTP {answer.status}"
        except aiohttp.ClientError as error:
            return f"no answer: {error}"

    async def until(self, what: str, seen: Callable[[], Awaitable[Any]]) -> Any:
        """Wait until something is seen; raises `NotSeen` with the last sight after `STEP_SECONDS`."""
        deadline, self.sight = time.monotonic() + STEP_SECONDS, ""
        while True:
            value = await seen()
            if value:
                return value
            if time.monotonic() > deadline:
                instead = f", but {self.sight.strip()!r}" if self.sight else ""
                raise NotSeen(f"not seen within {STEP_SECONDS:.0f} s: {what}{instead}")
            await asyncio.sleep(0.02)

    def tell(self, sample: str, what: str, started: float, note: str) -> None:
        """Say that a step came true."""
        self.add(Row(sample=sample, what=what, seconds=time.monotonic() - started, note=note))

    def add(self, row: Row) -> None:
        """Keep a line for the table and show it."""
        self.rows.append(row)
        print(f"  {row.seconds:6.2f} s  {row.what:<44} {row.note}".rstrip(), flush=True)


def _environment(**settings: str) -> dict[str, str]:
    """Ours without any setting of a real installation: the demo must neither use nor touch one."""
    kept = ("TOWPATH_ALLOW_WEAK_ISOLATION", "TOWPATH_BOOT_SECONDS")
    plain = {name: value for name, value in os.environ.items() if not name.startswith("TOWPATH_") or name in kept}
    return plain | settings


async def tell(*, data: Path | None, port: int | None, keep: bool) -> int:
    """Tell the story; 0 only if all of it was seen."""
    place = data or Path(tempfile.mkdtemp(prefix="towpath-demo-"))
    place.mkdir(parents=True, exist_ok=True)
    place.chmod(0o755)
    sim = GitHubSim(place / "github")
    chosen = port or _free_port()
    _stop_when_told()
    async with running(sim), aiohttp.ClientSession() as http:
        stage = Stage(data=place / "data", port=chosen, sim=sim, http=http)
        try:
            await _play(stage, place)
        except NotSeen as error:
            print(f"\n{error}\nWhat was written is in {place}", file=sys.stderr, flush=True)
            return 1
        except asyncio.CancelledError:
            print("\nStopped before the end of the story.", file=sys.stderr, flush=True)
            return INTERRUPTED
    if not keep and data is None:
        await asyncio.to_thread(shutil.rmtree, place, ignore_errors=True)
    return 0


def _stop_when_told() -> None:
    """Let SIGTERM and Ctrl-C end the story: once, so that what it started is ended in peace."""
    loop, story = asyncio.get_running_loop(), asyncio.current_task()

    def stop() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, lambda: None)
        if story is not None:
            story.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)


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
    if left := await asyncio.to_thread(remains.of_all, stage.data):
        raise NotSeen(f"left behind after the end: {', '.join(left)}")
    stage.tell("", "stopped: nothing left", started, "processes, mounts, cgroups")
    _table(stage.rows)


async def _up(stage: Stage, place: Path) -> asyncio.subprocess.Process:
    sim = stage.sim
    key = place / "app.pem"
    key.touch(mode=0o600)
    key.write_text(sim.private_key_pem)
    sim.webhook_url = f"http://127.0.0.1:{stage.port}/github/webhooks"
    env = _environment(
        TOWPATH_GITHUB_URL=sim.url,
        TOWPATH_GITHUB_API_URL=sim.api_url,
        TOWPATH_GITHUB_APP_ID=str(sim.app_id),
        TOWPATH_GITHUB_PRIVATE_KEY_FILE=str(key),
        TOWPATH_GITHUB_WEBHOOK_SECRET=sim.webhook_secret,
    )
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
        ("apps:create", staging, "--no-remote"),
        ("apps:create", production, "--no-remote"),
        ("pipelines:create", pipeline, "-a", staging, "-s", "staging"),
        ("pipelines:add", pipeline, "-a", production, "-s", "production"),
        ("pipelines:connect", pipeline, "-r", repo.full_name),
        ("reviewapps:enable", "-p", pipeline, "--automatic", "--settle-seconds", "1"),
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
    answered = stage.sim.now()
    await stage.until("a successful check", lambda: _check(stage, repo, pull.head_sha, "success"))
    await _parts(stage, sample, repo, pull.head_sha, answered)

    started = time.monotonic()
    sha = await stage.sim.push(repo, "topic", {file: source.replace("first version", "second try")})
    await stage.until("the update", lambda: _says(stage, review, "second try"))
    stage.tell(sample, "push -> review app updated", started, sha[:7])
    await stage.until("a successful check", lambda: _check(stage, repo, sha, "success"))
    slug = await _slug(stage, review)

    await _merge_and_promote(stage, sample, repo, pull.number, (staging, production, pipeline, review), slug)


async def _parts(stage: Stage, sample: str, repo: Repository, sha: str, answered: datetime) -> None:
    """Say what the time to the first byte went into: by GitHub's clock, the database's and ours, which are one."""
    opened = next(
        each.delivered_at
        for each in stage.sim.deliveries
        if (each.event, each.action, each.repository_id) == ("pull_request", "opened", repo.id)
    )
    assert repo.fetched_at is not None
    moments = (
        ("webhook -> commit fetched", repo.fetched_at),
        ("-> slug built", await asyncio.to_thread(remains.built_at, stage.data, sha)),
        ("-> started, first byte", answered),
        ("-> check on GitHub green", stage.sim.now()),
    )
    before = opened
    for what, moment in moments:
        stage.add(Row(sample=sample, what=f"  {what}", seconds=(moment - before).total_seconds(), note=""))
        before = moment


async def _slug(stage: Stage, app: str) -> str:
    return str((await stage.listed("releases", "-a", app))[0]["slug"]["id"])


async def _merge_and_promote(
    stage: Stage, sample: str, repo: Repository, number: int, named: tuple[str, str, str, str], slug: str
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
    built = [each for each in await stage.api(f"/apps/{staging}/builds") if not each["reused"]]
    if built or await _slug(stage, staging) != slug:
        raise NotSeen(f"staging was built {len(built)} times; the pull request's slug should have been used")
    stage.tell(sample, "CI green -> staging", started, "0 builds, the review app's slug; CI is read once in 10 s")
    started = time.monotonic()
    await stage.towpath("pipelines:promote", "-a", staging)
    await stage.until("production's page", lambda: _says(stage, production, merged))
    if await _slug(stage, production) != slug:
        raise NotSeen("production runs another slug than staging")
    stage.tell(sample, "promoted -> production", started, f"same slug {slug[:8]}")
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
        raise NotSeen(f"left behind: {', '.join(_remains(stage))}") from None
    stage.tell("", what, started, "processes, mounts, cgroups, directories, routes, rows, reports")


def _remains(stage: Stage) -> list[str]:
    """Return what of apps is still there: on the machine, in the database, and unfinished reports at GitHub."""
    found = remains.of_apps(stage.data) + remains.unfinished_rows(stage.data)
    for repo in stage.sim.repositories.values():
        shown = stage.sim.reported(repo)
        found += [f"deployment {each['environment']} is {each['state']}" for each in shown["deployments"]
                  if each["state"] not in ("inactive", "failure", "error")]  # fmt: skip
        found += [f"check {each['head_sha'][:7]} is {each['status']}" for each in shown["check_runs"]
                  if each["status"] != "completed"]  # fmt: skip
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _table(rows: list[Row]) -> None:
    print(f"\n{'sample':<8} {'what':<44} {'seconds':>8}  note")
    print(f"{'-' * 8} {'-' * 44} {'-' * 8}  {'-' * 30}")
    for row in rows:
        print(f"{row.sample:<8} {row.what:<44} {row.seconds:>8.2f}  {row.note}".rstrip())
    print("\nAll of it was seen.")
