"""Every table, in SQLAlchemy Core; the first migration creates exactly these.

Times are stored as microseconds since the epoch (`Moment`), because SQLite has no time type; structures as JSON text;
secrets as bytes sealed by `store/secrets.py`. Ids are UUIDs in text form.
"""

from service.store.tables.apps import apps, build_keys, builds, commands, names, releases, requests, routes, slugs
from service.store.tables.base import EPOCH, Moment, metadata
from service.store.tables.flow import (
    activity,
    deliveries,
    facts,
    log_chunks,
    log_positions,
    log_streams,
    pull_sources,
    reports,
    subjects,
)
from service.store.tables.installation import (
    api_tokens,
    counters,
    github_app,
    github_quotas,
    github_setups,
    idempotent_requests,
    installations,
    leases,
    meta,
    orphans,
    repositories,
    spaces,
    users,
)
from service.store.tables.pipelines import (
    couplings,
    deploy_locks,
    fork_approvals,
    pipeline_config,
    pipelines,
    promotion_targets,
    promotions,
    review_apps,
)

__all__ = [
    "EPOCH",
    "Moment",
    "metadata",
    "meta",
    "counters",
    "users",
    "api_tokens",
    "spaces",
    "installations",
    "github_app",
    "github_quotas",
    "github_setups",
    "idempotent_requests",
    "repositories",
    "leases",
    "orphans",
    "pipelines",
    "pipeline_config",
    "couplings",
    "review_apps",
    "fork_approvals",
    "deploy_locks",
    "promotions",
    "promotion_targets",
    "apps",
    "names",
    "requests",
    "builds",
    "slugs",
    "build_keys",
    "releases",
    "routes",
    "commands",
    "deliveries",
    "pull_sources",
    "facts",
    "subjects",
    "reports",
    "activity",
    "log_chunks",
    "log_positions",
    "log_streams",
]
