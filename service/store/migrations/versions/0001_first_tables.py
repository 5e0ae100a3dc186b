"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "activity",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("pipeline_id", sa.String(length=36), nullable=True),
        sa.Column("app_id", sa.String(length=36), nullable=True),
        sa.Column("ref", sa.Text(), server_default="", nullable=False),
        sa.Column("sha", sa.String(length=40), nullable=True),
        sa.Column("data", sa.Text(), server_default="{}", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_activity")),
    )
    op.create_index("ix_activity_app", "activity", ["app_id", "id"], unique=False)
    op.create_index("ix_activity_pipeline", "activity", ["pipeline_id", "id"], unique=False)
    op.create_index("ix_activity_sha", "activity", ["sha"], unique=False)
    op.create_index("ix_activity_ref", "activity", ["ref", "id"], unique=False)
    op.create_table(
        "commands",
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("app_id", sa.String(length=36), nullable=False),
        sa.Column("step", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_commands")),
    )
    op.create_table(
        "counters",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_counters")),
    )
    op.create_table(
        "deliveries",
        sa.Column("guid", sa.String(length=64), nullable=False),
        sa.Column("event", sa.String(length=64), nullable=False),
        sa.Column("action", sa.String(length=64), server_default="", nullable=False),
        sa.Column("repository_id", sa.BigInteger(), nullable=True),
        sa.Column("installation_id", sa.BigInteger(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("body_sha256", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("verdict", sa.Text(), server_default="", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("processed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("guid", name=op.f("pk_deliveries")),
    )
    op.create_index("ix_deliveries_received", "deliveries", ["received_at"], unique=False)
    op.create_index("ix_deliveries_state", "deliveries", ["state", "received_at"], unique=False)
    op.create_table(
        "facts",
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("repository_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), server_default="", nullable=False),
        sa.Column("etag", sa.Text(), server_default="", nullable=False),
        sa.Column("asked", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("stale_asked", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("looked_at", sa.BigInteger(), nullable=True),
        sa.Column("first_seen_at", sa.BigInteger(), nullable=False),
        sa.Column("waiters", sa.Text(), server_default="[]", nullable=False),
        sa.Column("wanted_at", sa.BigInteger(), nullable=True),
        sa.Column("retry_at", sa.BigInteger(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lease_holder", sa.String(length=64), nullable=True),
        sa.Column("lease_expires", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("kind", "repository_id", "key", name=op.f("pk_facts")),
    )
    op.create_index("ix_facts_wanted", "facts", ["wanted_at"], unique=False)
    op.create_index("ix_facts_looked", "facts", ["looked_at"], unique=False)
    op.create_table(
        "installations",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("suspended", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_installations")),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("holder", sa.String(length=64), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )
    op.create_table(
        "log_chunks",
        sa.Column("log_id", sa.String(length=36), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("log_id", "seq", name=op.f("pk_log_chunks")),
    )
    op.create_table(
        "log_streams",
        sa.Column("log_id", sa.String(length=36), nullable=False),
        sa.Column("closed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("log_id", name=op.f("pk_log_streams")),
    )
    op.create_index("ix_log_streams_created", "log_streams", ["created_at"], unique=False)
    op.create_table(
        "meta",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_meta")),
    )
    op.create_table(
        "names",
        sa.Column("name", sa.String(length=30), nullable=False),
        sa.Column("app_id", sa.String(length=36), nullable=True),
        sa.Column("pipeline_id", sa.String(length=36), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_names")),
    )
    op.create_table(
        "reports",
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("repository_id", sa.BigInteger(), nullable=False),
        sa.Column("installation_id", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("wanted", sa.Text(), nullable=False),
        sa.Column("wanted_digest", sa.String(length=64), nullable=False),
        sa.Column("shown_digest", sa.String(length=64), server_default="", nullable=False),
        sa.Column("terminal", sa.Boolean(), nullable=False),
        sa.Column("github_id", sa.BigInteger(), nullable=True),
        sa.Column("attempted", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("pending", sa.Boolean(), nullable=False),
        sa.Column("error", sa.Text(), server_default="", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("retry_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_reports")),
    )
    op.create_index("ix_reports_pending", "reports", ["pending", "installation_id"], unique=False)
    op.create_index("ix_reports_unfinished", "reports", ["terminal", "updated_at"], unique=False)
    op.create_table(
        "repositories",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("full_name", sa.Text(), nullable=False),
        sa.Column("default_branch", sa.Text(), nullable=False),
        sa.Column("installation_id", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("archived", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("accessible", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("audited_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_repositories")),
    )
    op.create_table(
        "routes",
        sa.Column("app_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=30), nullable=False),
        sa.Column("review", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("endpoints", sa.Text(), server_default="[]", nullable=False),
        sa.Column("release_id", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("app_id", name=op.f("pk_routes")),
        sa.UniqueConstraint("name", name=op.f("uq_routes_name")),
    )
    op.create_table(
        "slugs",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("trust", sa.String(length=4), nullable=False),
        sa.Column("build_key", sa.String(length=64), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("process_types", sa.Text(), nullable=False),
        sa.Column("stack", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_slugs")),
        sa.UniqueConstraint("trust", "sha256", name=op.f("uq_slugs_trust_sha256")),
    )
    op.create_table(
        "spaces",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=30), nullable=False),
        sa.Column("driver", sa.String(length=30), nullable=False),
        sa.Column("settings", sa.Text(), server_default="{}", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_spaces")),
        sa.UniqueConstraint("name", name=op.f("uq_spaces_name")),
    )
    op.create_table(
        "subjects",
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("rung", sa.BigInteger(), nullable=False),
        sa.Column("seen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("cause", sa.Text(), server_default="", nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("rung_at", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lease_holder", sa.String(length=64), nullable=True),
        sa.Column("lease_expires", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.Text(), server_default="", nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("reconciled_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("kind", "key", name=op.f("pk_subjects")),
    )
    op.create_index("ix_subjects_due", "subjects", ["due_at", "rung_at"], unique=False)
    op.create_table(
        "users",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("email", sa.String(length=320), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("email", name=op.f("uq_users_email")),
    )
    op.create_table(
        "api_tokens",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_api_tokens_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_tokens")),
        sa.UniqueConstraint("sha256", name=op.f("uq_api_tokens_sha256")),
    )
    op.create_table(
        "apps",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=30), nullable=False),
        sa.Column("space_id", sa.String(length=36), nullable=False),
        sa.Column("owner_id", sa.String(length=36), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("is_review", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("generation", sa.Integer(), server_default="0", nullable=False),
        sa.Column("current_release_id", sa.String(length=36), nullable=True),
        sa.Column("last_release_version", sa.Integer(), server_default="0", nullable=False),
        sa.Column("last_request_seq", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("repository_id", sa.BigInteger(), nullable=True),
        sa.Column("auto_deploy", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("auto_deploy_branch", sa.Text(), server_default="", nullable=False),
        sa.Column("wait_for_ci", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("maintenance", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("formation", sa.Text(), server_default="{}", nullable=False),
        sa.Column("wanted_config", sa.LargeBinary(), nullable=True),
        sa.Column("engine_state", sa.String(length=16), server_default="", nullable=False),
        sa.Column("incarnation", sa.Integer(), server_default="0", nullable=False),
        sa.Column("released_at", sa.BigInteger(), nullable=True),
        sa.Column("lease_holder", sa.String(length=64), nullable=True),
        sa.Column("lease_token", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("lease_expires", sa.BigInteger(), nullable=True),
        sa.Column("retry_at", sa.BigInteger(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("row_version", sa.Integer(), server_default="0", nullable=False),
        sa.CheckConstraint("state in ('active', 'suspended', 'destroying', 'gone')", name=op.f("ck_apps_state")),
        sa.ForeignKeyConstraint(["repository_id"], ["repositories.id"], name=op.f("fk_apps_repository_id")),
        sa.ForeignKeyConstraint(["space_id"], ["spaces.id"], name=op.f("fk_apps_space_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_apps")),
    )
    op.create_index("ix_apps_auto_deploy", "apps", ["repository_id", "auto_deploy"], unique=False)
    op.create_index("ix_apps_name", "apps", ["name"], unique=False)
    op.create_table(
        "build_keys",
        sa.Column("trust", sa.String(length=4), nullable=False),
        sa.Column("build_key", sa.String(length=64), nullable=False),
        sa.Column("slug_id", sa.String(length=36), nullable=False),
        sa.Column("locked", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["slug_id"], ["slugs.id"], name=op.f("fk_build_keys_slug_id")),
        sa.PrimaryKeyConstraint("trust", "build_key", name=op.f("pk_build_keys")),
    )
    op.create_table(
        "pipelines",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=30), nullable=False),
        sa.Column("owner_id", sa.String(length=36), nullable=True),
        sa.Column("owner_type", sa.String(length=4), nullable=True),
        sa.Column("repository_id", sa.BigInteger(), nullable=True),
        sa.Column("root_directory", sa.Text(), server_default="", nullable=False),
        sa.Column("toggles", sa.Text(), server_default="{}", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("row_version", sa.Integer(), server_default="0", nullable=False),
        sa.CheckConstraint("owner_type in ('user', 'team')", name=op.f("ck_pipelines_owner_type")),
        sa.ForeignKeyConstraint(["repository_id"], ["repositories.id"], name=op.f("fk_pipelines_repository_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pipelines")),
    )
    op.create_index("ix_pipelines_name", "pipelines", ["name"], unique=False)
    op.create_index("ix_pipelines_repository", "pipelines", ["repository_id"], unique=False)
    op.create_table(
        "couplings",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("app_id", sa.String(length=36), nullable=False),
        sa.Column("pipeline_id", sa.String(length=36), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "stage in ('test', 'review', 'development', 'staging', 'production')", name=op.f("ck_couplings_stage")
        ),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"], name=op.f("fk_couplings_app_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["pipeline_id"], ["pipelines.id"], name=op.f("fk_couplings_pipeline_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_couplings")),
        sa.UniqueConstraint("app_id", name=op.f("uq_couplings_app_id")),
    )
    op.create_index("ix_couplings_pipeline", "couplings", ["pipeline_id", "stage"], unique=False)
    op.create_table(
        "pipeline_config",
        sa.Column("pipeline_id", sa.String(length=36), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["pipeline_id"], ["pipelines.id"], name=op.f("fk_pipeline_config_pipeline_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("pipeline_id", "stage", name=op.f("pk_pipeline_config")),
    )
    op.create_table(
        "promotions",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("pipeline_id", sa.String(length=36), nullable=False),
        sa.Column("source_app_id", sa.String(length=36), nullable=False),
        sa.Column("source_release_id", sa.String(length=36), nullable=False),
        sa.Column("slug_id", sa.String(length=36), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["pipeline_id"], ["pipelines.id"], name=op.f("fk_promotions_pipeline_id")),
        sa.ForeignKeyConstraint(["slug_id"], ["slugs.id"], name=op.f("fk_promotions_slug_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_promotions")),
    )
    op.create_table(
        "requests",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("app_id", sa.String(length=36), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("work", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("sha", sa.String(length=40), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("outcome", sa.Text(), server_default="", nullable=False),
        sa.Column("superseded_by", sa.String(length=36), nullable=True),
        sa.Column("by_person", sa.Boolean(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("step", sa.String(length=32), server_default="", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"], name=op.f("fk_requests_app_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_requests")),
        sa.UniqueConstraint("app_id", "seq", name=op.f("uq_requests_app_id_seq")),
    )
    op.create_index("ix_requests_app", "requests", ["app_id", "state"], unique=False)
    op.create_index("ix_requests_open", "requests", ["state", "priority", "created_at"], unique=False)
    op.create_index("ix_requests_sha", "requests", ["sha"], unique=False)
    op.create_index("ix_requests_superseded", "requests", ["superseded_by"], unique=False)
    op.create_table(
        "review_apps",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("pipeline_id", sa.String(length=36), nullable=False),
        sa.Column("repository_id", sa.BigInteger(), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("app_id", sa.String(length=36), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("sha", sa.String(length=40), nullable=False),
        sa.Column("branch", sa.Text(), server_default="", nullable=False),
        sa.Column("pinned", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("by_person", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("postdeploy_done", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("deployed_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("row_version", sa.Integer(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["pipeline_id"], ["pipelines.id"], name=op.f("fk_review_apps_pipeline_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_review_apps")),
        sa.UniqueConstraint(
            "pipeline_id",
            "repository_id",
            "ref",
            "generation",
            name=op.f("uq_review_apps_pipeline_id_repository_id_ref_generation"),
        ),
    )
    op.create_index("ix_review_apps_app", "review_apps", ["app_id"], unique=False)
    op.create_index("ix_review_apps_ref", "review_apps", ["ref"], unique=False)
    op.create_index("ix_review_apps_sha", "review_apps", ["sha"], unique=False)
    op.create_index("ix_review_apps_repository", "review_apps", ["repository_id", "ref"], unique=False)
    op.create_table(
        "builds",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("app_id", sa.String(length=36), nullable=False),
        sa.Column("request_id", sa.String(length=36), nullable=False),
        sa.Column("repository_id", sa.BigInteger(), nullable=True),
        sa.Column("sha", sa.String(length=40), nullable=False),
        sa.Column("build_key", sa.String(length=64), server_default="", nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("slug_id", sa.String(length=36), nullable=True),
        sa.Column("reused", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("error", sa.Text(), server_default="", nullable=False),
        sa.Column("log_id", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"], name=op.f("fk_builds_app_id")),
        sa.ForeignKeyConstraint(["request_id"], ["requests.id"], name=op.f("fk_builds_request_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_builds")),
        sa.UniqueConstraint("request_id", name=op.f("uq_builds_request_id")),
    )
    op.create_index("ix_builds_app", "builds", ["app_id", "created_at"], unique=False)
    op.create_index("ix_builds_state", "builds", ["state", "created_at"], unique=False)
    op.create_index("ix_builds_log", "builds", ["log_id"], unique=False)
    op.create_table(
        "promotion_targets",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("promotion_id", sa.String(length=36), nullable=False),
        sa.Column("app_id", sa.String(length=36), nullable=False),
        sa.Column("request_id", sa.String(length=36), nullable=False),
        sa.Column("release_id", sa.String(length=36), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("error", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["promotion_id"], ["promotions.id"], name=op.f("fk_promotion_targets_promotion_id")),
        sa.ForeignKeyConstraint(["request_id"], ["requests.id"], name=op.f("fk_promotion_targets_request_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_promotion_targets")),
    )
    op.create_index("ix_promotion_targets_promotion", "promotion_targets", ["promotion_id"], unique=False)
    op.create_index("ix_promotion_targets_request", "promotion_targets", ["request_id"], unique=False)
    op.create_index("ix_promotion_targets_state", "promotion_targets", ["state"], unique=False)
    op.create_table(
        "releases",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("app_id", sa.String(length=36), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("request_id", sa.String(length=36), nullable=False),
        sa.Column("slug_id", sa.String(length=36), nullable=True),
        sa.Column("commit_sha", sa.String(length=40), nullable=True),
        sa.Column("repository_id", sa.BigInteger(), nullable=True),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("sealed_config", sa.LargeBinary(), nullable=True),
        sa.Column("error", sa.Text(), server_default="", nullable=False),
        sa.Column("log_id", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"], name=op.f("fk_releases_app_id")),
        sa.ForeignKeyConstraint(["request_id"], ["requests.id"], name=op.f("fk_releases_request_id")),
        sa.ForeignKeyConstraint(["slug_id"], ["slugs.id"], name=op.f("fk_releases_slug_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_releases")),
        sa.UniqueConstraint("app_id", "version", name=op.f("uq_releases_app_id_version")),
        sa.UniqueConstraint("request_id", name=op.f("uq_releases_request_id")),
    )
    op.create_index("ix_releases_commit", "releases", ["commit_sha"], unique=False)
    op.create_index("ix_releases_state", "releases", ["state", "created_at"], unique=False)
    op.create_index("ix_releases_slug", "releases", ["slug_id"], unique=False)
    op.create_index("ix_releases_log", "releases", ["log_id"], unique=False)
