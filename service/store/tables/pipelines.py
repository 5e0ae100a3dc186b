"""Pipelines, who is in which stage, review apps and promotions."""

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

from service.domain.model import Stage
from service.store.tables.base import Moment, id_column, metadata, time_columns, version_column

pipelines = Table(
    "pipelines",
    metadata,
    id_column(),
    Column("name", String(30), nullable=False),
    Column("owner_id", String(36)),
    Column("owner_type", String(4)),
    Column("repository_id", ForeignKey("repositories.id")),
    Column("root_directory", Text, nullable=False, server_default=""),
    Column("toggles", Text, nullable=False, server_default="{}"),
    Column("build_config", Text, nullable=False, server_default="[]"),
    # The user whose own right on GitHub it was connected by, what that was found to be since if it is not enough any
    # more, and when it was looked up last.
    Column("connected_by", String(36)),
    Column("right_lost", Text, nullable=False, server_default=""),
    Column("right_checked_at", Moment),
    # What its checks are called, chosen when it is connected; no other pipeline of the repository has the same.
    Column("check_name", String(64), nullable=False, server_default=""),
    *time_columns(),
    version_column(),
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

_STAGES = ", ".join(f"'{stage.value}'" for stage in Stage)

couplings = Table(
    "couplings",
    metadata,
    id_column(),
    Column("app_id", ForeignKey("apps.id", ondelete="CASCADE"), nullable=False),
    Column("pipeline_id", ForeignKey("pipelines.id", ondelete="CASCADE"), nullable=False),
    Column("stage", String(16), nullable=False),
    *time_columns(),
    UniqueConstraint("app_id"),
    CheckConstraint(f"stage in ({_STAGES})", name="stage"),
    Index("ix_couplings_pipeline", "pipeline_id", "stage"),
)

review_apps = Table(
    "review_apps",
    metadata,
    id_column(),
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
    *time_columns(),
    version_column(),
    UniqueConstraint("pipeline_id", "repository_id", "ref", "generation"),
    Index("ix_review_apps_app", "app_id"),
    Index("ix_review_apps_ref", "ref"),
    Index("ix_review_apps_sha", "sha"),
    Index("ix_review_apps_repository", "repository_id", "ref"),
)

# Commits of forks and bots that a person has approved: never more than one commit of one pull request at a time.
fork_approvals = Table(
    "fork_approvals",
    metadata,
    Column("pipeline_id", ForeignKey("pipelines.id", ondelete="CASCADE"), primary_key=True),
    Column("repository_id", BigInteger, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("sha", String(40), primary_key=True),
    Column("actor", Text, nullable=False),
    Column("how", String(16), nullable=False),
    Column("created_at", Moment, nullable=False),
)

# What keeps new code out of an app, or out of a pipeline's apps; without `expires_at` until it is taken off.
deploy_locks = Table(
    "deploy_locks",
    metadata,
    id_column(),
    Column("app_id", ForeignKey("apps.id", ondelete="CASCADE"), unique=True),
    Column("pipeline_id", ForeignKey("pipelines.id", ondelete="CASCADE"), unique=True),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("expires_at", Moment),
    *time_columns(),
    CheckConstraint("(app_id is null) <> (pipeline_id is null)", name="one_target"),
)

# With `all_or_nothing` no target keeps what another could not be given.
promotions = Table(
    "promotions",
    metadata,
    id_column(),
    Column("pipeline_id", ForeignKey("pipelines.id"), nullable=False),
    Column("source_app_id", String(36), nullable=False),
    Column("source_release_id", String(36), nullable=False),
    Column("slug_id", ForeignKey("slugs.id"), nullable=False),
    Column("actor", Text, nullable=False),
    Column("all_or_nothing", Boolean, nullable=False, server_default=text("false")),
    *time_columns(),
)

# `prepared`: its release command has passed, and it may go live with the others. `back_request_id` is what puts it back
# to what it ran before, because another one failed.
promotion_targets = Table(
    "promotion_targets",
    metadata,
    id_column(),
    Column("promotion_id", ForeignKey("promotions.id"), nullable=False),
    Column("app_id", String(36), nullable=False),
    Column("request_id", ForeignKey("requests.id"), nullable=False),
    Column("release_id", String(36)),
    Column("state", String(16), nullable=False),
    Column("error", Text, nullable=False, server_default=""),
    Column("prepared", Boolean, nullable=False, server_default=text("false")),
    Column("back_request_id", String(36)),
    Index("ix_promotion_targets_promotion", "promotion_id"),
    Index("ix_promotion_targets_request", "request_id"),
    Index("ix_promotion_targets_back", "back_request_id"),
    Index("ix_promotion_targets_state", "state"),
)
