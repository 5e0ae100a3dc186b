"""What the user sees: actions with their end, tables, and color on a terminal only."""

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, TextIO

from service.cli import columns
from service.cli.errors import ExitCode, Stop

if TYPE_CHECKING:
    from service.cli.spinner import Spinner

_COLORS = {"red": "31", "green": "32", "yellow": "33", "cyan": "36", "bold": "1", "dim": "2"}
_GOOD = frozenset({"succeeded", "live", "up", "processed", "created", "active"})
_A_MINUTE = 60.0
_BAD = frozenset({"failed", "crashed", "errored", "cancelled"})


def colorful(stream: TextIO) -> bool:
    """Whether to color: a terminal that has not been told otherwise."""
    return moving(stream) and not os.environ.get("NO_COLOR")


def moving(stream: TextIO) -> bool:
    """Whether what was written can be written over: a terminal that knows how."""
    return stream.isatty() and os.environ.get("TERM") not in {None, "", "dumb"}


def spinner(text: str, stream: TextIO) -> "Spinner | None":
    """Begin a turning mark behind a text, where there is somebody to see it."""
    if not moving(stream):
        return None
    from service.cli.spinner import Spinner  # here: most output goes where nothing turns

    made = Spinner(text, stream)
    made.start()
    return made


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
    """Print columns as wide as they need to be; on a terminal that is narrower, cells go on in the next line."""
    shown = [list(header), *map(list, rows)] if header else [list(row) for row in rows]
    if not shown:
        return
    # Names with their values stay in one piece: they are copied.
    fits = sys.stdout.isatty() and (header or len(shown[0]) > len(("name", "value")))
    widths = columns.fitted(shown, columns=shutil.get_terminal_size().columns if fits else None)
    for number, row in enumerate(shown):
        for line in columns.lines(row, widths):
            cells = (columns.padded(cell, cells) for cell, cells in zip(line, widths, strict=True))
            text = (" " * columns.GAP).join(cells).rstrip()
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
    _spinner: "Spinner | None" = field(default=None)

    def start(self) -> None:
        """Say what is being done."""
        self.stream.write(f"{self.text}... ")
        self.stream.flush()
        self._open = True
        self._spinner = spinner(f"{self.text}... ", self.stream)

    def interrupt(self) -> None:
        """Go to a new line for other output; the action is named again at its end."""
        if self._open:
            self.stream.write(f"{self._still()}\n")
            self.stream.flush()
            self._open = False

    def finish(self, end: str) -> None:
        """Say what came of it."""
        before = self._still() if self._open else f"{self.text}... "
        self._open = False
        color = "red" if end.startswith(("failed", "!")) else "green"
        self.stream.write(f"{before}{paint(end, color, stream=self.stream)}\n")
        self.stream.flush()

    def _still(self) -> str:
        """End the turning mark; returns what has to be written again."""
        turned = self._spinner is not None and self._spinner.stop()
        self._spinner = None
        return f"{self.text}... " if turned else ""


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


@dataclass(slots=True)
class Waiting:
    """Nothing to show yet: says so beside the answer, on a terminal at once, elsewhere when it takes long."""

    text: str
    _since: float = field(default_factory=time.monotonic)
    _said: int = 0
    _spinner: "Spinner | None" = field(default=None)

    def show(self) -> None:
        """Say that we still wait."""
        if moving(sys.stderr):
            self._spinner = self._spinner or spinner(f"{self.text}... ", sys.stderr)
            return
        minutes = (time.monotonic() - self._since) // _A_MINUTE
        if minutes > self._said:
            self._said = int(minutes)
            note(f"{self.text}... ({self._said} min so far)")

    def hide(self) -> None:
        """There is something to show now, or nothing more to wait for."""
        if self._spinner is not None and self._spinner.stop():
            sys.stderr.flush()
        self._spinner = None
        self._since, self._said = time.monotonic(), 0


@contextmanager
def waiting(text: str) -> Iterator[Waiting]:
    """Wait with a sign that it goes on; it is gone in the end."""
    sign = Waiting(text)
    try:
        yield sign
    finally:
        sign.hide()


def ago(moment: str | None) -> str:
    """A time of the API as the reader's own clock says it."""
    if not moment:
        return ""
    return f"{datetime.fromisoformat(moment).astimezone():%Y-%m-%d %H:%M:%S}"
