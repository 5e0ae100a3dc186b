"""Which config vars builds see."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("apps", "pipelines"):
        op.add_column(table, sa.Column("build_config", sa.Text(), server_default="[]", nullable=False))
