"""Which config vars builds see: named by a pipeline for all of its apps, or by an app that is in none."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, Table, select

from service.store import rows
from service.store.tables import apps, couplings, pipelines


def of_app(conn: Connection, app_id: str) -> tuple[str, ...]:
    """What builds of the app see: what its pipeline names, or the app itself when it is in none."""
    coupled = select(couplings.c.pipeline_id).where(couplings.c.app_id == app_id)
    pipeline_id = conn.execute(coupled).scalar()
    return _names(conn, apps, app_id) if pipeline_id is None else of_pipeline(conn, pipeline_id)


def of_pipeline(conn: Connection, pipeline_id: str) -> tuple[str, ...]:
    """What builds of a pipeline's apps see."""
    return _names(conn, pipelines, pipeline_id)


def set_of_app(conn: Connection, app_id: str, names: Sequence[str], now: datetime) -> None:
    """Replace the names of an app."""
    _set(conn, apps, app_id, names, now)


def set_of_pipeline(conn: Connection, pipeline_id: str, names: Sequence[str], now: datetime) -> None:
    """Replace the names of a pipeline."""
    _set(conn, pipelines, pipeline_id, names, now)


def _names(conn: Connection, table: Table, key: str) -> tuple[str, ...]:
    text = conn.execute(select(table.c.build_config).where(table.c.id == key)).scalar()
    return rows.from_json(text, tuple[str, ...]) if text else ()


def _set(conn: Connection, table: Table, key: str, names: Sequence[str], now: datetime) -> None:
    values = {"build_config": rows.to_json(list(names)), "updated_at": now}
    conn.execute(table.update().where(table.c.id == key).values(values))
