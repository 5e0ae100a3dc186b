"""Which attempt to show an object on GitHub is the last one."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("reports", sa.Column("attempt", sa.String(length=36), server_default="", nullable=False))
