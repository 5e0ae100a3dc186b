"""Each of the command line's commands is exercised here, or the README says why it cannot be had."""

import ast
import re
from fnmatch import fnmatchcase
from pathlib import Path

from tests.figures import keep
from tests.heroku_cli.heroku import PROGRAM
from tests.heroku_cli.person import section

HERE = Path(__file__).parent
# What asks no server for anything, and works as it always does.
AT_HOME = ("autocomplete", "autocomplete:*", "local", "local:*", "mcp:start", "repl", "version:info", "git:credentials")
RUNS = ("heroku", "over")
"""What tests call the command line; `each` runs the rows of a table with it."""


def commands() -> set[str]:
    """All that the command line has, as its package is laid out."""
    place = PROGRAM.parents[1] / "dist/commands"
    names = (str(path.relative_to(place).with_suffix("")).replace("/", ":") for path in place.rglob("*.js"))
    return {name.removesuffix(":index") for name in names}


def exercised(known: set[str]) -> set[str]:
    """Those that a test of this directory runs: the first word of a call, or of a row that `each` is given."""
    first = set()
    for path in HERE.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Name(id=name) | ast.Attribute(value=ast.Name(id=name)), args=words) if (
                    name in RUNS
                ):
                    first.add(word(words))
                case ast.Call(func=ast.Name(id="each"), args=[_, ast.Dict(keys=rows)]):
                    first.update(word(row.elts) for row in rows if isinstance(row, ast.Tuple))
    return first & known


def word(words: list[ast.expr]) -> str:
    """The command: the first of the words, which may stand in a tuple that is taken apart."""
    match words:
        case [ast.Constant(value=str(text)), *_]:
            return text
        case [ast.Starred(value=ast.Tuple(elts=inner)), *_]:
            return word(inner)
        case _:
            return ""


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
    wanting = [name for name in known if not any_of(name, (*patterns, *AT_HOME))]
    assert sorted(set(wanting) - tried) == []
    assert sorted(pattern for pattern in patterns if not any(fnmatchcase(name, pattern) for name in known)) == []
    home = sum(any_of(name, AT_HOME) for name in known)
    refusing = [name for name in known if any_of(name, patterns)]
    keep(
        "heroku-commands",
        {
            "commands": len(known),
            "run_and_do_their_work": len(wanting),
            "ask_no_server": home,
            "refused_in_the_readme": len(refusing),
            "refused_and_run": len(tried & set(refusing)),
        },
    )
