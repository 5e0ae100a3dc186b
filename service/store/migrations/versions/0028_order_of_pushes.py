"""The order in which GitHub told of pushes, which need not be that in which they are heard of."""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("facts", sa.Column("told_at", sa.BigInteger(), nullable=True))
    op.add_column("facts", sa.Column("former", sa.String(length=40), server_default="", nullable=False))
    op.add_column("deliveries", sa.Column("delivered_at", sa.BigInteger(), nullable=True))
