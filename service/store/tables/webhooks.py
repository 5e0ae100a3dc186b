"""Outbound webhooks: who listens, what happened, and what became of telling them."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
)

from service.store.tables.base import Moment, id_column, metadata, time_columns

# `include` is a JSON list. `sealed` holds the secret and, if there is one, the Authorization header. `due_at` is when
# its next delivery is to be tried, null while there is none; with `stopped_at` nothing new is put down for it.
webhooks = Table(
    "webhooks",
    metadata,
    id_column(),
    Column("app_id", ForeignKey("apps.id", ondelete="CASCADE")),
    Column("pipeline_id", ForeignKey("pipelines.id", ondelete="CASCADE")),
    Column("include", Text, nullable=False),
    Column("level", String(8), nullable=False),
    Column("url", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("due_at", Moment),
    Column("stopped_at", Moment),
    Column("reason", Text, nullable=False, server_default=""),
    *time_columns(),
    CheckConstraint("(app_id is null) <> (pipeline_id is null)", name="one_target"),
    Index("ix_webhooks_app_id", "app_id"),
    Index("ix_webhooks_pipeline_id", "pipeline_id"),
    Index("ix_webhooks_due_at", "due_at"),
)

# `seq` is the order of what happened. `data` and `previous` are JSON, with people as the activity log names them.
webhook_events = Table(
    "webhook_events",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("id", String(36), nullable=False, unique=True),
    Column("app_id", String(36)),
    Column("pipeline_id", String(36)),
    Column("include", String(32), nullable=False),
    Column("action", String(8), nullable=False),
    Column("actor", Text, nullable=False),
    Column("data", Text, nullable=False),
    Column("previous", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Index("ix_webhook_events_app_id", "app_id", "seq"),
    Index("ix_webhook_events_pipeline_id", "pipeline_id", "seq"),
    Index("ix_webhook_events_created_at", "created_at"),
    sqlite_autoincrement=True,  # else numbers of deleted events would be given again
)

# States: pending, retrying, succeeded, failed. `since` is when it was first tried, or asked for again.
# `attempt_*` tell of the last attempt: its id, when, the HTTP status or what went wrong instead, what was answered.
webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    id_column(),
    Column("webhook_id", ForeignKey("webhooks.id", ondelete="CASCADE"), nullable=False),
    Column("event_seq", ForeignKey("webhook_events.seq", ondelete="CASCADE"), nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("since", Moment, nullable=False),
    Column("next_attempt_at", Moment),
    Column("attempt_id", String(36)),
    Column("attempted_at", Moment),
    Column("attempt_code", Integer),
    Column("attempt_error", String(32)),
    Column("attempt_text", Text, nullable=False, server_default=""),
    *time_columns(),
    Index("ix_webhook_deliveries_webhook_id", "webhook_id", "state", "event_seq"),
    Index("ix_webhook_deliveries_event_seq", "event_seq"),
)
