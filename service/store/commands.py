"""Scripts that are run by name: begun, ended, or begun on a machine that did not live to see the end."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from service.store.tables import commands


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of a script. One that is over without an exit code is unknown for good."""

    over: bool
    exit_code: int | None


def begin(conn: Connection, *, name: str, app_id: str, step: str, now: datetime) -> Known:
    """Record that it starts, unless it is over. One that was begun is attached to again by its name."""
    query = select(commands.c.state, commands.c.exit_code).where(commands.c.name == name)
    row = conn.execute(query).one_or_none()
    if row is not None:
        return Known(over=row.state != "running", exit_code=row.exit_code)
    conn.execute(
        commands.insert().values(name=name, app_id=app_id, step=step, state="running", created_at=now, updated_at=now)
    )
    return Known(over=False, exit_code=None)


def forget(conn: Connection, *, before: datetime) -> int:
    """Delete the scripts that were over before then; who might ask for them again has long been given up."""
    over = commands.delete().where(commands.c.state != "running", commands.c.updated_at < before)
    return int(conn.execute(over).rowcount)


def end(conn: Connection, *, name: str, exit_code: int | None, now: datetime) -> None:
    """Record how it ended, None when nobody will ever know."""
    state = "unknown" if exit_code is None else "ended"
    conn.execute(
        commands.update().where(commands.c.name == name).values(state=state, exit_code=exit_code, updated_at=now)
    )
