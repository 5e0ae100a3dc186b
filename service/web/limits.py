"""How much one token may ask for: so many requests an hour, which it may save up and spend at once.

Each web process counts for itself and begins anew with its start: what is to be kept off is a client that asks in a
loop, and no answer shall wait for a count.
"""

import time
from collections.abc import Callable
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from service.web.auth import is_open
from service.web.errors import error_response
from service.web.keys import CALLER

_HOUR: Final = 3600.0
_MANY: Final = 1000


class Allowances:
    """What each token has left; `per_hour` of 0 means that nothing is counted."""

    def __init__(self, per_hour: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_hour = per_hour
        self._clock = clock
        self._spent: dict[bytes, tuple[float, float]] = {}

    def spend(self, token: bytes) -> int | None:
        """Take one request from a token; returns how many are left after it, None when there was none to take."""
        now = self._clock()
        spent = self._still_spent(token, now) + 1
        if spent > self.per_hour:
            return None
        if len(self._spent) >= _MANY:
            self._forget_rested(now)
        self._spent[token] = (spent, now)
        return int(self.per_hour - spent)

    def is_spent(self, token: bytes) -> bool:
        """Whether there is no request to take from a token."""
        return self._still_spent(token, self._clock()) + 1 > self.per_hour

    def wait(self) -> int:
        """After how many seconds a token that has nothing left may ask again."""
        return max(1, round(_HOUR / self.per_hour))

    def _still_spent(self, token: bytes, now: float) -> float:
        spent, at = self._spent.get(token, (0.0, now))
        return max(0.0, spent - (now - at) * self.per_hour / _HOUR)

    def _forget_rested(self, now: float) -> None:
        self._spent = {token: kept for token, kept in self._spent.items() if self._still_spent(token, now) > 0}


ALLOWANCES: web.AppKey[Allowances] = web.AppKey("allowances", Allowances)
REMAINING: web.RequestKey[int] = web.RequestKey("remaining", int)
"""How many requests the caller's token has left after this one; not there when nothing is counted."""


@web.middleware
async def limited(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count the request, or refuse it with 429."""
    allowances = request.app[ALLOWANCES]
    if CALLER not in request or not allowances.per_hour or is_open(request):
        return await handler(request)
    # By its id: with a new secret it is the same token.
    remaining = allowances.spend(request[CALLER].token.id.encode())
    request[REMAINING] = remaining or 0
    if remaining is None:
        message = (
            f"This token has made its {allowances.per_hour} requests an hour; it may make another one in "
            f"{allowances.wait()} s."
        )
        return error_response("rate_limit", message, headers={"Retry-After": str(allowances.wait())})
    return await handler(request)
