"""Nobody reads the digest of a delivery's body."""

from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_column("deliveries", "body_sha256")
