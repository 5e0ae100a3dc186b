"""By whose right on GitHub a pipeline is connected, and what has become of that right."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("pipelines", sa.Column("connected_by", sa.String(length=36), nullable=True))
    op.add_column("pipelines", sa.Column("right_lost", sa.Text(), server_default="", nullable=False))
    op.add_column("pipelines", sa.Column("right_checked_at", sa.BigInteger(), nullable=True))
