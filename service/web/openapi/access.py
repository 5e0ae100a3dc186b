"""The same as `operations`, of the routes that say who may do what, and whose everything is."""

from collections.abc import Iterator, Mapping
from typing import Final

from service.web.api import account_bodies, bodies
from service.web.openapi.operation import REFUSED, Operation, changed, made, many, one


def _collaborators(where: str) -> Iterator[tuple[str, Operation]]:
    yield f"GET {where}", many("collaborator")
    yield f"POST {where}", made("collaborator", account_bodies.CreateCollaborator)
    yield f"GET {where}/{{collaborator}}", one("collaborator")
    yield f"PATCH {where}/{{collaborator}}", changed("collaborator", account_bodies.ChangeCollaborator)
    yield f"DELETE {where}/{{collaborator}}", changed("collaborator")


OPERATIONS: Final[Mapping[str, Operation]] = {
    "GET /account/app-transfers": many("app-transfer"),
    "POST /account/app-transfers": made("app-transfer", account_bodies.OfferApp),
    "GET /account/app-transfers/{transfer}": one("app-transfer"),
    "PATCH /account/app-transfers/{transfer}": changed("app-transfer", account_bodies.AnswerOffer),
    "DELETE /account/app-transfers/{transfer}": changed("app-transfer"),
    "POST /account/sign-in-links": made("sign-in-link"),
    **dict(_collaborators("/apps/{app}/collaborators")),
    "GET /oauth/authorizations": many("authorization"),
    "POST /oauth/authorizations": made("authorization", account_bodies.CreateAuthorization),
    "GET /oauth/authorizations/{authorization}": one("authorization"),
    "DELETE /oauth/authorizations/{authorization}": changed("authorization"),
    "POST /oauth/authorizations/{authorization}/actions/regenerate-tokens": changed("authorization"),
    "DELETE /oauth/sessions/{session}": REFUSED,
    "GET /enterprise-accounts/{account}/teams": REFUSED,
    "POST /enterprise-accounts/{account}/teams": REFUSED,
    "POST /pipeline-transfers": made("pipeline-transfer", account_bodies.TransferPipeline),
    "GET /teams": many("team"),
    "POST /teams": made("team", account_bodies.CreateTeam),
    "POST /teams/apps": made("app", bodies.CreateApp),
    "GET /teams/apps/{app}": one("app"),
    "PATCH /teams/apps/{app}": changed("app", account_bodies.ChangeTeamApp),
    **dict(_collaborators("/teams/apps/{app}/collaborators")),
    "GET /teams/permissions": many("permission"),
    "GET /teams/{team}": one("team"),
    "PATCH /teams/{team}": changed("team", account_bodies.ChangeTeam),
    "DELETE /teams/{team}": changed("team"),
    "GET /teams/{team}/apps": many("app"),
    "GET /teams/{team}/features": many("account-feature"),
    "GET /teams/{team}/invitations": many("team-invitation"),
    "PUT /teams/{team}/invitations": made("team-invitation", account_bodies.SetMember),
    "DELETE /teams/{team}/invitations/{invitation}": changed("team-invitation"),
    "GET /teams/{team}/members": many("team-member"),
    "PUT /teams/{team}/members": changed("team-member", account_bodies.SetMember),
    "POST /teams/{team}/members": made("team-member", account_bodies.SetMember),
    "PATCH /teams/{team}/members": changed("team-member", account_bodies.SetMember),
    "DELETE /teams/{team}/members/{member}": changed("team-member"),
    "GET /teams/{team}/members/{member}/apps": many("app"),
    "GET /teams/{team}/pipeline-couplings": many("pipeline-coupling"),
    "GET /users": many("user"),
    "POST /users": made("new-user", account_bodies.CreateUser),
    "GET /users/{user}": one("account"),
    "PATCH /users/{user}": changed("user", account_bodies.ChangeUser),
    "DELETE /users/{user}": changed("removed-user"),
}
