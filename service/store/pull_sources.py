"""Whence deliveries are fetched where GitHub cannot send them, how far that has come, and what stands in the way."""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum, unique

from sqlalchemy import Connection, select

from service.domain.model import RepositoryId
from service.store.tables import pull_sources

APP = "app"


@unique
class PullState(StrEnum):
    """How it stands with a source."""

    OK = "ok"
    EMPTY = "empty"
    """GitHub answers and has nothing: no hook, or one that nothing was sent to."""
    OFF = "off"
    """GitHub says that there is no hook, or that we may not see it."""
    WAITING = "waiting"
    """GitHub does not answer, or asks for patience."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PullSource:
    """A source; everything that GitHub made before the `watermark` and lists was taken."""

    name: str
    state: PullState = PullState.OK
    reason: str = ""
    watermark: datetime | None = None
    checked_at: datetime | None = None
    retry_at: datetime | None = None
    attempts: int = 0


def hook_of(repository_id: RepositoryId) -> str:
    """The name of a repository's own hook."""
    return f"hook:{repository_id}"


def poll_of(repository_id: RepositoryId) -> str:
    """The name of a repository's polling."""
    return f"poll:{repository_id}"


def listing(conn: Connection) -> list[PullSource]:
    """All of them."""
    found = conn.execute(select(pull_sources).order_by(pull_sources.c.name)).mappings()
    return [PullSource(**{**row, "state": PullState(row["state"])}) for row in found]


def keep(conn: Connection, source: PullSource) -> None:
    """Remember how it stands."""
    values = {**asdict(source), "state": source.state.value}
    if not conn.execute(pull_sources.update().where(pull_sources.c.name == source.name).values(values)).rowcount:
        conn.execute(pull_sources.insert().values(values))


def forget_others(conn: Connection, names: Collection[str]) -> None:
    """Delete all but these: what is no longer asked says nothing."""
    conn.execute(pull_sources.delete().where(pull_sources.c.name.not_in(names)))
