"""Scripts that must run at most once: begun, ended, or begun by a worker that did not live to see the end."""

from datetime import datetime

from sqlalchemy import Connection, select

from service.store.tables import commands


def begin(conn: Connection, *, name: str, app_id: str, step: str, now: datetime) -> bool:
    """Record that it starts; False when it has ended before. One that was begun is attached to again by its name."""
    row = conn.execute(select(commands.c.state).where(commands.c.name == name)).one_or_none()
    if row is not None:
        return bool(row.state == "running")
    conn.execute(
        commands.insert().values(name=name, app_id=app_id, step=step, state="running", created_at=now, updated_at=now)
    )
    return True


def end(conn: Connection, *, name: str, exit_code: int, now: datetime) -> None:
    """Record how it ended."""
    conn.execute(
        commands.update().where(commands.c.name == name).values(state="ended", exit_code=exit_code, updated_at=now)
    )
