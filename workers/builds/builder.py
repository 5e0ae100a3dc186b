"""A commit becomes a slug: export, compile in the sandbox, read the process types, pack.

Every step can be repeated after a kill: a build's work lies in `data/builds/NAME`, what is complete there is not done
again, and the sandbox re-attaches to a compile that still runs. Builds see no config of the app unless it is named as
build config, so equal trees give equal slugs.
"""

import asyncio
import hashlib
import json
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import structlog

from service.domain.build_config import NEVER
from service.domain.errors import Refused
from service.domain.manifest import parse_procfile
from service.domain.model import Sha, Trust
from service.store.redaction import Redactor
from workers.builds import buildpack, foreign, packed, runtimes
from workers.builds.buildpack import Buildpack
from workers.builds.cache import CacheStore
from workers.builds.files import drop_ignored, raise_if_full, read_regular, scatter
from workers.builds.processes import delete_tree
from workers.builds.slug import Blob, SlugStore
from workers.builds.source import Origin, Source
from workers.builds.tail import Tail
from workers.platforms.base import Bind, Limits, Log, Network, SandboxRun, SandboxRunner

log = structlog.get_logger()

TIMED_OUT = 124
KILLED = 128
INTERRUPTED = 75
CACHES_UNUSED = timedelta(days=30)
BUILD_LIMITS = Limits(memory_mb=2048, cpus=2.0, pids=1024, disk_mb=4096)

_BUILDER = 1
"""To be raised when the same files, buildpacks and runtimes come to give another slug."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,255}")
_BUILDPACKS = "/opt/towpath/buildpacks"
_FETCHED = "/opt/towpath/fetched"


class BuildFailed(Refused):
    """The app cannot be built, and the log of the build ends with the cause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to build. `name` is the build's id; builds with equal `cache_key` and `trust` share their caches.

    One `from_nothing` takes none of them and leaves the only one.
    `buildpacks` come from `buildpack.resolve`; none means that ours are tried in order.
    """

    name: str
    repository_id: Origin
    sha: Sha
    root: str
    trust: Trust
    stack: str
    cache_key: str
    buildpacks: tuple[Buildpack, ...] = ()
    build_config: Mapping[str, str] = field(default_factory=dict, repr=False)
    from_nothing: bool = False
    network: Network = Network.INDEXES
    seconds: float = 900.0
    limits: Limits = BUILD_LIMITS


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltSlug:
    """What came of it. Not `locked` means that the same files may give something else another day."""

    sha256: str
    size: int
    process_types: Mapping[str, str]
    buildpacks: tuple[str, ...]
    stack: str
    locked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What builds are made with. The platform tells a build where packages come from; `environment` adds to it."""

    data: Path
    source: Source
    slugs: SlugStore
    caches: CacheStore
    sandbox: SandboxRunner
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def arrivals(self) -> Path:
        """Where packed sources are while they are built, by the names of their builds."""
        return self.data / "arrivals"

    def bench(self, name: str) -> "Bench":
        """Return the work directory of a build."""
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot name a build")
        return Bench(directory=self.data / "builds" / name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """The work directory of one build."""

    directory: Path

    @property
    def app(self) -> Path:
        """The tree that becomes the slug."""
        return self.directory / "app"

    @property
    def cache(self) -> Path:
        """The cache while it is taken."""
        return self.directory / "cache"

    @property
    def config(self) -> Path:
        """One file per variable that the build may see."""
        return self.directory / "env"

    @property
    def out(self) -> Path:
        """What the driver of the buildpacks answers."""
        return self.directory / "out"

    @property
    def buildpacks(self) -> Path:
        """Fetched buildpacks."""
        return self.directory / "buildpacks"

    @property
    def ready(self) -> Path:
        """Exists once everything is there for the sandbox to start, and says for what."""
        return self.directory / "ready"


def build_key(
    *,
    repository_id: Origin,
    tree: str,
    stack: str,
    buildpacks: Sequence[Buildpack],
    build_config: Mapping[str, str],
    trust: Trust,
) -> str:
    """Name everything a slug follows from: equal keys need one build."""
    used = buildpacks or buildpack.candidates()
    words = {
        "repository": repository_id,
        "tree": tree,
        "stack": stack,
        "builder": [_BUILDER, buildpack.driver_version()],
        "runtimes": runtimes.shipped(),
        "buildpacks": [[each.url or each.name.rpartition("/")[2], each.version] for each in used],
        "detected": not buildpacks,
        "config": dict(build_config),
        "trust": trust.value,
    }
    return hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()


async def build(order: Order, *, workshop: Workshop, log: Log) -> BuiltSlug:
    """Make the slug, or raise `Refused` with the cause in the user's words. The commit must have been fetched."""
    bench = workshop.bench(order.name)
    try:
        built = await _build(order, bench, workshop, log)
    except Refused:
        await _put_away(order, bench, workshop)
        raise
    except OSError as error:
        await _put_away(order, bench, workshop)
        raise_if_full(error)
        raise
    await _put_away(order, bench, workshop)
    return built


def work_name(build_id: str) -> str:
    """Name a build's work directory and sandbox."""
    return f"build-{build_id}"


async def _build(order: Order, bench: Bench, workshop: Workshop, log: Log) -> BuiltSlug:
    # Without its tree a build was killed after packing; it starts over and comes to the same slug.
    if not await asyncio.to_thread(lambda: bench.app.exists() and _prepared_for(bench) == _mark(order)):
        await _prepare(order, bench, workshop, log)
    tail = Tail(log=log, redactor=Redactor(order.build_config.values()))
    code = await workshop.sandbox.sandboxed(order.name, _run(order, bench, workshop), log=tail)
    if code == INTERRUPTED:
        await _prepare(order, bench, workshop, log)
        code = await workshop.sandbox.sandboxed(order.name, _run(order, bench, workshop), log=tail)
    await _check(code, order, bench, tail)
    return await _finish(order, bench, workshop, log)


async def discard(name: str, *, workshop: Workshop) -> None:
    """End a build if it still goes and delete its work; unknown names are fine."""
    await workshop.sandbox.forget(name)
    await asyncio.to_thread(delete_tree, workshop.bench(name).directory)


async def sweep(workshop: Workshop, *, alive: Collection[str]) -> None:
    """Clear away what builds left that will not be taken up again: everything not named in `alive`."""
    builds = workshop.data / "builds"
    for directory in sorted(builds.iterdir()) if builds.is_dir() else ():
        if directory.name not in alive:
            await discard(directory.name, workshop=workshop)
            log.info("dead build swept", build=directory.name)
    await asyncio.to_thread(packed.tidy, workshop.arrivals, alive=alive)
    await workshop.slugs.tidy()
    await workshop.caches.tidy(unused=CACHES_UNUSED)


async def _prepare(order: Order, bench: Bench, workshop: Workshop, log: Log) -> None:
    await discard(order.name, workshop=workshop)
    await log.write(f"-----> Building on the {order.stack} stack\n")
    await runtimes.ensure(workshop.data)
    await asyncio.to_thread(_lay_out, bench, order.build_config)
    await workshop.source.export(order.repository_id, order.sha, bench.app, trust=order.trust, root=order.root)
    for warning in await asyncio.to_thread(_check_and_trim, bench.app):
        await log.write(f" !     {warning}\n")
    for number, each in enumerate(order.buildpacks):
        if each.url:
            where, source = bench.buildpacks / str(number), workshop.source
            await foreign.clone(f"{each.url}#{each.version}", where, git=source.git, seconds=source.fetch_seconds)
    if order.from_nothing:
        await asyncio.to_thread(bench.cache.mkdir)
    else:
        await workshop.caches.take(order.cache_key, trust=order.trust, to=bench.cache)
    await asyncio.to_thread(bench.ready.write_text, _mark(order))


def _mark(order: Order) -> str:
    """Digest what a build was prepared with and may have changed when a successor takes it up."""
    words = [dict(order.build_config), [[each.name, each.version] for each in order.buildpacks]]
    return hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()


def _prepared_for(bench: Bench) -> str | None:
    try:
        return bench.ready.read_text()
    except FileNotFoundError:
        return None


def _lay_out(bench: Bench, config: Mapping[str, str]) -> None:
    bench.directory.parent.mkdir(parents=True, exist_ok=True)
    scatter(bench.directory.parent)
    for directory in (bench.config, bench.out, bench.buildpacks):
        directory.mkdir(parents=True)
    for name, value in config.items():
        if _VARIABLE.fullmatch(name) and name not in NEVER:
            (bench.config / name).write_text(value)


def _check_and_trim(app: Path) -> list[str]:
    """Refuse at once what would be refused after minutes of compiling; return what will surprise people."""
    _procfile(app)
    read_regular(app, "app.json")
    drop_ignored(app)
    warnings = []
    if os.path.lexists(app / ".gitmodules"):
        warnings.append("Git submodules are not fetched: their directories are empty here.")
    if "filter=lfs" in (_attributes(app)):
        warnings.append("Git LFS is not supported: its files are pointers here, not their content.")
    return warnings


def _attributes(app: Path) -> str:
    """Read .gitattributes, which nothing depends on here: one that is odd in any way says nothing."""
    try:
        return read_regular(app, ".gitattributes") or ""
    except Refused:
        return ""


def _procfile(app: Path) -> dict[str, str]:
    text = read_regular(app, "Procfile")
    return parse_procfile(text) if text is not None else {}


async def _check(code: int, order: Order, bench: Bench, tail: Tail) -> None:
    if code == TIMED_OUT or code > KILLED:
        # Stopped anywhere, or larger than the next build may be: not to be handed on.
        await asyncio.to_thread(delete_tree, bench.cache)
    if code == TIMED_OUT:
        raise Refused(f"the build took longer than {order.seconds / 60:.0f} minutes and was ended")
    if code:
        raise BuildFailed(f"the build failed: {tail.cause() or f'exit code {code}; see its log'}")


def _run(order: Order, bench: Bench, workshop: Workshop) -> SandboxRun:
    used = order.buildpacks or buildpack.candidates()
    # Directories only: a sandbox of another user cannot be shown a single file in a home directory.
    binds = (
        Bind(host=bench.app, inside="/app", writable=True),
        Bind(host=bench.cache, inside="/cache", writable=True),
        Bind(host=bench.out, inside="/out", writable=True),
        Bind(host=bench.config, inside="/env"),
        Bind(host=buildpack.DIRECTORY, inside=_BUILDPACKS),
        Bind(host=bench.buildpacks, inside=_FETCHED),
        Bind(host=workshop.data / "runtimes", inside=runtimes.MOUNT),
    )
    places = [
        f"{each.name}={_FETCHED}/{number}" if each.url else f"{each.name}={_BUILDPACKS}/{each.directory.name}"
        for number, each in enumerate(used)
    ]
    mode = "all" if order.buildpacks else "detect"
    return SandboxRun(
        trust=order.trust,
        argv=("/bin/bash", f"{_BUILDPACKS}/{buildpack.DRIVER.name}", mode, *places),
        env={
            **workshop.environment,
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/tmp/home",  # noqa: S108  (inside the sandbox; /app would collect dotfiles into the slug)
            "LANG": "C.UTF-8",
            "STACK": order.stack,
        },
        binds=binds,
        cwd="/app",
        network=order.network,
        limits=order.limits,
        seconds=order.seconds,
    )


async def _finish(order: Order, bench: Bench, workshop: Workshop, log: Log) -> BuiltSlug:
    await asyncio.to_thread(_open, bench)
    names, defaults = await asyncio.to_thread(_answers, bench.out, order.buildpacks or buildpack.candidates())
    declared = await asyncio.to_thread(_procfile, bench.app)
    await log.write("-----> Discovering process types\n")
    for title, types in (("Procfile declares types", declared), ("Default types", defaults)):
        if types or title.startswith("Procfile"):
            await log.write(f"       {title} -> {', '.join(types) or '(none)'}\n")
    await log.write("-----> Compressing...\n")
    blob: Blob = await workshop.slugs.add(bench.app, trust=order.trust)
    await log.write(f"       Done: {blob.size / 2**20:.1f}M\n")
    ours_only = all(not each.url for each in order.buildpacks)
    return BuiltSlug(
        sha256=blob.sha256,
        size=blob.size,
        process_types={**defaults, **declared},
        buildpacks=names,
        stack=order.stack,
        locked=ours_only and not (bench.out / "unlocked").exists(),
    )


def _open(bench: Bench) -> None:
    """Make readable what the build could close; what lies in it is read or packed with care anyway."""
    for directory in (bench.app, bench.out):
        directory.chmod(0o755)


def _answers(out: Path, used: Sequence[Buildpack]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the buildpacks that built and the default process types of the last one."""
    said = (read_regular(out, "buildpacks") or "").splitlines()
    names = tuple(each.name for each in used if each.name in said)
    release = read_regular(out, f"release.{len(names) - 1}") if names else None
    return names, buildpack.default_process_types(release or "")


async def _put_away(order: Order, bench: Bench, workshop: Workshop) -> None:
    """Keep the cache, also of a failed build: our buildpacks change it only by renaming, so it is whole."""
    kept = workshop.caches
    await kept.give_back(order.cache_key, bench.cache, trust=order.trust, alone=order.from_nothing)
    await discard(order.name, workshop=workshop)
