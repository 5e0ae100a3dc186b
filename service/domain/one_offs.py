"""One-off dynos: a command that somebody runs beside an app, with its code and config, once."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum, unique
from typing import Final

from service.domain.model import AppId, ReleaseId

LONGEST: Final = 24 * 3600
"""In seconds: how long one may run, and does unless less is asked for."""
MOST: Final = 20
"""How many of one app may run at once."""
FIRST_NUMBER, LAST_NUMBER = 1000, 9999
"""As on Heroku; the processes of a formation count from 1 to 100, so that no two ever have one name."""
_SIZE: Final = re.compile(r"[1-9][0-9]{0,3}")


@unique
class OneOffState(StrEnum):
    """How far it has come."""

    STARTING = "starting"
    UP = "up"
    ENDED = "ended"  # with an exit code
    FAILED = "failed"  # it could not be started, or nobody will ever know how it ended


OPEN: Final = (OneOffState.STARTING, OneOffState.UP)


@dataclass(frozen=True, slots=True, kw_only=True)
class OneOff:
    """One of them. `command` is what people are shown of it, without secrets; `tty`: it has a terminal of its own.

    `attached`: it lives as long as the client that asked for it. `stopping`: somebody wants it to end.
    """

    id: str
    app_id: AppId
    release_id: ReleaseId
    version: int
    name: str
    command: str
    attached: bool
    tty: bool
    state: OneOffState
    exit_code: int | None
    reason: str
    stopping: bool
    actor: str
    ends_at: datetime
    created_at: datetime
    updated_at: datetime

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        return self.state in OPEN

    @property
    def type(self) -> str:
        """Its process type: `run` unless another was asked for."""
        return self.name.rpartition(".")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is run, word for word: kept sealed, for people write passwords into commands and variables."""

    command: str = field(repr=False)
    env: Mapping[str, str] = field(repr=False)

    @property
    def window(self) -> tuple[int, int]:
        """Lines and columns of the client's terminal, as it said in the variables."""
        return _size(self.env.get("LINES", ""), 24), _size(self.env.get("COLUMNS", ""), 80)


def _size(text: str, usual: int) -> int:
    return int(text) if _SIZE.fullmatch(text) else usual


def free_numbers(taken: Collection[str], process_type: str) -> list[int]:
    """Which numbers a new one of that type may get."""
    return [number for number in range(FIRST_NUMBER, LAST_NUMBER + 1) if f"{process_type}.{number}" not in taken]


def why_ended(one_off: OneOff, exit_code: int | None, *, now: datetime, app_goes: bool) -> str:
    """What ended it, if it was not the command itself. None as its exit code is one that nobody will ever know."""
    if one_off.stopping:
        return one_off.reason
    if app_goes:
        return "its app was destroyed"
    if exit_code == 124 and now >= one_off.ends_at:
        return "its time to live has passed"
    if one_off.attached and exit_code == 129:
        return "its client has gone"
    return ""
