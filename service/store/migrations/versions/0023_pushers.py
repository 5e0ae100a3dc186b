"""Who brought a commit to a branch or a pull request."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pushers",
        sa.Column("repository_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("sha", sa.String(length=40), nullable=False),
        sa.Column("login", sa.Text(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("repository_id", "ref", "sha", name=op.f("pk_pushers")),
    )
    op.create_index("ix_pushers_seen", "pushers", ["seen_at"], unique=False)
