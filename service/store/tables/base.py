"""What all tables share: the metadata with its naming rules, and the columns that recur."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Column, Integer, MetaData, String
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Moment(TypeDecorator[datetime]):
    """An aware UTC time as microseconds since the epoch."""

    impl = BigInteger
    cache_ok = True

    @property
    def python_type(self) -> type[datetime]:
        """What it reads as."""
        return datetime

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        """Refuse naive times: they would be off by the server's zone."""
        return None if value is None else (value - EPOCH) // timedelta(microseconds=1)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Back to an aware time."""
        return None if value is None else EPOCH + timedelta(microseconds=int(value))


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def id_column() -> Column[str]:
    """Make the id of a thing: a UUID in text form."""
    return Column("id", String(36), primary_key=True)


def time_columns() -> tuple[Column[datetime], Column[datetime]]:
    """Make the times of a thing that changes."""
    return Column("created_at", Moment, nullable=False), Column("updated_at", Moment, nullable=False)


def version_column() -> Column[int]:
    """Make the counter that compare-and-set watches."""
    return Column("row_version", Integer, nullable=False, server_default="0")
