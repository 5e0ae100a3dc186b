import asyncio
import concurrent.futures.thread  # noqa: F401  (asyncio imports it when it is first used, which `ordinary` could not)
import functools
import http.server
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from service.domain.model import Sha, Trust
from tests.builds.repositories import Repository, wheel
from tests.builds.sandbox import BwrapRunner
from workers.builds import runtimes
from workers.builds.builder import BuiltSlug, Order, Workshop, build
from workers.builds.cache import CacheStore
from workers.builds.git import Git
from workers.builds.slug import SlugStore
from workers.builds.source import Remote, Source
from workers.builds.stack import stack
from workers.platforms.base import Bind, Limits, Network, SandboxRun

REPOSITORY = 7
NOBODY = 65534
KIT: dict[str, str | bytes] = {
    "INFO/entry_points.txt": "[console_scripts]\nkit = kit.command:main\n",
    "kit/command.py": "import kit\n\n\ndef main():\n    print('kit', kit.VERSION, kit.FROM_PTH)\n",
    "kit/data.txt": "first",
    "kit/western.py": "# coding: cp1252\nclass Codec:\n    encode = decode = '\u20ac'\n".encode("cp1252"),
    "kit/template.py": "this is {{ no }} Python\n",
    "kit.pth": "import kit; kit.FROM_PTH = 'found'\n",
    "space/kit.py": "HERE = 'kit'\n",
    "DATA/data/share/kit/page.html": "<p>",
}
ONLY_IN_THE_FIRST: dict[str, str | bytes] = {
    "kit/gone.py": "GONE = True\n",
    "kit/gone/inner.py": "GONE = True\n",
    "old_kit.py": "GONE = True\n",
}


@dataclass(slots=True)
class Lines:
    """A log that keeps everything."""

    text: str = ""

    async def write(self, text: str) -> None:
        self.text += text


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def index(tmp_path: Path) -> Iterator[str]:
    """A package index on loopback: two versions of `tiny` and `kit`, `needy`, which needs `tiny`, a `twin` of `kit`, no Django."""
    root = tmp_path / "index"
    packages = {
        ("tiny", "1.0"): wheel("tiny", "1.0"),
        ("tiny", "2.0"): wheel("tiny", "2.0"),
        ("kit", "1.0"): wheel("kit", "1.0", module="kit/__init__.py", more=KIT | ONLY_IN_THE_FIRST),
        ("kit", "2.0"): wheel("kit", "2.0", module="kit/__init__.py", more=KIT | {"kit/data.txt": "second"}),
        ("needy", "1.0"): wheel("needy", "1.0", needs="tiny", more={"space/needy.py": "HERE = 'needy'\n"}),
        ("twin", "1.0"): wheel("twin", "1.0", more={"space/kit.py": KIT["space/kit.py"]}),
        ("django", "5.0"): wheel("django", "5.0", module="django/core/__init__.py"),
    }
    for (name, version), content in packages.items():
        place = root / "simple" / name
        place.mkdir(parents=True, exist_ok=True)
        file = f"{name}-{version}-py3-none-any.whl"
        (place / file).write_bytes(content)
        with (place / "index.html").open("a") as page:
            page.write(f'<a href="{file}">{file}</a>')
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(root)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/simple"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def ordinary(short_tmp: Path) -> Iterator[Path]:
    """A directory to work in as an ordinary user, whom closed folders stop."""
    if os.geteuid():
        yield short_tmp
        return
    os.chown(short_tmp, NOBODY, NOBODY)
    os.seteuid(NOBODY)
    try:
        yield short_tmp
    finally:
        os.seteuid(0)


@pytest.fixture(scope="session")
def runtime_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("data directory")
    asyncio.run(runtimes.ensure(data))
    return data


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source(data=tmp_path / "data", git=Git(protocols=("file",)))


@pytest.fixture
def remote(repository: Repository) -> Remote:
    return Remote(repository_id=REPOSITORY, url=repository.url)


@dataclass(slots=True, kw_only=True)
class Site:
    """Everything a build needs, with one repository."""

    repository: Repository
    workshop: Workshop
    sandbox: BwrapRunner
    log: Lines = field(default_factory=Lines)
    built: int = 0

    async def order(self, sha: Sha, **changes: object) -> Order:
        trust = changes.get("trust", Trust.OWN)
        assert isinstance(trust, Trust)
        remote = Remote(repository_id=REPOSITORY, url=self.repository.url)
        await self.workshop.source.fetch(remote, sha, trust=trust)
        self.built += 1
        order = Order(
            name=f"build-{self.built}",
            repository_id=REPOSITORY,
            sha=sha,
            root="",
            trust=Trust.OWN,
            stack=stack(),
            cache_key="pipeline-1",
        )
        return replace(order, **changes)  # type: ignore[arg-type]

    async def build(self, sha: Sha, **changes: object) -> BuiltSlug:
        self.log = Lines()
        return await build(await self.order(sha, **changes), workshop=self.workshop, log=self.log)

    async def slug(self, built: BuiltSlug) -> Path:
        return await self.workshop.slugs.unpacked(Trust.OWN, built.sha256)

    async def run(self, built: BuiltSlug, command: str, **env: str) -> str:
        """What `command` prints where an app runs: the slug at /app, the runtimes mounted, nothing else."""
        run = SandboxRun(
            trust=Trust.OWN,
            argv=("/bin/bash", "-c", f"for f in .profile.d/*.sh; do [ -f $f ] && . $f; done; {command}"),
            env={"PATH": "/usr/bin:/bin", "HOME": "/app", **env},
            binds=(
                Bind(host=await self.slug(built), inside="/app"),
                Bind(host=self.workshop.data / "runtimes", inside=runtimes.MOUNT),
            ),
            cwd="/app",
            network=Network.NONE,
            limits=Limits(),
        )
        log = Lines()
        await self.sandbox.sandboxed(f"run-{command}", run, log=log)
        await self.sandbox.forget(f"run-{command}")
        return log.text.strip()


@pytest.fixture
def site(tmp_path: Path, repository: Repository, source: Source, index: str, runtime_data: Path) -> Site:
    sandbox = BwrapRunner()
    data = tmp_path / "data"
    data.mkdir()
    (data / "runtimes").symlink_to(runtime_data / "runtimes")
    workshop = Workshop(
        data=data,
        source=source,
        slugs=SlugStore(data=data),
        caches=CacheStore(data=data),
        sandbox=sandbox,
        environment={"UV_DEFAULT_INDEX": index},
    )
    return Site(repository=repository, workshop=workshop, sandbox=sandbox)
