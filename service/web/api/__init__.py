"""The Platform API: Heroku's v3 on the wire, and Towpath's own resources in the same manner.

One module per resource, each with its `ROUTES`; `shapes` says how a thing looks in JSON, `finding` how it is named in
a path, `answers` and `ranges` how it is sent, `bodies` what is accepted.
"""

from aiohttp import web

from service.web.api import (
    absent,
    account,
    app_setups,
    approvals,
    apps,
    build_config,
    builds,
    catalog,
    config_vars,
    couplings,
    delivery_replays,
    delivery_sources,
    deploy_locks,
    domains,
    formation,
    github,
    insight,
    logs,
    orphans,
    pipelines,
    progress,
    promotions,
    releases,
    repositories,
    review_app_config,
    review_apps,
    settings,
    test_runs,
)

_PARTS = (
    absent,
    account,
    approvals,
    app_setups,
    apps,
    build_config,
    builds,
    catalog,
    config_vars,
    couplings,
    delivery_replays,
    delivery_sources,
    deploy_locks,
    domains,
    formation,
    github,
    insight,
    logs,
    orphans,
    pipelines,
    progress,
    promotions,
    releases,
    repositories,
    review_app_config,
    review_apps,
    settings,
    test_runs,
)


def add_routes(app: web.Application) -> None:
    """Add every resource of the API."""
    for part in _PARTS:
        app.add_routes(part.ROUTES)
