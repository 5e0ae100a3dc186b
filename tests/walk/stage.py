"""Where a walk plays: `towpath up` as users run it, the simulated GitHub beside it, and eyes on all of it from outside."""

import asyncio
import itertools
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
from redis.asyncio import Redis

from service.demo import remains
from service.demo.github_sim import Repository
from tests.github_contract.fixtures import GitHub, held_to_contract, known_as
from tests.waiting import until
from tests.walk.samples import quick

STEP_SECONDS = 20.0
QUICK = {
    "TOWPATH_LEASE_SECONDS": "3",
    "TOWPATH_DUE_SECONDS": "0.5",
    "TOWPATH_OBSERVE_SECONDS": "2",
    "TOWPATH_AUDIT_SECONDS": "300",
    "TOWPATH_BOOT_SECONDS": "20",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """A pipeline with its repository, coupled to one staging and one production app."""

    name: str
    id: str
    repo: Repository
    staging: str
    production: str


@dataclass(slots=True, kw_only=True)
class Stage:
    """One installation of Towpath with its GitHub."""

    data: Path
    port: int
    github: GitHub
    http: aiohttp.ClientSession
    env: Mapping[str, str]
    process: asyncio.subprocess.Process | None = None
    made: int = 0
    output: Path = field(init=False)

    def __post_init__(self) -> None:
        self.output = self.data.parent / "up.log"

    # Starting and ending

    async def start(self) -> None:
        """Run `towpath up` until it is ready."""
        (self.data / "ready.json").unlink(missing_ok=True)
        with self.output.open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "service.cli.main", "up", "--data", str(self.data), "--port", str(self.port)),
                env={**_clean(), **self.env},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

        def ready() -> bool:
            assert self.process is not None
            assert self.process.returncode is None, f"towpath up ended:\n{self.output.read_text()}"
            return (self.data / "ready.json").exists()

        await until(ready, seconds=60, what="towpath up is ready")

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End `towpath up`; by SIGKILL everything that it started runs on."""
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(number)
            await asyncio.wait_for(self.process.wait(), 30)

    def pid(self, part: str) -> int:
        """The process that is one of redis, runner, worker, web and router now."""
        return int(json.loads((self.data / "run/pids.json").read_text())[part])

    @asynccontextmanager
    async def frozen(self, part: str) -> AsyncIterator[None]:
        """A part that is stopped and goes on later, as if nothing had been; never amid a transaction of its own.

        The embedded database has one writer: whoever is stopped while it writes stops everybody, until it goes on.
        """
        pid = self.pid(part)

        async def stopped() -> bool:
            os.kill(pid, signal.SIGSTOP)
            # The call returns before every thread has stopped: one may still begin a transaction.
            await until(lambda: _states(pid) <= {"T"}, what=f"every thread of the {part} stands still")
            if await asyncio.to_thread(self._may_write):
                return True
            os.kill(pid, signal.SIGCONT)
            return False

        try:
            await until(stopped, what=f"{part} stopped between two transactions")
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def _may_write(self) -> bool:
        conn = sqlite3.connect(self.data / "database/towpath.db", timeout=0.5, isolation_level=None)
        try:
            conn.execute("BEGIN IMMEDIATE")
            conn.execute("ROLLBACK")
        except sqlite3.OperationalError:
            return False
        else:
            return True
        finally:
            conn.close()

    @asynccontextmanager
    async def another_worker(self) -> AsyncIterator[None]:
        """A second worker beside that of `up`."""
        log = self.data.parent / "worker-2.log"
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "workers", "worker"),
                env={**_clean(), **self.env, "TOWPATH_DATA": str(self.data), "TOWPATH_PORT": str(self.port)},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        place = self.data / "run/services/worker.ready"

        def works() -> bool:
            assert process.returncode is None, f"the second worker ended:\n{log.read_text()}"
            return place.read_text() == str(process.pid)

        try:
            await until(works, seconds=STEP_SECONDS, what="a second worker")
            yield
        finally:
            if process.returncode is None:
                process.terminate()
            await asyncio.wait_for(process.wait(), 10)

    async def lose_power(self) -> None:
        """End everything of this installation at once, apps too, as a machine does that is switched off."""
        await self.stop(signal.SIGKILL)

        def nothing_runs() -> bool:
            running = remains.processes(self.data)
            for pid in running:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return not running

        await until(lambda: asyncio.to_thread(nothing_runs), what="nothing runs")
        (self.data / "run/boot").write_text("another boot")
        for about in (self.data / "run/x").glob("*/about"):  # a command was begun in the boot that it was begun in
            about.write_text(json.dumps(json.loads(about.read_text()) | {"boot": "another boot"}))

    async def kill(self, part: str) -> None:
        """Kill a part without warning and wait until `up` has started it anew."""
        former = self.pid(part)
        os.kill(former, signal.SIGKILL)
        await until(lambda: self.pid(part) != former, what=f"{part} is started again")
        if part == "web":
            await until(self._answers, seconds=60, what="the API answers again")

    async def _answers(self) -> bool:
        async with self.http.get(f"http://127.0.0.1:{self.port}/account") as answer:
            return answer.status != 503

    def clear(self) -> None:
        """End what a failed test left, so that it disturbs no other."""
        for pid in remains.processes(self.data):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def remains(self) -> list[str]:
        """What of the server or its apps is on the machine, whatever it goes by."""
        return remains.of_all(self.data)

    # Looking and acting

    @property
    def token(self) -> str:
        """The API token that `up` made."""
        return str(json.loads((self.data / "ready.json").read_text())["api_token"])

    async def api(self, method: str, path: str, body: Any = None, *, status: int | None = None) -> Any:
        """Ask the API; without `status` any success will do."""
        headers = {"Authorization": f"Bearer {self.token}", "Accept": "application/vnd.heroku+json; version=3"}
        url = f"http://127.0.0.1:{self.port}{path}"
        async with self.http.request(method, url, json=body, headers=headers) as answer:
            text = await answer.text()
            right = answer.status < 300 if status is None else answer.status == status
            assert right, f"{method} {path}: {answer.status} {text}"
            return json.loads(text) if text else None

    async def cli(self, *args: str) -> str:
        """Do what a person does: run the command; returns what it answered."""
        return (await self._cli(*args))[0]

    async def cli_says(self, *args: str) -> str:
        """The same with what it said beside the answer: hints and warnings."""
        return "".join(await self._cli(*args))

    async def cli_fails(self, *args: str) -> str:
        """Do what cannot be done; returns all that was said about it."""
        out, err = await self._cli(*args, fails=True)
        return out + err

    async def cli_ends(self, *args: str) -> str:
        """Do what may find something amiss or not; returns all that was said."""
        out, err = await self._cli(*args, fails=None)
        return out + err

    async def _cli(self, *args: str, fails: bool | None = False) -> tuple[str, str]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "service.cli.main", *args),
            env={**_clean(), "TOWPATH_DATA": str(self.data), "TOWPATH_PROFILE": "local", "NO_COLOR": "1"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        what = f"towpath {' '.join(args)}: {process.returncode} {err.decode()}"
        assert fails is None or bool(process.returncode) is fails, what
        return out.decode(), err.decode()

    async def page(self, app: str, path: str = "/") -> str:
        """What an app answers, or `HTTP <status>` when that is not 200."""
        headers = {"Host": f"{app}.localhost:{self.port}"}
        try:
            async with self.http.get(f"http://127.0.0.1:{self.port}{path}", headers=headers) as answer:
                return await answer.text() if answer.status == 200 else f"HTTP {answer.status}"
        except aiohttp.ClientError as error:
            return f"no answer: {error!r}"

    async def says(self, app: str, text: str, *, path: str = "/", seconds: float = STEP_SECONDS) -> str:
        """Wait until the app's page has the text."""
        seen = ""

        async def look() -> bool:
            nonlocal seen
            seen = await self.page(app, path)
            return text in seen

        try:
            await until(look, seconds=seconds)
        except AssertionError:
            raise AssertionError(f"{app} does not say {text!r} but {seen!r}\n{await self.trail(app)}") from None
        return seen

    async def trail(self, app: str) -> str:
        """What happened to an app, for the message of a test that fails."""
        with suppress(AssertionError):
            listed = await self.api("GET", f"/apps/{app}/requests")
            return "\n".join(json.dumps(each) for each in listed)
        return f"{app} is not listed"

    async def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Read the database, the embedded one or that which the installation was given."""
        if url := self.env.get("TOWPATH_DATABASE_URL"):
            return await _rows_of_postgresql(url, sql, values)

        def read() -> list[tuple[Any, ...]]:
            conn = sqlite3.connect(f"file:{self.data}/database/towpath.db?mode=ro", uri=True)
            try:
                return conn.execute(sql, values).fetchall()
            finally:
                conn.close()

        return await asyncio.to_thread(read)

    def redis(self) -> Redis:
        """A client of the embedded Redis; close it."""
        return Redis(unix_socket_path=str(self.data / "run/services/redis.sock"))

    # Making things

    def name(self, base: str) -> str:
        """A name that nothing else in this installation has."""
        self.made += 1
        return f"{base}{self.made}"

    async def pipeline(
        self,
        base: str = "walk",
        *,
        files: Mapping[str, str] | None = None,
        automatic: bool = True,
        auto_deploy: bool = False,
        wait_for_ci: bool = False,
        review: Mapping[str, Any] | None = None,
        private: bool = False,
    ) -> Pipeline:
        """A repository (default branch master) with a pipeline of two apps; review apps are on."""
        name = self.name(base)
        repo = await self.github.create_repo(
            f"acme/{name}", files=files or quick("first"), default_branch="master", private=private
        )
        staging, production = f"{name}-staging", f"{name}-prod"
        made = await self.api("POST", "/pipelines", {"name": name})
        for app, stage in ((staging, "staging"), (production, "production")):
            await self.api("POST", "/apps", {"name": app})
            await self.api("POST", "/pipeline-couplings", {"app": app, "pipeline": made["id"], "stage": stage})
        await self.api("POST", f"/pipelines/{made['id']}/repository", {"repository": repo.full_name})
        config = {"automatic_review_apps": automatic, **(review or {})}
        await self.api("POST", f"/pipelines/{made['id']}/review-app-config", config)
        if auto_deploy:
            switches = {"auto_deploy": True, "wait_for_ci": wait_for_ci, "branch": "master"}
            await self.api("PATCH", f"/apps/{staging}/github", switches)
        return Pipeline(name=name, id=made["id"], repo=repo, staging=staging, production=production)

    async def review(self, pipeline: Pipeline, number: int) -> Any:
        """A pull request's review app as it is listed, or None."""
        listed = await self.api("GET", f"/pipelines/{pipeline.id}/review-apps")
        return next((each for each in listed if each["pr_number"] == number), None)

    async def review_is(self, pipeline: Pipeline, number: int, state: str) -> Any:
        """Wait until a pull request's review app has the state."""
        seen: Any = None

        async def look() -> Any:
            nonlocal seen
            seen = await self.review(pipeline, number)
            return seen if seen is not None and seen["state"] == state else None

        try:
            return await until(look, seconds=STEP_SECONDS)
        except AssertionError:
            raise AssertionError(f"the review app of #{number} is not {state} but {seen}") from None

    # What GitHub shows

    def check(self, pipeline: Pipeline, sha: str) -> Any:
        """Our check run on a commit; there is never more than one."""
        runs = self.github.reported(pipeline.repo)["check_runs"]
        found = [each for each in runs if each["head_sha"] == sha and each["name"] == f"towpath/{pipeline.name}"]
        assert len(found) <= 1, found
        return found[0] if found else None

    async def check_is(self, pipeline: Pipeline, sha: str, conclusion: str) -> Any:
        """Wait until our check on a commit is complete with the conclusion."""

        def look() -> Any:
            found = self.check(pipeline, sha)
            return found if found is not None and found["conclusion"] == conclusion else None

        what = f"check {conclusion} on {sha[:7]}"
        try:
            return await until(look, seconds=STEP_SECONDS, what=what)
        except AssertionError:
            raise AssertionError(f"not seen: {what}, but {self.check(pipeline, sha)}") from None

    def deployments(self, pipeline: Pipeline, app: str) -> list[str]:
        """The states of an app's GitHub deployments, oldest first."""
        shown = self.github.reported(pipeline.repo)["deployments"]
        return [each["state"] for each in shown if each["environment"] == f"{pipeline.name}/{app}"]

    async def deployments_are(self, pipeline: Pipeline, app: str, *states: str) -> None:
        """Wait until an app's GitHub deployments have these states, oldest first."""
        try:
            await until(lambda: self.deployments(pipeline, app) == list(states), seconds=STEP_SECONDS)
        except AssertionError:
            seen = self.deployments(pipeline, app)
            raise AssertionError(f"deployments of {app} are {seen}, not {list(states)}") from None


def _clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("TOWPATH_")}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def staged(
    runtimes: Path,
    env: Mapping[str, str] | Callable[[GitHub], Mapping[str, str]] | None = None,
    *,
    disk: Callable[[Path], AbstractContextManager[None]] = nullcontext,
    github: Callable[[Path], AbstractAsyncContextManager[GitHub]] = held_to_contract,
) -> AsyncIterator[Stage]:
    """Run an installation with its GitHub, its data directory prepared by `disk`; at the end nothing may be left."""
    place = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="tp-", dir="/tmp"))
    place.chmod(0o755)
    data = place / "d"
    data.mkdir()
    # The interpreters take ten seconds to copy; they are made once and linked into each installation.
    await asyncio.to_thread(shutil.copytree, runtimes, data / "work/runtimes", symlinks=True, copy_function=os.link)
    async with github(place / "github") as sim, aiohttp.ClientSession() as http:
        port = _free_port()
        sim.webhook_url = f"http://127.0.0.1:{port}/github/webhooks"
        full = {**QUICK, **known_as(sim, place), **(env(sim) if callable(env) else env or {})}
        stage = Stage(data=data, port=port, github=sim, http=http, env=full)
        with disk(data):
            try:
                await stage.start()
                yield stage
            finally:
                await stage.stop()
    left = await asyncio.to_thread(stage.remains)
    await asyncio.to_thread(stage.clear)
    assert not left, f"{left}\n{(place / 'up.log').read_text()[-3000:]}"
    if os.environ.get("TOWPATH_TEST_KEEP") != "1":
        await asyncio.to_thread(shutil.rmtree, place, ignore_errors=True)


async def _rows_of_postgresql(url: str, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    numbers = itertools.count(1)
    connection = await asyncpg.connect(url)
    try:
        found = await connection.fetch(re.sub(r"\?", lambda _: f"${next(numbers)}", sql), *values)
    finally:
        await connection.close()
    return [tuple(row) for row in found]


def _states(pid: int) -> set[str]:
    """In which states the threads of a process are, as in proc(5): the letter after the name in parentheses."""
    states = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            states.add((task / "stat").read_text().rpartition(")")[2].split()[0])
    return states
