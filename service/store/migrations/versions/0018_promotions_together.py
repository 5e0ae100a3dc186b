"""Promotions of which all targets succeed or none, and apps whose slug is good for no other."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("apps", sa.Column("promotable", sa.Boolean(), server_default=sa.text("true"), nullable=False))
    op.add_column(
        "promotions", sa.Column("all_or_nothing", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.add_column(
        "promotion_targets", sa.Column("prepared", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.add_column("promotion_targets", sa.Column("back_request_id", sa.String(length=36), nullable=True))
    op.create_index("ix_promotion_targets_back", "promotion_targets", ["back_request_id"])
