"""Every route of Heroku's Platform API v3 that Towpath speaks is served, under whatever name a thing has in its path."""

import re

import pytest

from tests.web.serving import Server

ROUTES = """
POST /pipelines
GET /pipelines/{pipeline}
DELETE /pipelines/{pipeline}
PATCH /pipelines/{pipeline}
GET /pipelines
GET /pipelines/{pipeline}/pipeline-couplings
GET /users/~/pipeline-couplings
GET /pipeline-couplings
GET /teams/{team}/pipeline-couplings
POST /pipeline-couplings
GET /pipeline-couplings/{pipeline-coupling}
DELETE /pipeline-couplings/{pipeline-coupling}
PATCH /pipeline-couplings/{pipeline-coupling}
GET /apps/{app}/pipeline-couplings
POST /pipeline-promotions
GET /pipeline-promotions/{pipeline-promotion}
GET /pipeline-promotions/{pipeline-promotion}/promotion-targets
GET /pipelines/{pipeline}/latest-deployments
GET /pipelines/{pipeline}/latest-releases
GET /pipelines/{pipeline}/latest-builds
GET /pipelines/{pipeline}/pipeline-stack
POST /pipeline-transfers
GET /pipelines/{pipeline}/stage/{pipeline-coupling}/config-vars
PATCH /pipelines/{pipeline}/stage/{pipeline-coupling}/config-vars
POST /apps
DELETE /apps/{app}
GET /apps/{app}
GET /apps
GET /users/{account}/apps
PATCH /apps/{app}
POST /apps/{app}/acm
DELETE /apps/{app}/acm
PATCH /apps/{app}/acm
POST /app-setups
GET /app-setups/{app-setup}
POST /apps/{app}/builds
GET /apps/{app}/builds/{build}
GET /apps/{app}/builds
DELETE /apps/{app}/build-cache
DELETE /apps/{app}/builds/{build}
GET /apps/{app}/slugs/{slug}
POST /apps/{app}/slugs
GET /apps/{app}/releases/{release}
GET /apps/{app}/releases
POST /apps/{app}/releases
POST /sources
POST /apps/{app}/sources
GET /apps/{app}/formation/{formation}
GET /apps/{app}/formation
PATCH /apps/{app}/formation
PATCH /apps/{app}/formation/{formation}
GET /apps/{app}/config-vars
GET /apps/{app}/releases/{release}/config-vars
PATCH /apps/{app}/config-vars
POST /review-apps
GET /review-apps/{review-app}
DELETE /review-apps/{review-app}
GET /apps/{app}/review-app
GET /pipelines/{pipeline}/review-apps
POST /pipelines/{pipeline}/review-app-config
GET /pipelines/{pipeline}/review-app-config
PATCH /pipelines/{pipeline}/review-app-config
DELETE /pipelines/{pipeline}/review-app-config
POST /test-runs
GET /test-runs/{test-run}
GET /pipelines/{pipeline}/test-runs
GET /pipelines/{pipeline}/test-runs/{test-run}
PATCH /test-runs/{test-run}
GET /test-runs/{test-run}/test-nodes
GET /test-runs/{test-run}/test-cases
POST /apps/{app}/collaborators
DELETE /apps/{app}/collaborators/{collaborator}
GET /apps/{app}/collaborators/{collaborator}
GET /apps/{app}/collaborators
GET /teams
GET /teams/{team}
PATCH /teams/{team}
POST /teams
DELETE /teams/{team}
GET /enterprise-accounts/{enterprise-account}/teams
POST /enterprise-accounts/{enterprise-account}/teams
PUT /teams/{team}/members
POST /teams/{team}/members
PATCH /teams/{team}/members
DELETE /teams/{team}/members/{team-member}
GET /teams/{team}/members
GET /teams/{team}/members/{team-member}/apps
POST /teams/apps/{app}/collaborators
DELETE /teams/apps/{team-app}/collaborators/{team-app-collaborator}
GET /teams/apps/{team-app}/collaborators/{team-app-collaborator}
PATCH /teams/apps/{team-app}/collaborators/{team-app-collaborator}
GET /teams/apps/{team-app}/collaborators
POST /account/app-transfers
DELETE /account/app-transfers/{app-transfer}
GET /account/app-transfers/{app-transfer}
GET /account/app-transfers
PATCH /account/app-transfers/{app-transfer}
PUT /apps/{app}/buildpack-installations
GET /apps/{app}/buildpack-installations
POST /apps/{app}/webhooks
DELETE /apps/{app}/webhooks/{app-webhook}
GET /apps/{app}/webhooks/{app-webhook}
GET /apps/{app}/webhooks
PATCH /apps/{app}/webhooks/{app-webhook}
GET /apps/{app}/webhook-events/{app-webhook-event}
GET /apps/{app}/webhook-events
GET /apps/{app}/webhook-deliveries/{app-webhook-delivery}
GET /apps/{app}/webhook-deliveries
"""


def plain(route: str) -> str:
    """A route without the names of what is in its path; oneself is a user like any."""
    return re.sub(r"\{[^}]*\}|~", "{}", route)


async def test_every_route_of_version_three_is_served(server: Server) -> None:
    served = {plain(f"{it.method} {it.resource.canonical}") for it in server.routes if it.resource is not None}
    assert [route for route in ROUTES.split("\n")[1:-1] if plain(route) not in served] == []


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_there_are_no_enterprise_accounts_and_what_to_do_instead_is_said(server: Server, method: str) -> None:
    body = {"name": "crew"} if method == "POST" else None
    error, _ = await server.call(method, "/enterprise-accounts/acme/teams", body, expect=404)
    assert error["id"] == "not_found"
    assert error["message"].endswith("A team is made by POST /teams.")


async def test_the_couplings_of_a_team_are_those_of_its_apps(server: Server) -> None:
    await server.call("POST", "/teams", {"name": "crew"}, expect=201)
    owner = {"id": "crew", "type": "team"}
    await server.call("POST", "/pipelines", {"name": "of-crew", "owner": owner}, expect=201)
    await server.call("POST", "/apps", {"name": "crew-app", "team": "crew"}, expect=201)
    body = {"app": "crew-app", "pipeline": "of-crew", "stage": "staging"}
    made, _ = await server.call("POST", "/pipeline-couplings", body, expect=201)
    await server.pipeline(staging="example")
    assert await server.get("/teams/crew/pipeline-couplings") == [made]
