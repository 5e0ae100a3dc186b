"""Apps with all that makes them run: queue, builds, slugs, releases, routes."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
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

from service.store.tables.base import Moment, id_column, metadata, time_columns, version_column

# `lease_*`: who works the app's queue. `incarnation` grows with every restart of the same release. `wanted_config`
# seals the wanted config vars. `formation` is type -> quantity.
apps = Table(
    "apps",
    metadata,
    id_column(),
    Column("name", String(30), nullable=False),
    Column("space_id", ForeignKey("spaces.id"), nullable=False),
    Column("owner_id", String(36)),
    Column("owner_type", String(4)),
    Column("state", String(16), nullable=False),
    Column("is_review", Boolean, nullable=False, server_default=text("false")),
    Column("generation", Integer, nullable=False, server_default="0"),
    Column("current_release_id", String(36)),
    Column("last_release_version", Integer, nullable=False, server_default="0"),
    Column("last_request_seq", BigInteger, nullable=False, server_default="0"),
    Column("repository_id", ForeignKey("repositories.id")),
    Column("auto_deploy", Boolean, nullable=False, server_default=text("false")),
    Column("auto_deploy_branch", Text, nullable=False, server_default=""),
    Column("follows_default", Boolean, nullable=False, server_default=text("false")),
    Column("wait_for_ci", Boolean, nullable=False, server_default=text("false")),
    Column("maintenance", Boolean, nullable=False, server_default=text("false")),
    Column("promotable", Boolean, nullable=False, server_default=text("true")),
    Column("formation", Text, nullable=False, server_default="{}"),
    Column("wanted_config", LargeBinary),
    Column("build_config", Text, nullable=False, server_default="[]"),
    Column("engine_state", String(16), nullable=False, server_default=""),
    Column("incarnation", Integer, nullable=False, server_default="0"),
    Column("released_at", Moment),
    Column("lease_holder", String(64)),
    Column("lease_token", BigInteger, nullable=False, server_default="0"),
    Column("lease_expires", Moment),
    Column("retry_at", Moment),
    Column("attempts", Integer, nullable=False, server_default="0"),
    *time_columns(),
    version_column(),
    CheckConstraint("state in ('active', 'suspended', 'destroying', 'gone')", name="state"),
    Index("ix_apps_auto_deploy", "repository_id", "auto_deploy"),
    Index("ix_apps_name", "name"),
)

# What somebody may do to an app beside what follows from whose it is: a JSON list.
app_grants = Table(
    "app_grants",
    metadata,
    id_column(),
    Column("app_id", ForeignKey("apps.id", ondelete="CASCADE"), nullable=False),
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("permissions", Text, nullable=False),
    *time_columns(),
    UniqueConstraint("app_id", "user_id"),
    Index("ix_app_grants_user_id", "user_id"),
)

# An app offered to a person. States: pending, accepted, declined.
app_transfers = Table(
    "app_transfers",
    metadata,
    id_column(),
    Column("app_id", ForeignKey("apps.id", ondelete="CASCADE"), nullable=False),
    Column("sender_id", ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("recipient_id", ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("state", String(16), nullable=False),
    *time_columns(),
    Index("ix_app_transfers_app_id", "app_id"),
)

# One unique table over all names, app and review app: a name stays reserved after its app has gone (`app_id` null),
# for the pipeline that had it.
names = Table(
    "names",
    metadata,
    Column("name", String(30), primary_key=True),
    Column("app_id", String(36)),
    Column("pipeline_id", String(36)),
)

# One app's queue. `work` is the request's JSON, `sealed` what of it is secret (config values).
requests = Table(
    "requests",
    metadata,
    id_column(),
    Column("app_id", ForeignKey("apps.id"), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("work", Text, nullable=False),
    Column("sealed", LargeBinary),
    Column("sha", String(40)),
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    Column("outcome", Text, nullable=False, server_default=""),
    Column("superseded_by", String(36)),
    Column("by_person", Boolean, nullable=False),
    Column("actor", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("step", String(32), nullable=False, server_default=""),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("started_at", Moment),
    Column("finished_at", Moment),
    *time_columns(),
    UniqueConstraint("app_id", "seq"),
    Index("ix_requests_open", "state", "priority", "created_at"),
    Index("ix_requests_app", "app_id", "state"),
    Index("ix_requests_sha", "sha"),
    Index("ix_requests_superseded", "superseded_by"),
)

builds = Table(
    "builds",
    metadata,
    id_column(),
    Column("app_id", ForeignKey("apps.id"), nullable=False),
    Column("request_id", ForeignKey("requests.id"), nullable=False),
    Column("repository_id", BigInteger),
    Column("sha", String(40), nullable=False),
    Column("build_key", String(64), nullable=False, server_default=""),
    Column("state", String(16), nullable=False),
    Column("slug_id", String(36)),
    Column("reused", Boolean, nullable=False, server_default=text("false")),
    Column("error", Text, nullable=False, server_default=""),
    Column("log_id", String(36), nullable=False),
    *time_columns(),
    Index("ix_builds_app", "app_id", "created_at"),
    Index("ix_builds_state", "state", "created_at"),
    Index("ix_builds_log", "log_id"),
    UniqueConstraint("request_id"),
)

# A packed source that was sent to be built: its file is named by the id and the content.
sources = Table(
    "sources",
    metadata,
    id_column(),
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("state", String(16), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("created_at", Moment, nullable=False),
    Index("ix_sources_user_id", "user_id"),
    Index("ix_sources_created_at", "created_at"),
)

slugs = Table(
    "slugs",
    metadata,
    id_column(),
    Column("trust", String(4), nullable=False),
    Column("build_key", String(64), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("process_types", Text, nullable=False),
    Column("stack", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    UniqueConstraint("trust", "sha256"),
)

# Which slug a build key gave: only builds look here. Two keys may give the same slug.
build_keys = Table(
    "build_keys",
    metadata,
    Column("trust", String(4), primary_key=True),
    Column("build_key", String(64), primary_key=True),
    Column("slug_id", ForeignKey("slugs.id"), nullable=False),
    Column("locked", Boolean, nullable=False),
    Column("created_at", Moment, nullable=False),
)

# `sealed_config` is the full config the release ran with, fixed when its turn started.
releases = Table(
    "releases",
    metadata,
    id_column(),
    Column("app_id", ForeignKey("apps.id"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("request_id", ForeignKey("requests.id"), nullable=False),
    Column("slug_id", ForeignKey("slugs.id")),
    Column("commit_sha", String(40)),
    Column("repository_id", BigInteger),
    Column("description", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("sealed_config", LargeBinary),
    Column("error", Text, nullable=False, server_default=""),
    Column("log_id", String(36), nullable=False),
    *time_columns(),
    UniqueConstraint("app_id", "version"),
    UniqueConstraint("request_id"),
    Index("ix_releases_commit", "commit_sha"),
    Index("ix_releases_state", "state", "created_at"),
    Index("ix_releases_slug", "slug_id"),
    Index("ix_releases_log", "log_id"),
)

# What an app's own repository has on its branches: the commits that were pushed to it and built.
pushed_heads = Table(
    "pushed_heads",
    metadata,
    Column("app_id", ForeignKey("apps.id", ondelete="CASCADE"), primary_key=True),
    Column("branch", String(16), primary_key=True),
    Column("sha", String(40), nullable=False),
    Column("updated_at", Moment, nullable=False),
)

# Where the router sends an app's requests. A change raises counters.route_version in the same transaction.
routes = Table(
    "routes",
    metadata,
    Column("app_id", String(36), primary_key=True),
    Column("name", String(30), nullable=False, unique=True),
    Column("review", Boolean, nullable=False),
    Column("state", String(16), nullable=False),
    Column("endpoints", Text, nullable=False, server_default="[]"),
    # As the engine names it: the release and, after a dot, how often it was restarted.
    Column("release_id", String(64)),
)

# A named run of a release phase or script: never two at once, recorded once.
commands = Table(
    "commands",
    metadata,
    Column("name", String(128), primary_key=True),
    Column("app_id", String(36), nullable=False),
    Column("step", String(32), nullable=False),
    Column("state", String(16), nullable=False),
    Column("exit_code", Integer),
    *time_columns(),
)

# A command that somebody runs beside an app, once. `sealed` holds it word for word, with its variables; `command` is
# what people are shown of it; `version` is the release's.
one_offs = Table(
    "one_offs",
    metadata,
    id_column(),
    Column("app_id", ForeignKey("apps.id"), nullable=False),
    Column("release_id", ForeignKey("releases.id"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("name", String(160), nullable=False),
    Column("command", Text, nullable=False),
    Column("sealed", LargeBinary),
    Column("attached", Boolean, nullable=False),
    Column("tty", Boolean, nullable=False),
    Column("state", String(16), nullable=False),
    Column("exit_code", Integer),
    Column("reason", Text, nullable=False, server_default=""),
    Column("stopping", Boolean, nullable=False, server_default=text("false")),
    Column("actor", Text, nullable=False),
    Column("ends_at", Moment, nullable=False),
    *time_columns(),
    UniqueConstraint("app_id", "name"),
    Index("ix_one_offs_state", "state", "created_at"),
    Index("ix_one_offs_release_id", "release_id"),
)
