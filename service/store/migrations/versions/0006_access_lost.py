"""Since when a repository has been out of reach."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("repositories", sa.Column("lost_at", sa.BigInteger(), nullable=True))
    op.execute("UPDATE repositories SET lost_at = updated_at WHERE NOT accessible")
