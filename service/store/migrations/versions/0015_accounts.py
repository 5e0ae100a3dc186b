"""Users with tokens of their own, teams, what people may do to an app, and whose everything is.

What there was before belongs to the one user there was.
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

EMBEDDED = "SELECT id FROM users WHERE email = 'admin@localhost'"


def upgrade() -> None:
    op.add_column("users", sa.Column("admin", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("users", sa.Column("github_login", sa.Text(), nullable=True))
    op.add_column("users", sa.Column("github_id", sa.BigInteger(), nullable=True))
    op.add_column("api_tokens", sa.Column("prefix", sa.String(length=16), server_default="", nullable=False))
    op.add_column("api_tokens", sa.Column("scopes", sa.Text(), server_default='["global"]', nullable=False))
    op.add_column("api_tokens", sa.Column("rotated_at", sa.BigInteger(), nullable=True))
    op.create_index("ix_api_tokens_user_id", "api_tokens", ["user_id"])
    op.add_column("apps", sa.Column("owner_type", sa.String(length=4), nullable=True))
    op.execute("UPDATE users SET admin = true WHERE email = 'admin@localhost'")
    op.execute(f"UPDATE apps SET owner_id = ({EMBEDDED}) WHERE owner_id IS NULL")
    op.execute("UPDATE apps SET owner_type = 'user' WHERE owner_id IS NOT NULL")
    op.execute(f"UPDATE pipelines SET owner_id = ({EMBEDDED}) WHERE owner_id IS NULL")
    op.execute("UPDATE pipelines SET owner_type = 'user' WHERE owner_id IS NOT NULL")
    op.create_table(
        "teams",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=30), nullable=False),
        *_times(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_teams")),
        sa.UniqueConstraint("name", name=op.f("uq_teams_name")),
    )
    op.create_table(
        "memberships",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("team_id", sa.String(length=36), nullable=False),
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        *_times(),
        _of("memberships", "team_id", "teams"),
        _of("memberships", "user_id", "users"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_memberships")),
        sa.UniqueConstraint("team_id", "user_id", name=op.f("uq_memberships_team_id_user_id")),
    )
    op.create_index("ix_memberships_user_id", "memberships", ["user_id"])
    op.create_table(
        "invitations",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("team_id", sa.String(length=36), nullable=False),
        sa.Column("email", sa.String(length=320), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("invited_by", sa.String(length=36), nullable=False),
        *_times(),
        _of("invitations", "team_id", "teams"),
        _of("invitations", "invited_by", "users"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invitations")),
        sa.UniqueConstraint("team_id", "email", name=op.f("uq_invitations_team_id_email")),
    )
    op.create_index("ix_invitations_email", "invitations", ["email"])
    op.create_table(
        "app_grants",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("app_id", sa.String(length=36), nullable=False),
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("permissions", sa.Text(), nullable=False),
        *_times(),
        _of("app_grants", "app_id", "apps"),
        _of("app_grants", "user_id", "users"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_app_grants")),
        sa.UniqueConstraint("app_id", "user_id", name=op.f("uq_app_grants_app_id_user_id")),
    )
    op.create_index("ix_app_grants_user_id", "app_grants", ["user_id"])
    op.create_table(
        "app_transfers",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("app_id", sa.String(length=36), nullable=False),
        sa.Column("sender_id", sa.String(length=36), nullable=False),
        sa.Column("recipient_id", sa.String(length=36), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        *_times(),
        _of("app_transfers", "app_id", "apps"),
        _of("app_transfers", "sender_id", "users"),
        _of("app_transfers", "recipient_id", "users"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_app_transfers")),
    )
    op.create_index("ix_app_transfers_app_id", "app_transfers", ["app_id"])


def _times() -> tuple[sa.Column, sa.Column]:
    return (
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
    )


def _of(table: str, column: str, other: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [column], [f"{other}.id"], name=op.f(f"fk_{table}_{column}"), ondelete="CASCADE"
    )
