"""What flows through: deliveries in, facts, subjects, reports out; the activity log and the logs of builds."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, String, Table, Text, text

from service.store.tables.base import Moment, metadata, time_columns

# `body` is the zstd-compressed raw body. States: received, processed, ignored, failed. `verdict` says what came of it.
# `retry_at` is set while GitHub has to be asked about it and does not answer.
deliveries = Table(
    "deliveries",
    metadata,
    Column("guid", String(64), primary_key=True),
    Column("event", String(64), nullable=False),
    Column("action", String(64), nullable=False, server_default=""),
    Column("repository_id", BigInteger),
    Column("installation_id", BigInteger),
    Column("body", LargeBinary, nullable=False),
    Column("state", String(16), nullable=False),
    Column("verdict", Text, nullable=False, server_default=""),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("received_at", Moment, nullable=False),
    Column("delivered_at", Moment),
    Column("processed_at", Moment),
    Column("retry_at", Moment),
    Index("ix_deliveries_state", "state", "received_at"),
    Index("ix_deliveries_received", "received_at"),
)

# Whence deliveries are fetched where GitHub cannot send them: `app`, `hook:REPOSITORY` or `poll:REPOSITORY`. States:
# ok, empty, off, waiting. Of all that GitHub delivered before the `watermark`, what it lists was taken.
pull_sources = Table(
    "pull_sources",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    Column("watermark", Moment),
    Column("checked_at", Moment),
    Column("retry_at", Moment),
    Column("attempts", Integer, nullable=False, server_default="0"),
)

# `asked` is the counter value taken before the request whose answer this is. `waiters` is a JSON list of subjects to
# ring after the next look; `wanted_at` is set while a look is outstanding, `retry_at` when it failed or is to wait.
# `since` is when the branch or pull request was first seen at the commit it is at. `announced` is where the last push
# to the branch said that it is, until it is shown to have gone elsewhere untold or the order of pushes is not known;
# `announced_at` when either was so, `told_at` when GitHub told of that push, and `was_at` a JSON object of where the
# branch was before, the oldest first, each with whether a push has told that it left.
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
    Column("since", Moment),
    Column("announced", String(40), nullable=False, server_default=""),
    Column("announced_at", Moment),
    Column("told_at", Moment),
    Column("was_at", Text, nullable=False, server_default="{}"),
    Column("waiters", Text, nullable=False, server_default="[]"),
    Column("wanted_at", Moment),
    Column("retry_at", Moment),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("lease_holder", String(64)),
    Column("lease_expires", Moment),
    Index("ix_facts_wanted", "wanted_at"),
    Index("ix_facts_looked", "looked_at"),
)

# Who brought a commit to a branch, or to a pull request (`pr:N`), as the delivery said that told of it.
pushers = Table(
    "pushers",
    metadata,
    Column("repository_id", BigInteger, primary_key=True, autoincrement=False),
    Column("ref", Text, primary_key=True),
    Column("sha", String(40), primary_key=True),
    Column("login", Text, nullable=False),
    Column("seen_at", Moment, nullable=False),
    Index("ix_pushers_seen", "seen_at"),
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
    Index("ix_subjects_due", "due_at", "rung_at"),
)

# The outbox: one row per object to show on GitHub. `wanted` is what it should show (JSON), `shown` a digest of what was
# written; equal digests mean nothing is to be done. `github_id` is the object's id once it is known.
reports = Table(
    "reports",
    metadata,
    Column("key", String(128), primary_key=True),
    Column("aside_of", String(128)),
    Column("kind", String(32), nullable=False),
    Column("repository_id", BigInteger, nullable=False),
    Column("installation_id", BigInteger, nullable=False, server_default="0"),
    Column("wanted", Text, nullable=False),
    Column("wanted_digest", String(64), nullable=False),
    Column("shown_digest", String(64), nullable=False, server_default=""),
    Column("terminal", Boolean, nullable=False),
    Column("github_id", BigInteger),
    Column("attempted", Boolean, nullable=False, server_default=text("false")),
    Column("attempt", String(36), nullable=False, server_default=""),
    Column("pending", Boolean, nullable=False),
    Column("error", Text, nullable=False, server_default=""),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("refusals", Integer, nullable=False, server_default="0"),
    Column("retry_at", Moment),
    *time_columns(),
    Index("ix_reports_aside_of", "aside_of"),
    Index("ix_reports_pending", "pending", "installation_id"),
    Index("ix_reports_unfinished", "terminal", "updated_at"),
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
    Index("ix_activity_ref", "ref", "id"),
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
    Index("ix_log_streams_created", "created_at"),
)

log_positions = Table(
    "log_positions",
    metadata,
    Column("log_id", String(36), primary_key=True),
    Column("source", String(128), primary_key=True),
    Column("run", String(64), nullable=False),
    Column("offset", BigInteger, nullable=False),
)
