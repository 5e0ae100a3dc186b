"""Serving one after another, each in a thread of its own. Standard library only: it runs in a fork of the shim."""

import threading
import time
from collections.abc import Callable


def for_ever(serve_one: Callable[[threading.BoundedSemaphore], None], *, at_once: int) -> None:
    """Serve one after another, each in a thread that gives its room back.

    Without descriptors or threads for a moment it goes on when there are some: to end would end what is being served.
    """
    room = threading.BoundedSemaphore(at_once)
    while True:
        room.acquire()
        try:
            serve_one(room)
        except (OSError, RuntimeError):
            room.release()
            time.sleep(0.05)
