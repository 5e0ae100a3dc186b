"""The installation itself: its people, tokens, spaces, the repositories it knows, its loops' leases."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from service.store.tables.base import Moment, id_column, metadata, time_columns

# A value per name: schema canary, machine id, counters ("fact_counter", "route_version").
meta = Table(
    "meta", metadata, Column("name", String(64), primary_key=True), Column("value", LargeBinary, nullable=False)
)

counters = Table(
    "counters", metadata, Column("name", String(64), primary_key=True), Column("value", BigInteger, nullable=False)
)

# `admin` is an administrator of the installation. Who they are on GitHub is said by an administrator: the number stays
# when the login is given away.
users = Table(
    "users",
    metadata,
    id_column(),
    Column("email", String(320), nullable=False, unique=True),
    Column("name", Text, nullable=False, server_default=""),
    Column("admin", Boolean, nullable=False, server_default=text("false")),
    Column("github_login", Text),
    Column("github_id", BigInteger),
    *time_columns(),
)

# `prefix` is the token's beginning, by which people know it; of the rest only the digest of the whole is kept. `scopes`
# is a JSON list.
api_tokens = Table(
    "api_tokens",
    metadata,
    id_column(),
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("sha256", String(64), nullable=False, unique=True),
    Column("description", Text, nullable=False, server_default=""),
    Column("created_at", Moment, nullable=False),
    Column("last_used_at", Moment),
    Column("expires_at", Moment),
    Column("prefix", String(16), nullable=False, server_default=""),
    Column("scopes", Text, nullable=False, server_default='["global"]'),
    Column("rotated_at", Moment),
    Index("ix_api_tokens_user_id", "user_id"),
)

# A way into the dashboard for one person, once: of the link only the digest is kept. Link and session end with the
# token that the link was made by.
sign_in_links = Table(
    "sign_in_links",
    metadata,
    id_column(),
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("token_id", ForeignKey("api_tokens.id", ondelete="CASCADE")),
    Column("sha256", String(64), nullable=False, unique=True),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("used_at", Moment),
)

# A browser that is signed in, known by a cookie of which only the digest is kept.
sessions = Table(
    "sessions",
    metadata,
    id_column(),
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("token_id", ForeignKey("api_tokens.id", ondelete="CASCADE")),
    Column("sha256", String(64), nullable=False, unique=True),
    Column("created_at", Moment, nullable=False),
    Column("seen_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Index("ix_sessions_user_id", "user_id"),
    Index("ix_sessions_token_id", "token_id"),
)

# Who signs in with GitHub: proved by GitHub itself, by its number, which stays when a login is given to somebody else.
github_identities = Table(
    "github_identities",
    metadata,
    Column("github_id", BigInteger, primary_key=True, autoincrement=False),
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), nullable=False, unique=True),
    Column("login", Text, nullable=False),
    *time_columns(),
)

# A browser that was sent to GitHub and is to come back: of `state` and of the browser's cookie only digests are kept.
# With a session it is about linking the account of whoever is signed in by it, with an invitation about accepting that.
github_sign_ins = Table(
    "github_sign_ins",
    metadata,
    Column("state_sha256", String(64), primary_key=True),
    Column("browser_sha256", String(64), nullable=False),
    Column("session_id", ForeignKey("sessions.id", ondelete="CASCADE")),
    Column("invitation_id", ForeignKey("invitations.id", ondelete="CASCADE")),
    Column("next_path", Text, nullable=False),
    Column("expires_at", Moment, nullable=False, index=True),
)

teams = Table("teams", metadata, id_column(), Column("name", String(30), nullable=False, unique=True), *time_columns())

memberships = Table(
    "memberships",
    metadata,
    id_column(),
    Column("team_id", ForeignKey("teams.id", ondelete="CASCADE"), nullable=False),
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("role", String(16), nullable=False),
    *time_columns(),
    UniqueConstraint("team_id", "user_id"),
    Index("ix_memberships_user_id", "user_id"),
)

# Somebody who has no account yet: with the account they are in the team. With a link, of which only the digest is kept,
# they make that themselves, until `expires_at`.
invitations = Table(
    "invitations",
    metadata,
    id_column(),
    Column("team_id", ForeignKey("teams.id", ondelete="CASCADE"), nullable=False),
    Column("email", String(320), nullable=False),
    Column("role", String(16), nullable=False),
    Column("invited_by", ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("link_sha256", String(64), unique=True, index=True),
    Column("expires_at", Moment),
    *time_columns(),
    UniqueConstraint("team_id", "email"),
    Index("ix_invitations_email", "email"),
)

spaces = Table(
    "spaces",
    metadata,
    id_column(),
    Column("name", String(30), nullable=False, unique=True),
    Column("driver", String(30), nullable=False),
    Column("settings", Text, nullable=False, server_default="{}"),
    *time_columns(),
)

installations = Table(
    "installations",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("account", Text, nullable=False),
    Column("suspended", Boolean, nullable=False, server_default=text("false")),
    *time_columns(),
)

repositories = Table(
    "repositories",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("full_name", Text, nullable=False),
    Column("default_branch", Text, nullable=False),
    Column("installation_id", BigInteger, nullable=False, server_default="0"),
    Column("archived", Boolean, nullable=False, server_default=text("false")),
    Column("accessible", Boolean, nullable=False, server_default=text("true")),
    Column("audited_at", Moment),
    Column("lost_at", Moment),  # since when it has not been accessible
    *time_columns(),
)

# What is left of GitHub's hourly limits as it last said, by installation (0: a token's, -1: the App's own).
github_quotas = Table(
    "github_quotas",
    metadata,
    Column("installation_id", BigInteger, primary_key=True, autoincrement=False),
    Column("granted", Integer, nullable=False),
    Column("remaining", Integer, nullable=False),
    Column("resets_at", Moment, nullable=False),
)

# A request with an Idempotency-Key: claimed, and once it was answered its answer, sealed.
idempotent_requests = Table(
    "idempotent_requests",
    metadata,
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("sealed", LargeBinary),
    Column("created_at", Moment, nullable=False, index=True),
)

# Our own GitHub App, as the set-up's pages made it: at most one row, its secrets sealed.
github_app = Table(
    "github_app",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("slug", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("html_url", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    *time_columns(),
)

# One run of the set-up's pages; of its link, its browser session and GitHub's `state` only digests are kept.
github_setups = Table(
    "github_setups",
    metadata,
    id_column(),
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("organization", Text, nullable=False, server_default=""),
    Column("state", String(16), nullable=False),
    Column("link_sha256", String(64), nullable=False, unique=True),
    Column("session_sha256", String(64), index=True),
    Column("state_sha256", String(64)),
    Column("expires_at", Moment, nullable=False),
    *time_columns(),
)

# What an engine runs of an app that is in no row of `apps`.
orphans = Table(
    "orphans",
    metadata,
    Column("app_id", String(64), primary_key=True),
    Column("driver", String(30), nullable=False),
    Column("processes", Text, nullable=False),
    Column("leaving", Boolean, nullable=False, server_default=text("false")),
    Column("first_seen_at", Moment, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("holder", String(64), nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("expires", Moment, nullable=False),
)
