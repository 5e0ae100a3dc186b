"""What a pipeline's checks on GitHub are called: of several of one name in a repository the oldest keeps it."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

_pipelines = sa.table(
    "pipelines", sa.column("id"), sa.column("name"), sa.column("repository_id"), sa.column("created_at"),
    sa.column("check_name"),
)  # fmt: skip


def upgrade() -> None:
    op.add_column("pipelines", sa.Column("check_name", sa.String(length=64), server_default="", nullable=False))
    name_checks(op.get_bind())


def name_checks(conn: sa.Connection) -> None:
    """Give each connected pipeline one of its own, as connecting does from now on."""
    columns = (_pipelines.c.id, _pipelines.c.name, _pipelines.c.repository_id)
    connected = sa.select(*columns).where(_pipelines.c.repository_id.is_not(None))
    taken: set[tuple[int, str]] = set()
    for key, name, repository_id in conn.execute(connected.order_by(_pipelines.c.created_at, _pipelines.c.id)).all():
        digits = key.replace("-", "")
        own = [name, *(f"{name}-{digits[:length]}" for length in range(4, len(digits) + 1, 4))]
        shown = next(each for each in own if (repository_id, each) not in taken)
        taken.add((repository_id, shown))
        conn.execute(_pipelines.update().where(_pipelines.c.id == key).values(check_name=shown))
