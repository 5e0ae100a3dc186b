"""Questions to the person: answered on the terminal or from standard input, never guessed when nobody answers."""

import shutil
import sys
from collections.abc import Sequence

from service.cli.columns import width
from service.cli.errors import ExitCode, Stop
from service.cli.output import moving

STAGES = ("development", "staging", "production")
CONFIG_STAGES = ("review", "test", *STAGES)
"""Those whose new apps get config vars."""
_ENDINGS = {
    "development": ("dev", "development", "uat", "tst", "test", "qa"),
    "staging": ("stg", "staging"),
    "production": ("prd", "prod", "production", "admin", "demo"),
}


def ask(question: str, *, default: str, option: str) -> str:
    """Ask; an empty answer is the default. Nobody there: stop, naming the option that would have answered.

    On a terminal the question stays with its answer, and without the default that was offered.
    """
    # Beside the answer where that goes to a file or to a program.
    stream = sys.stdout if sys.stdout.isatty() else sys.stderr
    shown = f"? {question}: ({default}) " if default else f"? {question}: "
    stream.write(shown)
    stream.flush()
    try:
        given = _line(option)
    except KeyboardInterrupt:
        stream.write("\n")
        raise
    if not given:
        stream.write("\n")
        raise Stop(f"Nobody answered. Give {option}.", code=ExitCode.USAGE)
    answer = given.strip() or default
    if default and moving(stream) and somebody_there():
        columns = max(shutil.get_terminal_size().columns, 1)
        rows = -(-width(shown + given.rstrip("\n")) // columns)
        stream.write(f"\x1b[{rows}A\r\x1b[J? {question}: {answer}\n")
        stream.flush()
    return answer


def _line(option: str) -> str:
    """The next line of standard input with its end; nothing when it is at its end or was never open."""
    try:
        return "" if sys.stdin is None else sys.stdin.readline()
    except UnicodeDecodeError:
        raise Stop(f"The answer is not text. Give {option}.", code=ExitCode.USAGE) from None


def somebody_there() -> bool:
    """Whether a person can be asked: standard input is a terminal."""
    return sys.stdin is not None and sys.stdin.isatty()


def confirmed(question: str) -> bool:
    """Ask a question of yes or no; an empty answer is yes."""
    while True:
        answer = ask(f"{question} (Y/n)", default="", option="--yes").lower()
        if answer in {"", "y", "yes", "n", "no"}:
            return answer in {"", "y", "yes"}


def split_name(app: str) -> tuple[str, str]:
    """What an app's name suggests: the pipeline's name and the stage."""
    base, dash, ending = app.rpartition("-")
    for stage, endings in _ENDINGS.items():
        if dash and ending in endings:
            return base, stage
    return app, "production"


def split_pairs(words: Sequence[str]) -> dict[str, str]:
    """Config vars as they are given, each a word KEY=VALUE; of a key that is given twice the last counts."""
    pairs = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise Stop(f"{word!r} is not of the form KEY=VALUE.", code=ExitCode.USAGE)
        pairs[key] = value
    return pairs


def check_stage(stage: str, known: Sequence[str] = STAGES) -> str:
    """The stage if there is one of that name."""
    if stage not in known:
        raise Stop(f"There is no stage {stage!r}; there are: {', '.join(known)}.", code=ExitCode.USAGE)
    return stage


def check_email(address: str) -> str:
    """An address, as far as that can be seen."""
    name, at, host = address.partition("@")
    if not (name and at and host) or any(each.isspace() for each in address):
        raise Stop(f"{address!r} is not an address such as ada@example.com.", code=ExitCode.USAGE)
    return address


def confirm(name: str, given: str | None, *, danger: str) -> None:
    """Make sure that a destruction is meant: the name has to be given again, on a terminal or as an option."""
    if given is None:
        if not somebody_there():
            raise Stop(f"{danger} If that is meant, say --confirm {name}", code=ExitCode.USAGE)
        given = ask(f"{danger} To go on, type {name}", default="", option=f"--confirm {name}")
    if given != name:
        raise Stop(f"Confirmation {given!r} does not match {name!r}. Nothing was done.")
