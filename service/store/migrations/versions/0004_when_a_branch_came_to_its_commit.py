"""When a branch or pull request came to the commit it is at, and when a delivery is tried again."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("deliveries", sa.Column("retry_at", sa.BigInteger(), nullable=True))
    op.add_column("facts", sa.Column("since", sa.BigInteger(), nullable=True))
