"""Install a Python app's dependencies with uv into /app/.venv; an unchanged lock file reuses the tree of last time.

A changed one is installed from nothing, and takes over the bytecode of files that came out as they were last time.
Runs inside the sandbox with nothing but the standard library. Everything a person can put right ends in one ` !` line.
"""
# ruff: noqa: INP001, T201  (a program of its own, not a module; what it prints is the build's output)

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
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


def main(here: Path, build: Path, cache: Path, config: Path) -> None:
    """Do the whole of bin/compile."""
    environment = {**os.environ, **build_config(config)}
    lock = lock_file(build)
    version = python_version(build)
    step(f"Using Python {version}")
    named = read_lock(build, lock)
    maker = maker_name(here, version)
    tree = f"{maker}-{tree_name(named.files)}"
    kept = whole(cache, tree) if named.is_all else None
    venv = build / ".venv"
    shutil.rmtree(venv, ignore_errors=True)
    if kept:
        step(f"Reusing dependencies, {lock} has not changed")
        subprocess.run(["tar", "--extract", "--preserve-permissions", "--file", kept, "--directory", build], check=True)
    else:
        python = RUNTIMES / f"python-{version}/bin/python3"
        install(build, cache, lock, named, python, environment)
        add_bytecode(here, python, venv, cache, maker)
        if named.is_all:
            keep(venv, cache, tree)
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


@dataclass
class Named:
    """What a lock file consists of and names, and whether all that is installed follows from that alone."""

    files: list[Path] = field(default_factory=list)
    packages: set[str] = field(default_factory=set)
    is_all: bool = True


def read_lock(build: Path, lock: str) -> Named:
    """Read uv.lock, or requirements.txt with all that it includes."""
    if lock == "uv.lock":
        # What is installed from the app's own directories follows from files that no lock file names.
        own = re.search(r"source = \{ (editable|directory) = ", text_of(build / lock))
        return Named(files=[build / lock, build / "pyproject.toml"], is_all=own is None)
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
            named.packages.add(normal(pinned[1]))
        elif included:
            read_requirements(path.parent / included[1], named)
        elif not HARMLESS.match(line):
            named.is_all = False


def normal(name: str) -> str:
    """Return the one spelling of a package's name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def text_of(path: Path) -> str:
    """Read a text file, or say what is wrong with it."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        refuse(f"{path.name} is not UTF-8 text; PowerShell, for one, writes UTF-16. Save it as UTF-8.")


def maker_name(here: Path, version: str) -> str:
    """Name what made a tree: files of another buildpack, interpreter or system are not mixed with those of this one."""
    digest = hashlib.sha256(f"{version} {os.environ.get('STACK', '')}".encode())
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


def install(build: Path, cache: Path, lock: str, named: Named, python: Path, environment: dict[str, str]) -> None:
    """Make the virtual environment and put everything into it; notes in `named` if that was more than is named."""
    venv = build / ".venv"
    environment = environment | {
        "UV_CACHE_DIR": str(cache / "uv"),
        "UV_LINK_MODE": "copy",
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_PROJECT_ENVIRONMENT": str(venv),
        "UV_NO_PROGRESS": "1",
        "UV_COMPILE_BYTECODE": "0",  # it compiles everything every time
        "VIRTUAL_ENV": str(venv),
    }
    make: list[str | Path] = [UV, "venv", "--quiet", "--clear", "--python", python, venv]
    step(f"Installing dependencies from {lock} with uv")
    run(make, build, environment, "No environment was made.")
    command: list[str | Path] = [UV, "pip", "install", "--requirement", lock]
    if lock == "uv.lock":
        command = [UV, "sync", "--locked", "--no-default-groups", "--python", python]
        run(command, build, environment, f"The dependencies in {lock} could not be installed.")
    # Versions that are named and were fetched before need no question to the index.
    elif not (named.is_all and did([*command, "--offline"], build, environment) and names_all(named, venv)):
        run(make, build, environment, "No environment was made.")
        run(command, build, environment, f"The dependencies in {lock} could not be installed.")
        named.is_all = named.is_all and names_all(named, venv)
    drop_stamps(venv)


def names_all(named: Named, venv: Path) -> bool:
    """Whether everything that is installed is named, whoever asked for it."""
    found = venv.glob("lib/python*/site-packages/*.dist-info")
    return {normal(path.name.removesuffix(".dist-info").rpartition("-")[0]) for path in found} <= named.packages


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


def keep(venv: Path, cache: Path, tree: str) -> None:
    """Store a copy for the next build, whole or not at all, in the place of older ones.

    One file: to write, and to delete later, the thousands that it stands for takes a disk many times longer.
    """
    new, place = cache / "python.new", cache / "python"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    tar = new / "tree"
    subprocess.run(["tar", "--create", "--file", tar, "--directory", venv.parent, venv.name], check=True)
    tar.rename(new / f"{tree}-{tar.stat().st_size}.tar")
    shutil.rmtree(place, ignore_errors=True)
    new.rename(place)


def collect_static(build: Path, venv: Path, environment: dict[str, str]) -> None:
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


def did(command: Sequence[str | Path], cwd: Path, environment: dict[str, str]) -> bool:
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
