"""A report that was set aside knows which one has taken its place."""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("reports", sa.Column("aside_of", sa.String(length=128)))
    op.create_index("ix_reports_aside_of", "reports", ["aside_of"])
