"""How the command line ends: one clear sentence and a truthful exit code."""

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


class Stop(Exception):
    """End with a message and an exit code."""

    def __init__(self, message: str, *, code: ExitCode = ExitCode.REFUSED) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class ApiError(Stop):
    """The server refused. `id` is the API's word for the reason, `status` HTTP's, `target` the path that was asked."""

    def __init__(self, message: str, *, id_: str, status: int, target: str) -> None:
        super().__init__(message)
        self.id = id_
        self.status = status
        self.target = target


class Unreachable(Stop):
    """Nobody answers at the server's address."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(
            f"Cannot reach Towpath at {url} ({reason}). Start it with `towpath up`, or set TOWPATH_URL.",
            code=ExitCode.UNREACHABLE,
        )
