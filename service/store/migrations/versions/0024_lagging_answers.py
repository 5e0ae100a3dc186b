"""GitHub's answers lag behind its webhooks: where a push said a branch is, and how often a report was refused."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("reports", sa.Column("refusals", sa.Integer(), server_default="0", nullable=False))
    op.add_column("facts", sa.Column("announced", sa.String(length=40), server_default="", nullable=False))
    op.add_column("facts", sa.Column("announced_at", sa.BigInteger(), nullable=True))
