"""The two errors that mean something; anything else is a bug and is logged with its traceback.

Exception
├── Refused     will not work however often it is tried; the text is shown to the user
└── Transient   may pass; tried again with back-off
"""


class Refused(Exception):
    """Will not work. The text says what was wrong and what to do, in the user's words."""

    def __init__(self, message: str, *, code: str = "invalid_params") -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class Transient(Exception):
    """May pass. `retry_after` is the least wait in seconds if the other side named one."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after
