"""How many logs and terminals one account may have open at a time: each keeps a worker's job until it is closed."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from aiohttp import web

from service.domain.errors import Refused

MOST: Final = 50
"""Of the 500 that a worker serves, for all accounts together."""


class Streams:
    """Counts those of this web process."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    @contextmanager
    def one(self, user_id: str) -> Iterator[None]:
        """Have one more open; raises `Refused` when the account has as many as it may."""
        if self._open[user_id] >= MOST:
            raise Refused(
                f"Your account follows {MOST} logs and terminals here, which is the most at a time: close some.",
                code="rate_limit",
            )
        self._open[user_id] += 1
        try:
            yield
        finally:
            self._open[user_id] -= 1
            if not self._open[user_id]:
                del self._open[user_id]


STREAMS: web.AppKey[Streams] = web.AppKey("streams", Streams)
