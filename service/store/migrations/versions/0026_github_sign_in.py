"""Who signs in with GitHub, the browsers that are on their way back from there, and invitations by a link."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "github_identities",
        sa.Column("github_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("login", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_github_identities_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("github_id", name=op.f("pk_github_identities")),
        sa.UniqueConstraint("user_id", name=op.f("uq_github_identities_user_id")),
    )
    op.create_table(
        "github_sign_ins",
        sa.Column("state_sha256", sa.String(length=64), nullable=False),
        sa.Column("browser_sha256", sa.String(length=64), nullable=False),
        sa.Column("session_id", sa.String(length=36), nullable=True),
        sa.Column("invitation_id", sa.String(length=36), nullable=True),
        sa.Column("next_path", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["invitation_id"], ["invitations.id"], name=op.f("fk_github_sign_ins_invitation_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_github_sign_ins_session_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("state_sha256", name=op.f("pk_github_sign_ins")),
    )
    op.create_index("ix_github_sign_ins_expires_at", "github_sign_ins", ["expires_at"], unique=False)
    op.add_column("invitations", sa.Column("link_sha256", sa.String(length=64), nullable=True))
    op.add_column("invitations", sa.Column("expires_at", sa.BigInteger(), nullable=True))
    op.create_index("ix_invitations_link_sha256", "invitations", ["link_sha256"], unique=True)
