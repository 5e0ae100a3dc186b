"""Being told to stop, and an end that comes whatever hangs.

What we keep survives a SIGKILL at any moment, so an end by force loses nothing but time: what was not handed back is
taken over once its lease is over. A process that goes on for ever keeps its machine from being shut down, and works
beside its successor.
"""

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from typing import Final

import structlog

log = structlog.get_logger()

MOST_SECONDS: Final = 8.0
"""So long may an orderly end take: a database, a disk or a name server that hangs may hold a thread for longer."""
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def when_told(tell: Callable[[], object], *, at_most: float | None = MOST_SECONDS) -> None:
    """Call `tell` when we are told to stop; if we are still here `at_most` seconds later, end at once."""
    loop, told = asyncio.get_running_loop(), False

    def stop() -> None:
        nonlocal told
        if at_most is not None and not told:
            # A thread, for it may be the loop that hangs; one that keeps nobody from ending.
            force = threading.Timer(at_most, _force, (at_most,))
            force.daemon = True
            force.start()
        told = True
        tell()

    for number in SIGNALS:
        loop.add_signal_handler(number, stop)


def _force(seconds: float) -> None:
    log.error("not ended in time: what still hangs is cut off", seconds=seconds)
    os._exit(1)
