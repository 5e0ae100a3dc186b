"""What engines run that the database does not know."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "orphans",
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("driver", sa.String(length=30), nullable=False),
        sa.Column("processes", sa.Text(), nullable=False),
        sa.Column("leaving", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("first_seen_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("app_id", name=op.f("pk_orphans")),
    )
