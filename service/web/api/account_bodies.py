"""What the API accepts about accounts, teams, access and owners; see `bodies.py`."""

from typing import Annotated, Any

from pydantic import Field, StrictBool, StrictInt, StringConstraints

from service.domain.access import Permission, TeamRole, TokenScope
from service.web.api.bodies import Body, Identity, Owner, Reference, Words

Email = Annotated[str, StringConstraints(pattern=r"^[^@\s\x00-\x1f]+@[^@\s\x00-\x1f]+$", max_length=320, to_lower=True)]
Login = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})$")]
TeamName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{1,28}[a-z0-9]$")]
Seconds = Annotated[StrictInt, Field(ge=1, le=10 * 366 * 86400)]


class CreateAuthorization(Body):
    """POST /oauth/authorizations; `expires_in` is in seconds, null for never."""

    description: Annotated[str, StringConstraints(max_length=255)] | None = None
    expires_in: Seconds | None = None
    scope: list[TokenScope] | None = Field(default=None, min_length=1, max_length=10)
    client: Any = None


class CreateUser(Body):
    """POST /users. `github` is their login there, `admin` makes an administrator of the installation."""

    email: Email
    name: Annotated[str, StringConstraints(max_length=255)] = ""
    admin: StrictBool = False
    github: Login | None = None


class ChangeUser(Body):
    """PATCH /users/USER; null for `github` forgets who they are there."""

    name: Annotated[str, StringConstraints(max_length=255)] | None = None
    admin: StrictBool | None = None
    github: Login | None = None


class CreateTeam(Body):
    """POST /teams."""

    name: TeamName


class ChangeTeam(Body):
    """PATCH /teams/TEAM."""

    name: TeamName
    default: bool | None = None


class SetMember(Body):
    """PUT, POST and PATCH /teams/TEAM/members, and PUT /teams/TEAM/invitations."""

    email: Email
    role: TeamRole
    federated: bool | None = None


class ChangeTeamApp(Body):
    """PATCH /teams/apps/APP: another owner, as a team's name or somebody's address."""

    owner: Identity


class UserReference(Body):
    """Somebody, as `{"email": ...}` or `{"id": ...}`."""

    email: Words | None = None
    id: Words | None = None


class CreateCollaborator(Body):
    """POST /apps/APP/collaborators and /teams/apps/APP/collaborators."""

    user: Identity | UserReference
    permissions: list[Permission] | None = Field(default=None, min_length=1, max_length=10)
    silent: bool | None = None


class ChangeCollaborator(Body):
    """PATCH /teams/apps/APP/collaborators/COLLABORATOR."""

    permissions: list[Permission] = Field(min_length=1, max_length=10)


class TransferPipeline(Body):
    """POST /pipeline-transfers."""

    pipeline: Identity
    new_owner: Owner


class OfferApp(Body):
    """POST /account/app-transfers."""

    app: Identity
    recipient: Identity | UserReference
    silent: bool | None = None


class AnswerOffer(Body):
    """PATCH /account/app-transfers/TRANSFER."""

    state: Annotated[str, StringConstraints(pattern="^(accepted|declined)$")]


def person(reference: str | Reference | UserReference) -> str:
    """The id or address in a reference to somebody."""
    match reference:
        case str():
            return reference
        case Reference():
            return reference.id or reference.name or ""
        case UserReference():
            return reference.email or reference.id or ""
