"""A real runner in a process of its own, real sandboxes, and a client that reaches apps the way the router does."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from service.domain.errors import Transient
from service.domain.model import Trust
from tests.waiting import until
from workers.platforms.base import AppSpec, Bind, Endpoint, Fence, Network, ProcessSpec, SandboxRun
from workers.platforms.process import health, levels
from workers.platforms.process.driver import ProcessPlatform
from workers.platforms.process.host import NONE
from workers.platforms.process.stopping import label, stop_all

FENCE = Fence(generation=1, token=1)
SERVE = """
import asyncio, sys
from pathlib import Path
from workers.platforms.process.host import Timing
from workers.platforms.process.runner import serve
data = Path(sys.argv[1])
timing = Timing(steady=0.3, drain=0.4, spare=float(sys.argv[2]), backoff=0.05)
weak = sys.argv[3] == "True"
asyncio.run(serve(data, data / "run/runner.sock", timing=timing, hosts=frozenset({"localhost", "index.test"}), weak=weak))
"""
APP = """
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/crash":
            os._exit(9)
        text = (os.environ.get("GREETING", "hello") + "\\n").encode()
        self.send_response(200 if self.path != "/sick" else 500)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    def log_message(self, *args):
        print("served", self.path, flush=True)
print("starting", os.environ.get("GREETING"), flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


@dataclass
class Collected:
    """A log that remembers."""

    text: str = ""

    async def write(self, text: str) -> None:
        self.text += text


@dataclass
class Routes:
    """What go_live was told: the routes of a router."""

    endpoints: Sequence[Endpoint] = ()

    async def go_live(self, endpoints: Sequence[Endpoint]) -> None:
        self.endpoints = endpoints

    async def get(self, path: str = "/") -> str:
        """Fetch from the first endpoint, as the router does: a fresh connected socket, then HTTP."""
        return await fetch(self.endpoints[0], path)


async def fetch(endpoint: Endpoint, path: str = "/") -> str:
    connection = await health.connect(Path(endpoint.address.removeprefix("unix:")))
    if connection is None:
        raise ConnectionRefusedError(endpoint.address)
    reader, writer = await asyncio.open_connection(sock=connection)
    try:
        writer.write(f"GET {path} HTTP/1.0\r\nHost: app\r\n\r\n".encode())
        answer = (await reader.read()).decode()
    finally:
        writer.close()
        await writer.wait_closed()
    if not answer:
        raise ConnectionResetError(endpoint.address)
    return answer.partition("\r\n\r\n")[2].strip()


@dataclass
class Engine:
    """An installation: its data, its runner's process, its driver."""

    data: Path
    spare: float = 180.0
    environment: dict[str, str] = field(default_factory=dict)
    weak: bool = False
    prelude: str = ""  # what the runner's process does first
    process: asyncio.subprocess.Process | None = None

    @property
    def platform(self) -> ProcessPlatform:
        return ProcessPlatform(self.data / "run/runner.sock")

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", self.prelude + SERVE, str(self.data), str(self.spare), str(self.weak)),
            env=dict(os.environ) | self.environment,
        )

        async def answers() -> bool:
            try:
                await self.platform.observe()
            except Transient:
                return False
            return True

        await until(answers, seconds=30, what="the runner answers")

    async def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        assert self.process
        if self.process.returncode is None:
            self.process.send_signal(number)
            await self.process.wait()

    async def restart(self) -> None:
        await self.end()
        await self.start()

    def slug(self, name: str = "slug", app: str = APP) -> Path:
        path = self.data / "work/slugs/own" / name
        path.mkdir(exist_ok=True, parents=True)
        (path / "app.py").write_text(app)
        return path

    def spec(self, release: str = "r1", *, app: str = "app-1", greeting: str = "hello", **changes) -> AppSpec:
        web = ProcessSpec(type="web", command="exec python3 app.py", quantity=1)
        spec = AppSpec(
            app_id=app, app_name=app, release_id=release, version=1, slug_dir=self.slug(),
            config={"GREETING": greeting}, processes=(web,), boot_seconds=20.0, stop_seconds=2.0,
        )  # fmt: skip
        return replace(spec, **changes)

    async def up(self, spec: AppSpec, *, fence: Fence = FENCE) -> Routes:
        routes = Routes()
        await self.platform.apply(spec, fence=fence, log=Collected(), go_live=routes.go_live)
        return routes

    async def run(self, command: str, *, name: str = "one", seconds: float = 30.0, **changes) -> tuple[int, str]:
        log = Collected()
        spec = self.spec(**changes)
        code = await self.platform.run(name, spec, command, fence=FENCE, log=log, seconds=seconds)
        return code, log.text

    async def build(
        self, command: str, *binds: Bind, name: str = "build", network: Network = Network.NONE, seconds: float = 30.0,
        trust: Trust = Trust.OWN,
    ) -> tuple[int, str]:  # fmt: skip
        log = Collected()
        argv = ("/bin/bash", "-c", command)
        run = SandboxRun(trust=trust, argv=argv, env={}, binds=binds, cwd="/", network=network, seconds=seconds)
        code = await self.platform.sandboxed(name, run, log=log)
        return code, log.text

    def processes(self) -> list[Path]:
        """Everything of this installation that runs: shims work in its directories."""
        return [path for path in Path("/proc").iterdir() if path.name.isdigit() and self._mine(path)]

    def _mine(self, process: Path) -> bool:
        try:
            return (process / "cwd").readlink().is_relative_to(self.data)
        except OSError:
            return False

    def groups(self) -> list[str]:
        """The installation's cgroups."""
        # Other installations' groups come and go meanwhile: `os.walk` passes over what is there no more.
        ours = [walked for walked in os.walk("/sys/fs/cgroup") if Path(walked[0]).name == label(self.data)]
        return [f"{place}/{name}" for place, names, _ in ours for name in names]


@pytest.fixture(scope="session")
def level() -> str:
    found = levels.probe()
    if found.name == NONE:
        pytest.skip(f"no sandbox can be started here: {found.why}")
    return found.name


@pytest.fixture
async def engine(short_tmp: Path, level: str) -> AsyncIterator[Engine]:
    made = Engine(data=short_tmp)
    await made.start()
    yield made
    await made.end()
    await stop_all(made.data)
    assert made.processes() == []
    assert made.groups() == []
