"""Install a Python app's dependencies with uv into /app/.venv; an unchanged lock file reuses the tree of last time.

A changed one takes over what the two have in common, with its bytecode: the outcome is that of a new installation.
Runs inside the sandbox with nothing but the standard library. Everything a person can put right ends in one ` !` line.
"""
# ruff: noqa: INP001, T201  (a program of its own, not a module; what it prints is the build's output)
# Every build waits for its imports: dataclasses would be a third of them.

import contextlib
import glob
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn

RUNTIMES = Path("/opt/towpath/runtimes")
UV = RUNTIMES / "uv/uv"
OUT = Path("/out")
INSTEAD = {
    "poetry.lock": "run `poetry export --format requirements.txt --output requirements.txt` and commit it",
    "Pipfile": "run `pipenv requirements > requirements.txt` and commit it",
    "pyproject.toml": "run `uv lock` and commit uv.lock",
    "setup.py": "run `uv pip compile setup.py --output-file requirements.txt` and commit it",
}
PROFILE = """\
export PATH="/app/.venv/bin:$PATH"
export VIRTUAL_ENV=/app/.venv
export PYTHONUNBUFFERED=1
export PYTHONPATH="${PYTHONPATH-/app}"
"""
PINNED = re.compile(r"([\w.-]+)(\[[\w., -]+\])?\s*===?\s*[\w.+!-]+(\s|;|$)")
INCLUDED = re.compile(r"(?:-r|--requirement|-c|--constraint)[ =]*(\S+)")
HARMLESS = re.compile(r"--(require-hashes|index-url|extra-index-url|only-binary|no-binary|prefer-binary)\b")
Version = tuple[int, ...]
Variables = dict[str, str]


def main(here: Path, build: Path, cache: Path, config: Path) -> None:
    """Do the whole of bin/compile."""
    environment = {**os.environ, **build_config(config)}
    lock = lock_file(build)
    version = python_version(build)
    step(f"Using Python {version}")
    named = read_lock(build, lock)
    maker = maker_name(here, build, version)
    tree = f"{maker}-{tree_name(named.files)}"
    kept = whole(cache, tree) if named.is_all else None
    venv = build / ".venv"
    shutil.rmtree(venv, ignore_errors=True)
    if kept:
        step(f"Reusing dependencies, {lock} has not changed")
        unpack(kept, build)
    else:
        python = RUNTIMES / f"python-{version}/bin/python3"
        install(build, cache, lock, named, python, environment, older=whole(cache, maker))
        add_bytecode(here, python, venv, cache, maker)
        if named.is_all:
            keep(venv, cache, tree, named)
    if lock == "requirements.txt" and not named.is_all:
        (OUT / "unlocked").touch()
    (build / ".profile.d").mkdir(exist_ok=True)
    (build / ".profile.d/python.sh").write_text(PROFILE)
    (here / "export").write_text(PROFILE)
    collect_static(build, venv, environment)


def lock_file(build: Path) -> str:
    """Return the name of the file that says what to install."""
    if (build / "uv.lock").is_file() and (build / "pyproject.toml").is_file():
        return "uv.lock"
    if (build / "requirements.txt").is_file():
        return "requirements.txt"
    found = next((name for name in INSTEAD if (build / name).is_file()), "uv.lock")
    advice = INSTEAD.get(found, "commit its pyproject.toml too")
    return refuse(f"{found} alone cannot be installed from; {advice}.")


def python_version(build: Path) -> str:
    """Return the newest available version that fits what the app asks for."""
    available = sorted((path.name.removeprefix("python-") for path in RUNTIMES.glob("python-*")), key=numbers)
    origin, wanted = requested(build)
    fitting = [version for version in available if all(fits(version, part) for part in wanted.split(",") if part)]
    if not fitting:
        shown, there = wanted.removeprefix("=="), ", ".join(available)
        refuse(f"{origin} asks for Python {shown}, which cannot be had here; available: {there}.")
    return fitting[-1]


def requested(build: Path) -> tuple[str, str]:
    """Return where the app asks for a version and which, as comma-separated specifiers."""
    for name in (".python-version", "runtime.txt"):
        if (build / name).is_file():
            lines = [line.strip() for line in text_of(build / name).splitlines()]
            text = next((line for line in lines if line and not line.startswith("#")), "")
            wanted = text.removeprefix("python-").removeprefix("cpython-")
            if not re.fullmatch(r"\d+(\.\d+){0,2}", wanted):
                refuse(f"{name} says {text!r}; write a version such as 3.11.")
            return name, f"=={wanted}" if wanted.count(".") == 2 else f"=={wanted}.*"
    if (build / "pyproject.toml").is_file():
        import tomllib

        try:
            project = tomllib.loads(text_of(build / "pyproject.toml")).get("project", {})
        except tomllib.TOMLDecodeError as error:
            refuse(f"pyproject.toml cannot be read: {error}.")
        if not isinstance(project, dict):
            refuse("pyproject.toml cannot be read: project is not a table.")
        return "pyproject.toml", str(project.get("requires-python", ""))
    return "", ""


def numbers(version: str) -> Version:
    """Return the parts of a version as numbers."""
    return tuple(int(part) for part in re.findall(r"\d+", version))


def fits(version: str, specifier: str) -> bool:
    """Whether `version` satisfies one specifier such as `>=3.10` or `==3.11.*`."""
    found = re.fullmatch(r"\s*(===?|~=|!=|<=?|>=?)?\s*([\d.]+?)(\.\*)?\s*", specifier)
    if found is None:
        refuse(f"The Python version {specifier!r} is not understood.")
    operator, text, wildcard = found.groups()
    have, want = numbers(version), numbers(text)
    same = have[: len(want)] == want if wildcard else have == want
    answers = {
        ">=": have >= want,
        "<=": have <= want,
        ">": have > want,
        "<": have < want,
        "~=": have >= want and have[: len(want) - 1] == want[:-1],
        "!=": not same,
    }
    return answers.get(operator, same)


class Named:
    """What a lock file consists of and names, and whether all that is installed follows from that alone.

    `packages` has the lines about each; `options` are the other lines.
    """

    def __init__(self, *files: Path, is_all: bool = True) -> None:
        self.files = list(files)
        self.packages: dict[str, list[str]] = {}
        self.options: list[str] = []
        self.is_all = is_all


def read_lock(build: Path, lock: str) -> Named:
    """Read uv.lock, or requirements.txt with all that it includes."""
    if lock == "uv.lock":
        # What is installed from the app's own directories follows from files that no lock file names.
        own = re.search(r"source = \{ (editable|directory) = ", text_of(build / lock))
        return Named(build / lock, build / "pyproject.toml", is_all=own is None)
    named = Named()
    read_requirements(build / lock, named)
    return named


def read_requirements(path: Path, named: Named) -> None:
    """Add the requirements of a file; one that does not name a single version leaves something open."""
    if path in named.files:
        return
    if not path.is_file():
        named.is_all = False
        return
    named.files.append(path)
    text = re.sub(r"\\\n", " ", text_of(path))
    for line in filter(None, (re.sub(r"(^|\s)#.*", "", line).strip() for line in text.splitlines())):
        pinned, included = PINNED.match(line), INCLUDED.fullmatch(line)
        if pinned:
            named.packages.setdefault(normal(pinned[1]), []).append(line)
        elif included:
            read_requirements(path.parent / included[1], named)
        else:
            named.options.append(line)
            named.is_all = named.is_all and bool(HARMLESS.match(line))


def normal(name: str) -> str:
    """Return the one spelling of a package's name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def text_of(path: Path) -> str:
    """Read a text file, or say what is wrong with it."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        refuse(f"{path.name} is not UTF-8 text; PowerShell, for one, writes UTF-16. Save it as UTF-8.")


def maker_name(here: Path, build: Path, version: str) -> str:
    """Name what made a tree: files of another buildpack, interpreter, system or place are not mixed with these."""
    digest = hashlib.sha256(f"{version} {os.environ.get('STACK', '')} {build}".encode())
    for name in ("compile.py", "bytecode.py"):
        digest.update((here / name).read_bytes())
    return digest.hexdigest()[:16]


def tree_name(files: Sequence[Path]) -> str:
    """Name an installed tree by all that is to be installed."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"\0{path}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def whole(cache: Path, name: str) -> Path | None:
    """Return the tree that was kept under a name that begins so; one that a crash of the machine cut short is none."""
    kept = next((cache / "python").glob(f"{name}-*.tar"), None)
    return kept if kept and kept.stem.endswith(f"-{kept.stat().st_size}") else None


def install(
    build: Path, cache: Path, lock: str, named: Named, python: Path, env: Variables, older: Path | None
) -> None:
    """Make the virtual environment and put everything into it; notes in `named` if that was more than is named."""
    venv = build / ".venv"
    env = env | {
        "UV_CACHE_DIR": str(cache / "uv"),
        "UV_LINK_MODE": "copy",
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_PROJECT_ENVIRONMENT": str(venv),
        "UV_NO_PROGRESS": "1",
        "UV_COMPILE_BYTECODE": "0",  # it compiles everything every time
        "VIRTUAL_ENV": str(venv),
    }
    make: list[str | Path] = [UV, "venv", "--quiet", "--clear", "--python", python, venv]
    command: list[str | Path] = [UV, "pip", "install", "--requirement", lock]
    if lock == "uv.lock":
        command = [UV, "sync", "--locked", "--no-default-groups", "--python", python]
    step(f"Installing dependencies from {lock} with uv")
    if named.is_all and named.packages:
        grown = older is not None and grow(older, named, build)
        if not grown:
            run(make, build, env, "No environment was made.")
        # Versions that are named and were fetched before need no question to the index.
        did = tried([*command, "--offline"], build, env) or (grown and tried(command, build, env))
        if did and names_all(named, venv):
            return
    run(make, build, env, "No environment was made.")
    run(command, build, env, f"The dependencies in {lock} could not be installed.")
    drop_stamps(venv)
    named.is_all = named.is_all and (lock == "uv.lock" or names_all(named, venv))


def grow(older: Path, named: Named, build: Path) -> bool:
    """Unpack of an older tree what the new one has, too; False if that cannot be told apart file by file."""
    before = Named()
    (build / ".venv").mkdir()
    unpack(older, build)
    read_requirements(older.with_name("lock"), before)
    # Whatever is said otherwise about a package, be it a digest, it is installed anew.
    changed = {name for name, lines in before.packages.items() if named.packages.get(name) != lines}
    if not before.is_all or before.options != named.options:
        return False  # another index may have other files for the same versions
    owned = files_of_packages(build / ".venv")
    everything = [path for paths in owned.values() for path in paths]
    if len(everything) != len(set(everything)):
        return False  # whoever came last has written what several have
    gone = [path for name in changed for path in owned.get(name, ()) if path.startswith(f"{build}/.venv/")]
    remove(gone, build / ".venv")
    return True


def files_of_packages(venv: Path) -> dict[str, list[str]]:
    """Return the paths that installed packages say are theirs."""
    owned: dict[str, list[str]] = {}
    for record in venv.glob("lib/python*/site-packages/*.dist-info/RECORD"):
        site = record.parent.parent
        lines = [line.rsplit(",", 2)[0].strip('"') for line in record.read_text().splitlines()]
        paths = [os.path.normpath(site / line) if ".." in line else f"{site}/{line}" for line in lines]
        owned[package_of(record.parent)] = paths
    return owned


def remove(paths: Iterable[str], venv: Path) -> None:
    """Delete files with their bytecode, and the folders that nothing is left in."""
    folders: set[Path] = set()
    for path in map(Path, paths):
        compiled = path.parent.glob(f"__pycache__/{glob.escape(path.stem)}.*.pyc") if path.suffix == ".py" else ()
        for each in (path, *compiled):
            each.unlink(missing_ok=True)
            folders.update(parent for parent in each.parents if venv in parent.parents)
    for folder in sorted(folders, key=lambda folder: len(folder.parts), reverse=True):
        with contextlib.suppress(OSError):  # in use
            folder.rmdir()


def names_all(named: Named, venv: Path) -> bool:
    """Whether everything that is installed is named, whoever asked for it."""
    return {package_of(path) for path in venv.glob("lib/python*/site-packages/*.dist-info")} <= named.packages.keys()


def package_of(info: Path) -> str:
    """Return the name of the package that metadata belongs to."""
    return normal(info.name.removesuffix(".dist-info").rpartition("-")[0])


def drop_stamps(venv: Path) -> None:
    """Drop the times at which local files were last changed: with them equal sources would give unequal slugs."""
    for stamp in venv.glob("lib/python*/site-packages/*.dist-info/uv_cache.json"):
        stamp.unlink()
        record = stamp.with_name("RECORD")
        lines = record.read_text().splitlines(keepends=True)
        record.write_text("".join(line for line in lines if "/uv_cache.json," not in line))


def add_bytecode(here: Path, python: Path, venv: Path, cache: Path, maker: str) -> None:
    """Compile what is new; what was compiled before lies in one file, in the place of that of another maker."""
    place = cache / "bytecode"
    place.mkdir(exist_ok=True)
    for old in place.iterdir():
        if old.name != maker:
            old.unlink()
    for site in venv.glob("lib/python*/site-packages"):
        command: list[str | Path] = [python, "-I", "-W", "ignore", here / "bytecode.py", site, place / maker]
        run(command, venv, dict(os.environ), "The dependencies could not be compiled.")


def unpack(kept: Path, build: Path) -> None:
    """Put a kept tree in its place."""
    subprocess.run(["tar", "--extract", "--preserve-permissions", "--file", kept, "--directory", build], check=True)


def keep(venv: Path, cache: Path, tree: str, named: Named) -> None:
    """Store a copy for the next build, whole or not at all, in the place of older ones.

    One file: to write, and to delete later, the thousands that it stands for takes a disk many times longer.
    """
    new, place = cache / "python.new", cache / "python"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    tar = new / "tree"
    subprocess.run(["tar", "--create", "--file", tar, "--directory", venv.parent, venv.name], check=True)
    (new / "lock").write_text("\n".join(map(text_of, named.files)))
    tar.rename(new / f"{tree}-{tar.stat().st_size}.tar")
    shutil.rmtree(place, ignore_errors=True)
    new.rename(place)


def collect_static(build: Path, venv: Path, environment: Variables) -> None:
    """Gather a Django project's static files, as Heroku does."""
    django = any(venv.glob("lib/python*/site-packages/django/core"))
    if not (build / "manage.py").is_file() or not django or environment.get("DISABLE_COLLECTSTATIC", "0") != "0":
        return
    step("$ python manage.py collectstatic --noinput")
    run(
        [venv / "bin/python", "manage.py", "collectstatic", "--noinput"],
        build,
        environment | {"PYTHONPATH": str(build), "PYTHONDONTWRITEBYTECODE": "1"},
        "collectstatic failed. Builds see no config vars but those named by `towpath config:build NAME ...`: name what"
        " the settings need, give it a default, or set DISABLE_COLLECTSTATIC=1 and name that.",
    )


def build_config(config: Path) -> dict[str, str]:
    """Return the variables that the build may see, one file each."""
    return {path.name: path.read_text() for path in config.iterdir()} if config.is_dir() else {}


def tried(command: Sequence[str | Path], cwd: Path, environment: Variables) -> bool:
    """Run a command that may fail; only what it says when it succeeds is part of the build's output."""
    done = subprocess.run(command, cwd=cwd, env=environment, check=False, capture_output=True, text=True)
    if not done.returncode:
        print(done.stderr, end="", flush=True)
    return not done.returncode


def run(command: Sequence[str | Path], cwd: Path, environment: dict[str, str], failure: str) -> None:
    """Run a command whose output is part of the build's."""
    sys.stdout.flush()
    if subprocess.run(command, cwd=cwd, env=environment, check=False, stderr=subprocess.STDOUT).returncode:
        refuse(failure)


def step(text: str) -> None:
    """Say what is done now."""
    print(f"-----> {text}", flush=True)


def refuse(text: str) -> NoReturn:
    """End the build with a line for the person who can put it right."""
    print(f" !     {text}", flush=True)
    raise SystemExit(1)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:5]))
