"""`towpath up`: the whole service on one machine, as processes under one supervisor.

Apps are not its children: they live under the runner's shims and outlast a restart of anything here. When `up` itself
is told to stop, it takes the apps with it; after a SIGKILL the next `up` takes over what still runs.
"""

import asyncio
import fcntl
import json
import os
import signal
import socket
import sys
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service import strays
from service.cli import services
from service.cli.parts import CannotStart, Part, parts
from service.cli.starting import Told, kept_secret, listen, run_step, unless_told
from service.settings import Settings

READY_SECONDS = 60.0
FIRST_SECONDS = 120.0
"""What a first start may take longer: it copies interpreters, on a slow disk too."""
STOP_SECONDS = 3.5
"""How long a part may take to end: router and web drain 2.5 s, then apps get 4 s, and all of it stays within 10 s."""
BACK_OFF_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0)
STEADY_SECONDS = 30.0
FIRST_TRIES = 3
"""How often a part may end before everything has been ready once: then it will not start at all."""
SOCKET_PATH_MOST = 107
RUNTIMES = ("python", "node", "uv")


@dataclass(slots=True)
class Supervisor:
    """Keeps the parts running, each started anew when it ends, until told to stop.

    `ready` is what the ready file says besides pids; there is no such file while it is empty.
    """

    settings: Settings
    log_dir: Path
    ready: Mapping[str, str] = field(default_factory=dict)
    serving: bool = False
    broken: str = ""
    pids: dict[str, int] = field(default_factory=dict)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def keep(self, part: Part) -> None:
        """Start a part and keep it running."""
        self.tasks.append(asyncio.create_task(self._keep(part), name=part.name))

    async def _keep(self, part: Part) -> None:
        quick_ends = 0
        while True:
            started = asyncio.get_running_loop().time()
            try:
                ended, cause = f"{part.name} ended with {await self._run(part)}", ""
            except OSError as error:  # a full disk or process table passes
                ended, cause = f"{part.name} could not be started", str(error)
            lasted = asyncio.get_running_loop().time() - started
            quick_ends = 0 if lasted > STEADY_SECONDS else quick_ends + 1
            if not self.serving and quick_ends >= FIRST_TRIES:
                self.broken = f"{part.name} cannot start: {cause or _last_line(self.log_dir / f'{part.name}.log')}"
                return
            pause = BACK_OFF_SECONDS[min(quick_ends, len(BACK_OFF_SECONDS) - 1)]
            _tell(f"{ended}; it is started again")
            await asyncio.sleep(pause)

    async def _run(self, part: Part) -> int:
        """Run the part once, to its end or ours; returns its exit code."""
        with (self.log_dir / f"{part.name}.log").open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *part.argv,
                env=part.env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=part.fds,
                start_new_session=True,
            )
        try:
            self.pids[part.name] = process.pid
            self.write_files()
            return await process.wait()
        except BaseException:
            await _surely(_end(process))
            raise
        finally:
            strays.end(process.pid)

    def write_files(self) -> None:
        """Say which processes run now: for the next `up`, and for whoever reads the ready file."""
        _replace(self.settings.run_dir / "pids.json", self.pids)
        if self.ready:
            _replace(self.settings.data / "ready.json", {**self.ready, "pids": self.pids | {"up": os.getpid()}})

    async def stop(self, *, names: tuple[str, ...] | None = None) -> None:
        """End the parts (or those named), last started first."""
        chosen = [task for task in reversed(self.tasks) if names is None or task.get_name() in names]
        for task in chosen:
            task.cancel()
        await asyncio.gather(*chosen, return_exceptions=True)


def _replace(place: Path, value: object) -> None:
    """Write JSON for its owner alone, at once: somebody may be waiting for the file to read it."""
    new = place.with_suffix(".new")
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)
    new.write_text(json.dumps(value, indent=2) + "\n")
    new.replace(place)


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), f"it wrote nothing; see {log}")


async def _end(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _surely(ending: Coroutine[Any, Any, None]) -> None:
    """Do it to its end although we are told to stop meanwhile: what is half ended would be left behind."""
    task, stopped = asyncio.ensure_future(ending), False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            stopped = True
    if stopped:
        raise asyncio.CancelledError


@contextmanager
def only_one(settings: Settings) -> Iterator[None]:
    """Hold the data directory: a second `up` would end the first one's processes as if they were left over."""
    with (settings.run_dir / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CannotStart(
                f"Towpath runs already with the data in {settings.data}{_running(settings)}. "
                "Stop that one, or name another directory with --data."
            ) from None
        yield


def _running(settings: Settings) -> str:
    """Where the one that runs answers and which process it is, if it has come so far."""
    with suppress(OSError, ValueError, KeyError):
        ready = json.loads((settings.data / "ready.json").read_text())
        return f", at {ready['url']} (process {ready['pids']['up']})"
    return ""


async def up(settings: Settings, env: Mapping[str, str]) -> None:
    """Start everything, say when it is ready, keep it running until SIGTERM or Ctrl-C, then leave nothing behind."""
    if len(str(settings.redis_socket)) > SOCKET_PATH_MOST:
        raise CannotStart(f"The path {settings.data} is too long for sockets in it: name a shorter one with --data.")
    settings.data.mkdir(parents=True, exist_ok=True)
    services.make_directories(settings)
    log_dir = settings.data / "log"
    log_dir.mkdir(exist_ok=True)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with only_one(settings):
        # First of all: the router that a killed `up` left behind still holds the port.
        await clear_former(settings)
        with suppress(Told):
            await _serve(settings, env, listen(settings.port), log_dir, stop)


async def _serve(
    settings: Settings, env: Mapping[str, str], listener: socket.socket, log_dir: Path, stop: asyncio.Event
) -> None:
    secret = settings.github_webhook_secret or kept_secret(settings.data / "webhook.secret")
    ours = {name: value for name, value in env.items() if name != "NOTIFY_SOCKET"}
    full_env = {**ours, "TOWPATH_GITHUB_WEBHOOK_SECRET": secret}
    token_file = settings.data / "api.token"
    token_file.touch(mode=0o600)
    answer, _ = await unless_told(stop, _prepared(settings, full_env, token_file.read_text()))
    prepared = json.loads(answer)
    token = prepared["api_token"]
    _tell(f"GitHub: {_identity(settings, prepared['github_app'])}")
    token_file.write_text(token)
    supervisor = Supervisor(settings=settings, log_dir=log_dir)
    try:
        for part in parts(settings, listener, full_env, confine=await _confinable(settings, full_env)):
            supervisor.keep(part)
        await _ready(settings, supervisor, stop)
        supervisor.serving = True
        if not stop.is_set():
            known = bool(settings.github_app_id or settings.github_token or prepared["github_app"])
            _announce(settings, supervisor, token=token, secret=secret, known=known)
        await stop.wait()
    finally:
        _notify("STOPPING=1")
        supervisor.ready = {}
        (settings.data / "ready.json").unlink(missing_ok=True)
        await supervisor.stop(names=("router", "web", "worker"))
        await supervisor.stop(names=("runner",))
        listener.close()
        await asyncio.gather(supervisor.stop(names=("redis",)), _stop_apps(full_env))
        (settings.run_dir / "pids.json").unlink(missing_ok=True)


async def _prepared(settings: Settings, env: Mapping[str, str], token: str) -> tuple[str, None]:
    return await asyncio.gather(
        run_step((sys.executable, "-m", "service.store", "prepare"), env, token),
        _check_machine(env, weak=settings.allow_weak_isolation),
    )


async def _stop_apps(env: Mapping[str, str]) -> None:
    try:
        await run_step((sys.executable, "-m", "workers", "stop-apps"), env)
    except CannotStart as error:
        _tell(f" !    some apps may run on:\n{error}")


def _identity(settings: Settings, stored: str) -> str:
    """Who Towpath is to GitHub; the environment's App goes before one that was set up, and either before a token."""
    if settings.github_app_id:
        beside = f"; the App {stored} that was set up is not used" if stored else ""
        return f"App {settings.github_app_id}, from TOWPATH_GITHUB_APP_ID{beside}"
    if stored:
        return f"App {stored}, set up by towpath github:setup"
    if settings.github_token:
        return "a token, from TOWPATH_GITHUB_TOKEN"
    return "not connected yet; once Towpath runs, towpath github:setup does it"


async def _confinable(settings: Settings, env: Mapping[str, str]) -> bool:
    """Whether services get users of their own; if they ought to and cannot, that is said."""
    if os.geteuid() != 0:
        return False
    why = await asyncio.to_thread(services.why_not, settings, env)
    if why:
        _tell(f" !    services: they run as root, because they could not be given users of their own: {why}")
    return not why


async def _check_machine(env: Mapping[str, str], *, weak: bool) -> None:
    """Warn of what this machine lacks; raises `CannotStart` for what the settings get wrong."""
    for check in json.loads(await run_step((sys.executable, "-m", "workers", "doctor"), env)):
        if check["fatal"]:
            raise CannotStart(f"{check['name']}: {check['why']}")
        if check.get("weak") and not weak:
            raise CannotStart(
                f"Nothing would separate apps from one another or from Towpath: {check['why'].removeprefix('none: ')}. "
                f"To change that: {check['advice']}. To start all the same: towpath up --allow-weak-isolation"
            )
        if not check["ok"]:
            _tell(f" !    {check['name']}: {check['why']}\n      {check['advice']}")


async def _ready(settings: Settings, supervisor: Supervisor, stop: asyncio.Event) -> None:
    """Wait until the API answers through the router and a worker serves; say what a first start waits for."""
    copied = [name for name in RUNTIMES if not (settings.work_dir / "runtimes" / name).exists()]
    if copied:
        _tell(f"First start: copying what apps run on ({', '.join(copied)}). This takes some seconds.")
    try:
        async with asyncio.timeout(READY_SECONDS + FIRST_SECONDS * bool(copied)):
            while not stop.is_set():
                if supervisor.broken:
                    raise CannotStart(supervisor.broken)
                for name in [name for name in copied if (settings.work_dir / "runtimes" / name).exists()]:
                    copied.remove(name)
                    _tell(f"  {name} is there")
                if await _answers(settings.port) and settings.runner_socket.exists() and _worker_ready(settings):
                    return
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise CannotStart(f"Towpath did not become ready; see the logs in {settings.data / 'log'}") from None


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _worker_ready(settings: Settings) -> bool:
    with suppress(OSError, ValueError):
        pids = json.loads((settings.run_dir / "pids.json").read_text())
        return bool(int(settings.worker_ready.read_text()) == pids.get("worker"))
    return False


async def _answers(port: int) -> bool:
    with suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
        async with asyncio.timeout(2.0):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            line = await reader.readline()
            writer.close()
            return b" 200 " in line
    return False


def _notify(state: str) -> None:
    """Tell systemd, if that has started us (Type=notify)."""
    if address := os.environ.get("NOTIFY_SOCKET"):
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)


def _announce(settings: Settings, supervisor: Supervisor, *, token: str, secret: str, known: bool) -> None:
    supervisor.ready = {
        "url": settings.url,
        "apps_url": f"http://APP.{settings.apps_domain}:{settings.port}",
        "webhook_url": f"{settings.url}/github/webhooks",
        "webhook_secret": secret,
        "api_token": token,
    }
    supervisor.write_files()
    print(f"Towpath is ready: {settings.url}\nIts dashboard, in another terminal: towpath dashboard", flush=True)
    _notify("READY=1")
    if settings.why_pull:
        _tell_of_pulling(settings, known=known)


def _tell_of_pulling(settings: Settings, *, known: bool) -> None:
    """Say how news of GitHub come here without its reaching us."""
    every = f"every {settings.pull_seconds:g} s"
    if known:
        _tell(f"{settings.why_pull}: deliveries are pulled from its API {every}.")
    else:
        _tell(f"{settings.why_pull}: once it is connected (README), deliveries are pulled from its API {every}.")


async def clear_former(settings: Settings) -> None:
    """End what a killed `up` left behind of our own processes; apps and their runner's state are taken over."""
    place = settings.run_dir / "pids.json"
    try:
        former = json.loads(place.read_text())
    except (OSError, ValueError):
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in former.values():
            with suppress(ProcessLookupError):
                if _ours(pid, settings):
                    os.kill(pid, number)
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                while any(_ours(pid, settings) for pid in former.values()):  # noqa: ASYNC110  (nobody tells of it)
                    await asyncio.sleep(0.05)
    for pid in former.values():
        strays.end(pid)


def _ours(pid: int, settings: Settings) -> bool:
    with suppress(OSError):
        return f"TOWPATH_DATA={settings.data}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return False
