"""The two errors that mean something; anything else is a bug and is logged with its traceback.

Exception
├── Refused     will not work however often it is tried; the text is shown to the user
└── Transient   may pass; tried again with back-off
"""

import re

_UNSHOWN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def _shown(message: str) -> str:
    """Without what cannot be stored or steers a terminal: texts quote names that code of others gave to its files."""
    return _UNSHOWN.sub("\ufffd", message)


class Refused(Exception):
    """Will not work. The text says what was wrong and what to do, in the user's words."""

    def __init__(self, message: str, *, code: str = "invalid_params") -> None:
        self.message = _shown(message)
        super().__init__(self.message)
        self.code = code


class Transient(Exception):
    """May pass. `retry_after` is the least wait in seconds if the other side named one."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        self.message = _shown(message)
        super().__init__(self.message)
        self.retry_after = retry_after
