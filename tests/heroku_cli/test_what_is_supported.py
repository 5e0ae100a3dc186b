"""Each of the command line's commands is exercised here, or the README says why it cannot be had."""

import ast
import re
from fnmatch import fnmatchcase
from pathlib import Path

from tests.heroku_cli.heroku import PROGRAM
from tests.heroku_cli.person import section

HERE = Path(__file__).parent
# What asks no server for anything, and works as it always does.
AT_HOME = ("autocomplete", "autocomplete:*", "local", "local:*", "mcp:start", "repl", "version:info", "git:credentials")
# What is not said yet whether it can be had.
OPEN = ("git:clone", "config:edit")


def commands() -> set[str]:
    """All that the command line has, as its package is laid out."""
    place = PROGRAM.parents[1] / "dist/commands"
    names = (str(path.relative_to(place).with_suffix("")).replace("/", ":") for path in place.rglob("*.js"))
    return {name.removesuffix(":index") for name in names}


def exercised(known: set[str]) -> set[str]:
    """Those that a test of this directory runs: the first word of a call, or of a row of a table."""
    found = set()
    for path in HERE.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            words = node.args if isinstance(node, ast.Call) else node.elts if isinstance(node, ast.Tuple) else []
            if words and isinstance(words[0], ast.Constant) and words[0].value in known:
                found.add(words[0].value)
    return found


def refused() -> list[str]:
    """Those that the README's table names, some with a star for all of a topic."""
    rows = [line.split("|") for line in section().splitlines() if line.startswith("| `")]
    assert all(row[2].strip() for row in rows)
    return [name for row in rows for name in re.findall(r"`([a-z0-9:*-]+)`", row[1])]


def any_of(name: str, patterns: tuple[str, ...] | list[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def test_every_command_is_exercised_or_the_readme_says_why_not(program: Path) -> None:
    known, patterns = commands(), refused()
    tried = exercised(known)
    assert len(known) > 300
    assert sorted(name for name in known - tried if not any_of(name, (*patterns, *AT_HOME, *OPEN))) == []
    assert sorted(pattern for pattern in patterns if not any(fnmatchcase(name, pattern) for name in known)) == []
