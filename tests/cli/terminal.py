"""A terminal with somebody at it: runs a command on one, types when it asks, and sees what is on the screen in the end."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cli.conftest import Cli

SECONDS = 30.0
_STEERING = re.compile(r"\x1b\[(\d*)([A-Za-z])|\x1b\[\?\d+[hl]|(\r)|(\n)|([^\x1b\r\n])", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What somebody at the terminal saw: `raw` as it came, `screen` as it stood there in the end."""

    code: int
    raw: str
    screen: list[str]


def screen(raw: str, *, columns: int) -> list[str]:
    """The lines of a terminal after all that was written to it, without color."""
    lines, row, column = [""], 0, 0
    for match in _STEERING.finditer(raw):
        number, letter, back, down, char = match.groups()
        if back:
            column = 0
        elif down:
            row += 1
        elif char:
            if column == columns:
                row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
            lines[row] = f"{lines[row][:column]:{column}}{char}{lines[row][column + 1 :]}"
            column += 1
        elif letter == "A":
            row = max(0, row - int(number or 1))
        elif letter == "K":
            lines[row] = "" if number == "2" else lines[row][:column]
        elif letter == "J":
            lines[row] = lines[row][:column]
            del lines[row + 1 :]
        lines += [""] * (row + 1 - len(lines))
    return [line.rstrip() for line in lines][: -1 if lines[-1] == "" else None]


def at_terminal(
    argv: Sequence[str],
    *typed: tuple[str, str],
    env: Mapping[str, str],
    cwd: Path,
    columns: int = 80,
) -> Seen:
    """Run a program; each of `typed` is what to wait for on the terminal and what to type then."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        argv,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={"TERM": "xterm", "PYTHONIOENCODING": "utf-8", **env},
        cwd=cwd,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509
    )
    os.close(theirs)
    try:
        raw = _talk(ours, deque(typed))
        return Seen(code=process.wait(SECONDS), raw=raw, screen=screen(raw, columns=columns))
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def _talk(ours: int, typed: deque[tuple[str, str]]) -> str:
    raw, since, deadline = "", 0, time.monotonic() + SECONDS
    whole = b""
    while True:
        ready, _, _ = select.select([ours], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"nothing more came than {raw!r}; next was to be typed {list(typed)[:1]}"
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # nobody has the other side open any more
            return raw
        if not chunk:
            return raw
        whole += chunk
        raw = whole.decode(errors="replace")
        if typed and typed[0][0] in raw[since:]:
            since = len(raw)
            os.write(ours, typed.popleft()[1].encode())


def towpath_at_terminal(
    cli: Cli,
    *args: str,
    typed: Sequence[tuple[str, str]] = (),
    columns: int = 80,
    **env: str,
) -> Seen:
    """Run `towpath` on a terminal."""
    argv = [sys.executable, "-m", "service.cli", *args]
    return at_terminal(argv, *typed, env={**cli.env, **env}, cwd=cli.cwd, columns=columns)
