"""By whose right on GitHub pipelines are connected, and when that was looked up last."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, or_, select

from service.domain.model import PipelineId, RepositoryId
from service.store.tables import pipelines, users


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """A pipeline that somebody connected by their own right, and who they are on GitHub."""

    pipeline_id: PipelineId
    repository_id: RepositoryId
    user_id: str
    login: str
    github_id: int | None


def due(conn: Connection, repository_ids: Collection[int], *, before: datetime) -> list[Connected]:
    """Those of the repositories that were not looked up since `before`; one whose right is lost is due each time."""
    late = or_(
        pipelines.c.right_lost != "",
        pipelines.c.right_checked_at.is_(None),
        pipelines.c.right_checked_at < before,
    )
    query = (
        select(pipelines.c.id, pipelines.c.repository_id, users.c.id, users.c.github_login, users.c.github_id)
        .join(users, users.c.id == pipelines.c.connected_by)
        .where(pipelines.c.repository_id.in_(repository_ids), users.c.github_login.is_not(None), late)
        .order_by(pipelines.c.created_at, pipelines.c.id)
    )
    return [
        Connected(
            pipeline_id=PipelineId(each), repository_id=RepositoryId(of), user_id=who, login=login, github_id=number
        )
        for each, of, who, login, number in conn.execute(query)
    ]


def looked_up(conn: Connection, pipeline_id: str, now: datetime) -> None:
    """When GitHub told last."""
    conn.execute(pipelines.update().where(pipelines.c.id == pipeline_id).values(right_checked_at=now))
