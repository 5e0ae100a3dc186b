"""Whether an app follows the default branch, whichever that is, or one that a person named."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("apps", sa.Column("follows_default", sa.Boolean(), server_default=sa.text("false"), nullable=False))
