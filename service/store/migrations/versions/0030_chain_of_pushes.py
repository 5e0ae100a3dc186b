"""Where a branch was before, of which a push that is told late or again says that it is there."""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("facts", sa.Column("was_at", sa.Text(), server_default="{}", nullable=False))
    op.drop_column("facts", "former")  # it counted for two minutes
