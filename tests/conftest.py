"""Fixtures that every part shares."""

import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from service.store import sqlite

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell hands it down like that to what it runs in the background; programs under test would not know Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What is logged unless a program says otherwise, but for tracebacks: with every variable of every frame, as is the
# default where rich is installed, one takes seconds.
*_processors, _ = structlog.get_config()["processors"]
_console = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
structlog.configure(processors=[*_processors, _console])

# What a test writes need not outlive the machine, and a disk that stands still for seconds is none of its business.
# Programs under test are processes of their own: they commit as they always do.
DURABLE, sqlite.SYNCHRONOUS = sqlite.SYNCHRONOUS, "OFF"


@pytest.fixture
def short_tmp() -> Iterator[Path]:
    """A directory with a short path: a unix socket's path holds at most 108 bytes."""
    path = Path(tempfile.mkdtemp(prefix="tp-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)
