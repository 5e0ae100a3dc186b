"""What the user sees: actions with their end, tables, and color on a terminal only."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TextIO

from service.cli.errors import ExitCode, Stop

_COLORS = {"red": "31", "green": "32", "yellow": "33", "cyan": "36", "bold": "1", "dim": "2"}
_GOOD = frozenset({"succeeded", "live", "up", "processed", "created", "active"})
_BAD = frozenset({"failed", "crashed", "errored", "cancelled"})


def colorful(stream: TextIO) -> bool:
    """Whether to color: a terminal that has not been told otherwise."""
    return stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def paint(text: str, color: str, *, stream: TextIO | None = None) -> str:
    """Color a text if its stream shows colors."""
    return f"\x1b[{_COLORS[color]}m{text}\x1b[0m" if colorful(stream or sys.stdout) else text


def state(text: str) -> str:
    """Color a state by whether it is good news."""
    color = "green" if text in _GOOD else "red" if text in _BAD else "yellow"
    return paint(text, color)


def say(text: str = "") -> None:
    """Print a line of the answer."""
    print(text)


def note(text: str) -> None:
    """Print a line beside the answer: a hint or a warning."""
    print(text, file=sys.stderr)


def show_json(data: Any) -> None:
    """Print data for programs."""
    print(json.dumps(data, indent=2))


def table(rows: Sequence[Sequence[str]], *, header: Sequence[str] = ()) -> None:
    """Print columns as wide as they need to be."""
    lines = [list(header), *map(list, rows)] if header else [list(row) for row in rows]
    if not lines:
        return
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for number, line in enumerate(lines):
        text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        print(paint(text, "bold") if header and number == 0 else text)


def heading(text: str) -> None:
    """Print a heading in Heroku's manner."""
    print(f"{paint('===', 'dim')} {paint(text, 'bold')}\n")


@dataclass(slots=True)
class Action:
    """An action that is being done: `Creating x... ` and, in the end, what came of it."""

    text: str
    stream: TextIO
    end: str = "done"
    _open: bool = field(default=False)

    def start(self) -> None:
        """Say what is being done."""
        self.stream.write(f"{self.text}... ")
        self.stream.flush()
        self._open = True

    def interrupt(self) -> None:
        """Go to a new line for other output; the action is named again at its end."""
        if self._open:
            self.stream.write("\n")
            self._open = False

    def finish(self, end: str) -> None:
        """Say what came of it."""
        if not self._open:
            self.stream.write(f"{self.text}... ")
        color = "red" if end.startswith(("failed", "!")) else "green"
        self.stream.write(f"{paint(end, color, stream=self.stream)}\n")
        self.stream.flush()


@contextmanager
def action(text: str, *, quiet: bool = False) -> Iterator[Action]:
    """Say what is being done, then `done`, or `failed` when it raises; beside the answer if that is for programs."""
    doing = Action(text, sys.stderr if quiet else sys.stdout)
    doing.start()
    try:
        yield doing
    except KeyboardInterrupt:
        doing.finish("interrupted")
        raise
    except BaseException as error:
        stopped = isinstance(error, Stop) and error.code is ExitCode.INTERRUPTED
        doing.finish("not waited for" if stopped else "failed")
        raise
    doing.finish(doing.end)


def ago(moment: str | None) -> str:
    """A time of the API as the reader's own clock says it."""
    if not moment:
        return ""
    return f"{datetime.fromisoformat(moment).astimezone():%Y-%m-%d %H:%M:%S}"
