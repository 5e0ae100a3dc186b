"""How the code is laid out: sizes, names and who may import what, looked up in the sources themselves."""

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "service/store/migrations/versions"  # what was run once is not written anew
SOURCES = [
    path
    for top in ("service", "workers", "deploy")
    for path in sorted((ROOT / top).rglob("*.py"))
    if not path.is_relative_to(RECORDS)
]
LONGEST_MODULE, LONGEST_FUNCTION = 400, 50
SAYING_NOTHING = ("utils", "util", "helpers", "helper", "common", "manager", "managers", "misc")
AT_THE_TOP = {"pyproject.toml", "README.md", "service", "workers", "tests", "deploy"}
BESIDE = {"Makefile", "CHANGELOG.md", "LICENSE", "THIRD_PARTY.md", ".ci", ".gitignore", "requirements.lock"}
# What can do nothing but compute.
PURE = {
    *("collections", "collections.abc", "dataclasses", "datetime", "enum", "functools", "hashlib", "ipaddress", "itertools"),
    *("json", "math", "re", "typing", "urllib.parse"),
}  # fmt: skip
OF_THE_CLOCK = {"now", "utcnow", "today"}
# Who reads the environment, but for `settings.py`: the command line's own, and what is given to one process alone.
READERS = {
    "service/settings.py",
    "service/cli/profile.py",
    "service/cli/servers.py",
    "service/cli/output.py",
    "service/cli/terminal.py",  # what kind of terminal it is
    "service/cli/up.py",  # NOTIFY_SOCKET of systemd
    "service/cli/commands/heroku.py",  # what it runs has the user's, but for what leads to Heroku
    "service/router/__main__.py",  # the inherited listener
    "service/demo/story.py",
    "service/demo/simulator/git_store.py",
    "service/demo/samples/python/app.py",  # an app
    "workers/platforms/process/runner.py",  # how this machine's pip, uv and npm are set
    "workers/builds/buildpacks/python/compile.py",  # runs in a build
    "workers/builds/buildpacks/static/serve.py",  # runs in an app
}


def of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), of(path))


@cache
def imported(path: Path) -> frozenset[str]:
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found.update(each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return frozenset(found)


def test_no_module_has_more_than_400_lines() -> None:
    sizes = {of(path): len(path.read_text().splitlines()) for path in SOURCES}
    assert {name: size for name, size in sizes.items() if size > LONGEST_MODULE} == {}


def test_no_function_has_more_than_50_lines() -> None:
    functions = {
        f"{of(path)}: {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in SOURCES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: size for name, size in functions.items() if size > LONGEST_FUNCTION} == {}


def test_every_module_says_by_its_name_what_it_is() -> None:
    parts = {(of(path), part) for path in SOURCES for part in path.relative_to(ROOT).with_suffix("").parts}
    assert sorted(name for name, part in parts if part in SAYING_NOTHING) == []


def test_nothing_stands_at_the_top_but_what_belongs_there() -> None:
    kept = {path.name for path in ROOT.iterdir()} - {".git", ".venv", "build", "github-sim"}
    kept = {name for name in kept if not name.endswith(("_cache", ".egg-info")) and name != ".hypothesis"}
    assert kept >= AT_THE_TOP
    assert kept - AT_THE_TOP - BESIDE == set()


def test_the_domain_computes_and_does_nothing_else() -> None:
    for path in (ROOT / "service/domain").glob("*.py"):
        foreign = {name for name in imported(path) if name not in PURE and not name.startswith("service.domain")}
        assert foreign == set(), of(path)
        for node in ast.walk(tree(path)):
            assert not isinstance(node, ast.AsyncFunctionDef | ast.Await), of(path)
            assert not (isinstance(node, ast.Attribute) and node.attr in OF_THE_CLOCK and _is_clock(node)), of(path)
            assert not (isinstance(node, ast.Name) and node.id in {"open", "print", "input"}), of(path)


def _is_clock(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id in {"datetime", "date"}


@pytest.mark.parametrize(
    ("library", "where"),
    [
        ("arq", "service/queue.py|workers/main.py"),
        ("gidgethub", "service/github/transport.py"),
        ("pydantic", r"service/web/api/\w*bodies.py"),
        ("typer", r"service/cli/.*"),
    ],
)
def test_a_library_is_known_where_it_belongs_and_nowhere_else(library: str, where: str) -> None:
    known = [of(path) for path in SOURCES if any(name.partition(".")[0] == library for name in imported(path))]
    assert known
    assert [name for name in known if not re.fullmatch(where, name)] == []


def test_the_environment_is_read_by_few() -> None:
    readers = {of(path) for path in SOURCES if {"environ", "getenv"} & {*_attributes(path)}}
    assert readers - READERS == set()


def _attributes(path: Path) -> Iterator[str]:
    return (node.attr for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute))


def test_only_the_standard_library_is_imported_by_what_runs_in_sandboxes() -> None:
    for path in (ROOT / "workers/builds/buildpacks").rglob("*.py"):
        assert {name.partition(".")[0] for name in imported(path)} <= sys.stdlib_module_names, of(path)
