"""What was pushed to an app and built: the branches of its own repository."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pushed_heads",
        sa.Column("app_id", sa.String(length=36), nullable=False),
        sa.Column("branch", sa.String(length=16), nullable=False),
        sa.Column("sha", sa.String(length=40), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"], name=op.f("fk_pushed_heads_app_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("app_id", "branch", name=op.f("pk_pushed_heads")),
    )
