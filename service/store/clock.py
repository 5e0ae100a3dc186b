"""The machine's clock over time: what waits must not wait for a clock that was set back, nor end because of one set on.

A process's own clock goes on steadily (`database.SteadyClock`); the next process begins with the machine's again. So
one worker notes from time to time what the time is and how long the machine has been up, and puts right what was
written by another clock.
"""

import hashlib
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Final

from sqlalchemy import BigInteger, Column, Connection, case, select, type_coerce

from service.domain.model import BuildState, RequestState
from service.domain.one_offs import OneOffState
from service.store.tables import (
    EPOCH,
    apps,
    builds,
    counters,
    deliveries,
    facts,
    one_offs,
    reports,
    repositories,
    requests,
    subjects,
)
from service.store.tables.base import Moment

STEP: Final = timedelta(minutes=1)
"""By so much clocks of several machines may differ without anybody's minding."""
_MICROSECOND: Final = timedelta(microseconds=1)
_TIMERS: Final = (subjects.c.due_at, facts.c.retry_at, reports.c.retry_at, apps.c.retry_at, deliveries.c.retry_at)
"""What is waited for."""
_PAST: Final = (
    facts.c.looked_at,
    facts.c.first_seen_at,
    facts.c.since,
    facts.c.announced_at,
    facts.c.told_at,
    requests.c.created_at,
    requests.c.started_at,
    builds.c.created_at,
    one_offs.c.created_at,
    repositories.c.audited_at,
    subjects.c.rung_at,
)
"""What has happened, and how long ago that is counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Uptime:
    """Which start of which machine this is, as a number, and how long ago that was, in a time nobody can set."""

    boot: int
    up: timedelta


def uptime() -> Uptime:
    """This machine's."""
    return Uptime(boot=_boot(), up=timedelta(seconds=time.clock_gettime(time.CLOCK_BOOTTIME)))


@cache
def _boot() -> int:
    text = Path("/proc/sys/kernel/random/boot_id").read_bytes()
    return int.from_bytes(hashlib.sha256(text).digest()[:7])


def keep(conn: Connection, *, uptime: Uptime, now: datetime) -> timedelta:
    """Note the time and put right what was written by another; returns by how much the clock was set on, or back."""
    noted = {row.name: row.value for row in conn.execute(select(counters).where(counters.c.name.in_(_NAMES)))}
    step = _step(noted, uptime, now)
    if step < -STEP:
        _set_back(conn, step, now)
    elif step > STEP:
        _set_on(conn, step)
    _rung_ahead(conn, now)
    _note(
        conn,
        noted,
        {"clock.boot": uptime.boot, "clock.up": uptime.up // _MICROSECOND, "clock.now": (now - EPOCH) // _MICROSECOND},
    )
    return step if abs(step) > STEP else timedelta()


_NAMES: Final = ("clock.boot", "clock.up", "clock.now")


def _step(noted: dict[str, int], uptime: Uptime, now: datetime) -> timedelta:
    if "clock.now" not in noted:
        return timedelta()
    before = EPOCH + noted["clock.now"] * _MICROSECOND
    if noted["clock.boot"] == uptime.boot:
        return now - before - (uptime.up - noted["clock.up"] * _MICROSECOND)
    return min(timedelta(), now - before)  # how long it was off is unknown, but not less than nothing


def _set_back(conn: Connection, step: timedelta, now: datetime) -> None:
    for column in _TIMERS:
        raw, at = type_coerce(column, BigInteger), _number(now)
        sooner = case((raw > at - step // _MICROSECOND, raw + step // _MICROSECOND), else_=at)
        moved = type_coerce(sooner, Moment)
        conn.execute(column.table.update().where(column > now).values({column.name: moved}))
    for column in _PAST:
        conn.execute(column.table.update().where(column > now).values({column.name: now}))


def _set_on(conn: Connection, step: timedelta) -> None:
    """What runs has not run for longer because of it."""
    running: list[tuple[Column[datetime], Column[str], str]] = [
        (requests.c.started_at, requests.c.state, RequestState.RUNNING.value),
        (requests.c.created_at, requests.c.state, RequestState.QUEUED.value),
        (builds.c.created_at, builds.c.state, BuildState.PENDING.value),
        (one_offs.c.created_at, one_offs.c.state, OneOffState.STARTING.value),
        (one_offs.c.created_at, one_offs.c.state, OneOffState.UP.value),
    ]
    for column, state, open_ in running:
        moved = type_coerce(type_coerce(column, BigInteger) + step // _MICROSECOND, Moment)
        conn.execute(column.table.update().where(state == open_).values({column.name: moved}))


def _rung_ahead(conn: Connection, now: datetime) -> None:
    """Who was rung by a process whose clock is ahead was to be reconciled at once."""
    ahead = (subjects.c.due_at > now, subjects.c.rung_at > now + STEP)
    conn.execute(subjects.update().where(*ahead).values(due_at=now, rung_at=now))


def _note(conn: Connection, noted: dict[str, int], values: dict[str, int]) -> None:
    for name, value in values.items():
        if name in noted:
            conn.execute(counters.update().where(counters.c.name == name).values(value=value))
        else:
            conn.execute(counters.insert().values(name=name, value=value))


def _number(moment: datetime) -> int:
    return (moment - EPOCH) // _MICROSECOND
