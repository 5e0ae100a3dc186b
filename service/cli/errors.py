"""How the command line ends: one clear sentence and a truthful exit code."""

from collections.abc import Sequence
from enum import IntEnum, unique


@unique
class ExitCode(IntEnum):
    """What scripts can tell apart."""

    OK = 0
    REFUSED = 1
    USAGE = 2
    BUILD_FAILED = 3
    RELEASE_FAILED = 4
    PROMOTION_FAILED = 5
    UNREACHABLE = 6
    INTERRUPTED = 130
    READER_GONE = 141
    """Whoever read our output has had enough, as `head`: what other programs end with then."""


class Stop(Exception):
    """End with a message and an exit code."""

    def __init__(self, message: str, *, code: ExitCode = ExitCode.REFUSED) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class ApiError(Stop):
    """The server refused. `id` is the API's word for the reason, `status` HTTP's, `target` the path that was asked.

    `review_apps` are the names of those that it would have taken away.
    """

    def __init__(self, message: str, *, id_: str, status: int, target: str, review_apps: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.review_apps = list(review_apps)
        self.id = id_
        self.status = status
        self.target = target


class Unreachable(Stop):
    """Nobody answers at the server's address, or not Towpath."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code=ExitCode.UNREACHABLE)
