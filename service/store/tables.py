"""Every table, in SQLAlchemy Core; the first migration creates exactly these.

Times are stored as microseconds since the epoch (`Moment`), because SQLite has no time type; structures as JSON text;
secrets as bytes sealed by `store/secrets.py`. Ids are UUIDs in text form.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from service.domain.model import Stage

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Moment(TypeDecorator[datetime]):
    """An aware UTC time as microseconds since the epoch."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        """Refuse naive times: they would be off by the server's zone."""
        return None if value is None else (value - EPOCH) // timedelta(microseconds=1)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Back to an aware time."""
        return None if value is None else EPOCH + timedelta(microseconds=int(value))


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _id() -> Column[str]:
    return Column("id", String(36), primary_key=True)


def _times() -> tuple[Column[datetime], Column[datetime]]:
    return Column("created_at", Moment, nullable=False), Column("updated_at", Moment, nullable=False)


def _version() -> Column[int]:
    return Column("row_version", Integer, nullable=False, server_default="0")


# A value per name: schema canary, machine id, counters ("fact_counter", "route_version").
meta = Table(
    "meta", metadata, Column("name", String(64), primary_key=True), Column("value", LargeBinary, nullable=False)
)
counters = Table(
    "counters", metadata, Column("name", String(64), primary_key=True), Column("value", BigInteger, nullable=False)
)

users = Table(
    "users",
    metadata,
    _id(),
    Column("email", String(320), nullable=False, unique=True),
    Column("name", Text, nullable=False, server_default=""),
    *_times(),
)
api_tokens = Table(
    "api_tokens",
    metadata,
    _id(),
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("sha256", String(64), nullable=False, unique=True),
    Column("description", Text, nullable=False, server_default=""),
    Column("created_at", Moment, nullable=False),
    Column("last_used_at", Moment),
    Column("expires_at", Moment),
)

spaces = Table(
    "spaces",
    metadata,
    _id(),
    Column("name", String(30), nullable=False, unique=True),
    Column("driver", String(30), nullable=False),
    Column("settings", Text, nullable=False, server_default="{}"),
    *_times(),
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
    *_times(),
)
pipelines = Table(
    "pipelines",
    metadata,
    _id(),
    Column("name", String(30), nullable=False),
    Column("owner_id", String(36)),
    Column("owner_type", String(4)),
    Column("repository_id", ForeignKey("repositories.id")),
    Column("root_directory", Text, nullable=False, server_default=""),
    Column("toggles", Text, nullable=False, server_default="{}"),
    *_times(),
    _version(),
    CheckConstraint("owner_type in ('user', 'team')", name="owner_type"),
    Index("ix_pipelines_repository", "repository_id"),
    Index("ix_pipelines_name", "name"),
)
pipeline_config = Table(
    "pipeline_config",
    metadata,
    Column("pipeline_id", ForeignKey("pipelines.id", ondelete="CASCADE"), primary_key=True),
    Column("stage", String(16), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)

# `lease_*`: who works the app's queue. `incarnation` grows with every restart of the same release. `wanted_config`
# seals the wanted config vars. `formation` is type -> quantity.
apps = Table(
    "apps",
    metadata,
    _id(),
    Column("name", String(30), nullable=False),
    Column("space_id", ForeignKey("spaces.id"), nullable=False),
    Column("owner_id", String(36)),
    Column("state", String(16), nullable=False),
    Column("is_review", Boolean, nullable=False, server_default=text("false")),
    Column("generation", Integer, nullable=False, server_default="0"),
    Column("current_release_id", String(36)),
    Column("last_release_version", Integer, nullable=False, server_default="0"),
    Column("last_request_seq", BigInteger, nullable=False, server_default="0"),
    Column("repository_id", ForeignKey("repositories.id")),
    Column("auto_deploy", Boolean, nullable=False, server_default=text("false")),
    Column("auto_deploy_branch", Text, nullable=False, server_default=""),
    Column("wait_for_ci", Boolean, nullable=False, server_default=text("false")),
    Column("maintenance", Boolean, nullable=False, server_default=text("false")),
    Column("formation", Text, nullable=False, server_default="{}"),
    Column("wanted_config", LargeBinary),
    Column("engine_state", String(16), nullable=False, server_default=""),
    Column("incarnation", Integer, nullable=False, server_default="0"),
    Column("released_at", Moment),
    Column("lease_holder", String(64)),
    Column("lease_token", BigInteger, nullable=False, server_default="0"),
    Column("lease_expires", Moment),
    Column("retry_at", Moment),
    Column("attempts", Integer, nullable=False, server_default="0"),
    *_times(),
    _version(),
    CheckConstraint("state in ('active', 'suspended', 'destroying', 'gone')", name="state"),
    Index("ix_apps_auto_deploy", "repository_id", "auto_deploy"),
    Index("ix_apps_name", "name"),
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
_STAGES = ", ".join(f"'{stage.value}'" for stage in Stage)
couplings = Table(
    "couplings",
    metadata,
    _id(),
    Column("app_id", ForeignKey("apps.id", ondelete="CASCADE"), nullable=False),
    Column("pipeline_id", ForeignKey("pipelines.id", ondelete="CASCADE"), nullable=False),
    Column("stage", String(16), nullable=False),
    *_times(),
    UniqueConstraint("app_id"),
    CheckConstraint(f"stage in ({_STAGES})", name="stage"),
    Index("ix_couplings_pipeline", "pipeline_id", "stage"),
)
review_apps = Table(
    "review_apps",
    metadata,
    _id(),
    Column("pipeline_id", ForeignKey("pipelines.id"), nullable=False),
    Column("repository_id", BigInteger, nullable=False),
    Column("ref", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("app_id", String(36)),
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    Column("sha", String(40), nullable=False),
    Column("branch", Text, nullable=False, server_default=""),
    Column("pinned", Boolean, nullable=False, server_default=text("false")),
    Column("by_person", Boolean, nullable=False, server_default=text("false")),
    Column("postdeploy_done", Boolean, nullable=False, server_default=text("false")),
    Column("deployed_at", Moment),
    *_times(),
    _version(),
    UniqueConstraint("pipeline_id", "repository_id", "ref", "generation"),
    Index("ix_review_apps_app", "app_id"),
    Index("ix_review_apps_repository", "repository_id", "ref"),
)

# `body` is the zstd-compressed raw body. States: received, processed, ignored, failed. `verdict` says what came of it.
deliveries = Table(
    "deliveries",
    metadata,
    Column("guid", String(64), primary_key=True),
    Column("event", String(64), nullable=False),
    Column("action", String(64), nullable=False, server_default=""),
    Column("repository_id", BigInteger),
    Column("installation_id", BigInteger),
    Column("body", LargeBinary, nullable=False),
    Column("body_sha256", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("verdict", Text, nullable=False, server_default=""),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("received_at", Moment, nullable=False),
    Column("processed_at", Moment),
    Index("ix_deliveries_state", "state", "received_at"),
    Index("ix_deliveries_received", "received_at"),
)
# `asked` is the counter value taken before the request whose answer this is. `waiters` is a JSON list of subjects to
# ring after the next look; `wanted_at` is set while a look is outstanding, `retry_at` when it failed.
facts = Table(
    "facts",
    metadata,
    Column("kind", String(32), primary_key=True),
    Column("repository_id", BigInteger, primary_key=True, autoincrement=False),
    Column("key", Text, primary_key=True),
    Column("value", Text),
    Column("error", Text, nullable=False, server_default=""),
    Column("etag", Text, nullable=False, server_default=""),
    Column("asked", BigInteger, nullable=False, server_default="0"),
    Column("stale_asked", BigInteger, nullable=False, server_default="0"),
    Column("looked_at", Moment),
    Column("first_seen_at", Moment, nullable=False),
    Column("waiters", Text, nullable=False, server_default="[]"),
    Column("wanted_at", Moment),
    Column("retry_at", Moment),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("lease_holder", String(64)),
    Column("lease_expires", Moment),
    Index("ix_facts_wanted", "wanted_at"),
)
# `rung` grows with every ring; a reconcile is over only when the value it started from is still the newest (`seen`).
subjects = Table(
    "subjects",
    metadata,
    Column("kind", String(32), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("rung", BigInteger, nullable=False),
    Column("seen", BigInteger, nullable=False, server_default="0"),
    Column("cause", Text, nullable=False, server_default=""),
    Column("due_at", Moment),
    Column("rung_at", Moment, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("lease_holder", String(64)),
    Column("lease_expires", Moment),
    Column("outcome", Text, nullable=False, server_default=""),
    Column("reason", Text, nullable=False, server_default=""),
    Column("reconciled_at", Moment),
    Index("ix_subjects_due", "due_at"),
)
# One app's queue. `work` is the request's JSON, `sealed` what of it is secret (config values).
requests = Table(
    "requests",
    metadata,
    _id(),
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
    *_times(),
    UniqueConstraint("app_id", "seq"),
    Index("ix_requests_open", "state", "priority", "created_at"),
    Index("ix_requests_app", "app_id", "state"),
)
builds = Table(
    "builds",
    metadata,
    _id(),
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
    *_times(),
    Index("ix_builds_app", "app_id", "created_at"),
    UniqueConstraint("request_id"),
)
slugs = Table(
    "slugs",
    metadata,
    _id(),
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
    Column("created_at", Moment, nullable=False),
)
# `sealed_config` is the full config the release ran with, fixed when its turn started.
releases = Table(
    "releases",
    metadata,
    _id(),
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
    *_times(),
    UniqueConstraint("app_id", "version"),
    UniqueConstraint("request_id"),
    Index("ix_releases_commit", "commit_sha"),
)
promotions = Table(
    "promotions",
    metadata,
    _id(),
    Column("pipeline_id", ForeignKey("pipelines.id"), nullable=False),
    Column("source_app_id", String(36), nullable=False),
    Column("source_release_id", String(36), nullable=False),
    Column("slug_id", ForeignKey("slugs.id"), nullable=False),
    Column("actor", Text, nullable=False),
    *_times(),
)
promotion_targets = Table(
    "promotion_targets",
    metadata,
    _id(),
    Column("promotion_id", ForeignKey("promotions.id"), nullable=False),
    Column("app_id", String(36), nullable=False),
    Column("request_id", ForeignKey("requests.id"), nullable=False),
    Column("release_id", String(36)),
    Column("state", String(16), nullable=False),
    Column("error", Text, nullable=False, server_default=""),
    Index("ix_promotion_targets_promotion", "promotion_id"),
    Index("ix_promotion_targets_request", "request_id"),
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
    Column("release_id", String(36)),
)
# The outbox: one row per object to show on GitHub. `wanted` is what it should show (JSON), `shown` a digest of what was
# written; equal digests mean nothing is to be done. `github_id` is the object's id once it is known.
reports = Table(
    "reports",
    metadata,
    Column("key", String(128), primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("repository_id", BigInteger, nullable=False),
    Column("installation_id", BigInteger, nullable=False, server_default="0"),
    Column("wanted", Text, nullable=False),
    Column("wanted_digest", String(64), nullable=False),
    Column("shown_digest", String(64), nullable=False, server_default=""),
    Column("terminal", Boolean, nullable=False),
    Column("github_id", BigInteger),
    Column("attempted", Boolean, nullable=False, server_default=text("false")),
    Column("pending", Boolean, nullable=False),
    Column("error", Text, nullable=False, server_default=""),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("retry_at", Moment),
    *_times(),
    Index("ix_reports_pending", "pending", "installation_id"),
)
activity = Table(
    "activity",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("at", Moment, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", String(64), nullable=False),
    Column("pipeline_id", String(36)),
    Column("app_id", String(36)),
    Column("ref", Text, nullable=False, server_default=""),
    Column("sha", String(40)),
    Column("data", Text, nullable=False, server_default="{}"),
    Index("ix_activity_app", "app_id", "id"),
    Index("ix_activity_pipeline", "pipeline_id", "id"),
    Index("ix_activity_sha", "sha"),
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
    *_times(),
)
leases = Table(
    "leases",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("holder", String(64), nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("expires", Moment, nullable=False),
)
log_chunks = Table(
    "log_chunks",
    metadata,
    Column("log_id", String(36), primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("at", Moment, nullable=False),
    Column("text", Text, nullable=False),
)
log_streams = Table(
    "log_streams",
    metadata,
    Column("log_id", String(36), primary_key=True),
    Column("closed", Boolean, nullable=False, server_default=text("false")),
    Column("created_at", Moment, nullable=False),
)
installations = Table(
    "installations",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("account", Text, nullable=False),
    Column("suspended", Boolean, nullable=False, server_default=text("false")),
    *_times(),
)
