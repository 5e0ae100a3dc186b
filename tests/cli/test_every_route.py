"""What the server can do, the command line can: each route has a command that asks for it, or a reason to have none.

The routes are read from the application and the commands from their source, so that neither is forgotten.
"""

import re

from tests.cli.asked import asked
from tests.cli.conftest import ROOT
from tests.web.api.test_matrix import served
from tests.web.serving import Server

COMMANDS = ROOT / "service" / "cli"
NOT_LOOKED_AT = {
    "client.py": "it is what the others ask with",
    "completing.py": "it asks for the names that lists show",
    "main.py": "it asks for the names that lists show",
}
BY_THE_SERVER = {
    "place['put_url']": "PUT /sources/{}",
    "session['logplex_url']": "GET /log-sessions/{}",
    "url": "GET /releases/{}/output",
}
"""Addresses that an answer names, by what the source calls them."""

WITHOUT = {
    "people's browsers, GitHub, load balancers and collectors of metrics ask for these": """
        GET /   GET /healthz   GET /readyz   GET /metrics   GET /openapi.json   POST /github/webhooks
        GET /github/setup/start/{}   POST /github/setup/start/{}   POST /github/setup/again   GET /github/setup/created
        GET /github/setup/installed   GET /github/setup/next   POST /github/setup/connect   GET /github/setup/watch
        GET /github/setup/events""",
    "git does: git push and git clone": """
        GET /{}.git/info/refs   POST /{}.git/git-upload-pack   POST /{}.git/git-receive-pack""",
    "`run` does by a socket of its own, at the address that it was answered": "GET /dyno-attachments/{}",
    "builds fetch what was sent; whoever sent it has it": "GET /sources/{}",
    "another route says the same, which a command asks for; Heroku's own command line takes this one": """
        GET /pipeline-couplings   GET /pipeline-couplings/{}   GET /pipelines/{}/repo   POST /apps/{}/sources   GET /regions
        GET /regions/{}   POST /teams/apps   GET /teams/apps/{}   GET /teams/apps/{}/collaborators
        POST /teams/apps/{}/collaborators   GET /teams/apps/{}/collaborators/{}   PATCH /teams/apps/{}/collaborators/{}
        DELETE /teams/apps/{}/collaborators/{}   PUT /teams/{}/members   GET /users/{}/apps   GET /users/{}/pipeline-couplings
        PATCH /apps/{}/formation/{}   POST /apps/{}/formations/{}/actions/stop
        PATCH /pipelines/{}/repository   GET /pipelines/{}/latest-builds   GET /pipelines/{}/latest-deployments
        GET /apps/{}/slugs/{}   GET /teams/{}/members/{}/apps   GET /teams/{}/pipeline-couplings""",
    "the list that holds it shows all of it": """
        GET /account/app-transfers/{}   GET /apps/{}/collaborators/{}   GET /apps/{}/domains/{}   GET /apps/{}/formation/{}
        GET /app-setups/{}""",
    "it proxies GitHub, where people look themselves": """
        GET /repos/{}/{}   GET /repos/{}/{}/compare/{}   GET /github/repos/{}/{}/tarball/{}
        GET /pipelines/{}/repo/branches/{}""",
    "it is one and the same for everybody, and a page of the README": """
        GET /stacks   GET /stacks/{}   GET /pipelines/{}/pipeline-stack   GET /teams/permissions   GET /teams/{}/features
        GET /account/features   GET /account/features/{}""",
    "each answer says it in its headers, and a refusal when to come again": "GET /account/rate-limits",
    "nothing of the kind is there, which it says": """
        GET /addons   GET /addon-attachments   GET /apps/{}/addons   GET /apps/{}/addon-attachments   GET /apps/{}/features
        GET /apps/{}/features/{}   PATCH /apps/{}/features/{}   GET /apps/{}/log-drains   GET /apps/{}/sni-endpoints
        GET /apps/{}/buildpack-installations   PUT /apps/{}/buildpack-installations   POST /apps/{}/acm
        PATCH /apps/{}/acm   DELETE /apps/{}/acm   POST /apps/{}/slugs   DELETE /apps/{}/build-cache
        POST /apps/{}/domains   DELETE /apps/{}/domains/{}   DELETE /oauth/sessions/{}
        GET /enterprise-accounts/{}/teams   POST /enterprise-accounts/{}/teams""",
    "test runs are not there yet": """
        POST /test-runs   GET /test-runs/{}   PATCH /test-runs/{}   GET /test-runs/{}/test-nodes
        GET /test-runs/{}/test-cases   GET /pipelines/{}/test-runs   GET /pipelines/{}/test-runs/{}""",
}
ARGUED = [route for routes in WITHOUT.values() for route in re.split(r"\s{2,}", routes.strip())]


def by_commands() -> set[str]:
    """What the commands ask for."""
    sources = (each for each in sorted(COMMANDS.rglob("*.py")) if each.name not in NOT_LOOKED_AT)
    return {route for source in sources for route in asked(source, BY_THE_SERVER)}


async def test_every_route_has_a_command_or_a_reason_to_have_none(server: Server) -> None:
    there = {re.sub(r"\{[^}]*\}", "{}", route) for route in served(server.routes)}
    found = by_commands()
    assert sorted(there - found - set(ARGUED)) == [], "no command asks for these"
    assert sorted(found - there) == [], "commands ask for these, and nobody answers"
    assert sorted(found & set(ARGUED)) == [], "a command asks for these by now"
    assert sorted(set(ARGUED) - there) == [], "these are served no more"
    assert len(ARGUED) == len(set(ARGUED))
