"""A sign on a terminal that long work goes on: a mark that turns."""

import shutil
import threading
import time
from dataclasses import dataclass, field
from typing import TextIO

from service.cli.columns import width

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_ASCII = "|/-\\"
_EVERY_SECONDS = 0.1
_FIRST_SECONDS = 0.3
"""What is done by then shows no mark at all."""
_TIMED_SECONDS = 5
"""From then on the mark says for how long."""


@dataclass(slots=True)
class Spinner:
    """Turns behind a text at the end of the terminal's last line, until it is stopped."""

    text: str
    stream: TextIO
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to turn, unless there is no room for it: a line that wraps cannot be drawn again."""
        if width(self.text) + 16 < shutil.get_terminal_size().columns:
            self._thread = threading.Thread(target=self._turn, daemon=True)
            self._thread.start()

    def stop(self) -> bool:
        """Stop and leave an empty line to go on in; False when it never began, and the line is as it was."""
        if self._thread is None:
            return False
        self._stop.set()
        self._thread.join()
        self._thread = None
        self.stream.write("\r\x1b[K")
        return True

    def _turn(self) -> None:
        begun, frames = time.monotonic(), _FRAMES if _can_show(self.stream) else _ASCII
        number, wait = 0, _FIRST_SECONDS
        while not self._stop.wait(wait):
            seconds = int(time.monotonic() - begun)
            timed = f" {seconds} s" if seconds >= _TIMED_SECONDS else ""
            self.stream.write(f"\r\x1b[K{self.text}{frames[number % len(frames)]}{timed}")
            self.stream.flush()
            number, wait = number + 1, _EVERY_SECONDS


def _can_show(stream: TextIO) -> bool:
    try:
        _FRAMES.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
