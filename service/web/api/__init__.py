"""The Platform API: Heroku's v3 on the wire, and Towpath's own resources in the same manner.

One module per resource, each with its `ROUTES` and what each of them takes (`web/rights.py`); `shapes` says how a thing
looks in JSON, `finding` how it is named in a path, `answers` and `ranges` how it is sent, `bodies` what is accepted.
"""

from aiohttp import web

from service.web import rights
from service.web.api import (
    absent,
    account,
    app_setups,
    app_transfers,
    approvals,
    apps,
    authorizations,
    build_config,
    builds,
    catalog,
    collaborators,
    config_vars,
    couplings,
    delivery_replays,
    delivery_sources,
    deploy_locks,
    domains,
    downstream,
    formation,
    from_github,
    github,
    insight,
    invitations,
    logs,
    members,
    one_offs,
    orphans,
    pipeline_transfers,
    pipelines,
    progress,
    promotions,
    releases,
    repositories,
    review_app_config,
    review_apps,
    settings,
    sign_in_links,
    sources,
    teams,
    test_runs,
    users,
    webhooks,
)

_PARTS = (
    absent,
    account,
    app_transfers,
    approvals,
    app_setups,
    apps,
    authorizations,
    build_config,
    builds,
    collaborators,
    catalog,
    config_vars,
    couplings,
    delivery_replays,
    delivery_sources,
    deploy_locks,
    domains,
    downstream,
    formation,
    from_github,
    github,
    insight,
    invitations,
    logs,
    members,
    one_offs,
    orphans,
    pipeline_transfers,
    pipelines,
    progress,
    promotions,
    releases,
    repositories,
    review_app_config,
    review_apps,
    settings,
    sign_in_links,
    sources,
    teams,
    users,
    test_runs,
    webhooks,
)


def add_routes(app: web.Application) -> None:
    """Add every resource of the API."""
    for part in _PARTS:
        rights.add(app, part.ROUTES)
