"""Teams, who is in them as what, and who is invited."""

import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, Select, func, or_, select

from service.domain.access import TeamRole
from service.domain.errors import Refused
from service.domain.model import AppState, TeamId, UserId
from service.store import rows
from service.store.database import new_id
from service.store.tables import apps, github_sign_ins, invitations, memberships, pipelines, teams, users

LINK_LASTS: Final = timedelta(days=7)
_TAKEN_BY_PATHS: Final = frozenset({"apps", "permissions"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """Several users who own together."""

    id: TeamId
    name: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A user in a team."""

    id: str
    team_id: TeamId
    user_id: UserId
    email: str
    name: str
    role: TeamRole
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """Somebody without an account who will be in the team once they have one.

    With a link, which is good until `expires_at`, they make that themselves.
    """

    id: str
    team_id: TeamId
    email: str
    role: TeamRole
    invited_by: UserId
    expires_at: datetime | None
    created_at: datetime
    updated_at: datetime


def create(conn: Connection, *, name: str, now: datetime) -> Team:
    """Make a team of nobody; refuses a name that is taken."""
    _check_free(conn, name)
    values = {"id": new_id(), "name": name, "created_at": now, "updated_at": now}
    return _team(conn.execute(teams.insert().values(values).returning(teams)).mappings().one())


def find(conn: Connection, id_or_name: str) -> Team | None:
    """The team of an id or a name."""
    row = rows.one(conn, select(teams).where(or_(teams.c.id == id_or_name, teams.c.name == id_or_name)))
    return _team(row) if row else None


def listing(conn: Connection) -> list[Team]:
    """All teams by name."""
    return [_team(row) for row in conn.execute(select(teams).order_by(teams.c.name)).mappings()]


def rename(conn: Connection, team: Team, *, name: str, now: datetime) -> Team:
    """Give the team another name."""
    if name != team.name:
        _check_free(conn, name)
    change = teams.update().where(teams.c.id == team.id).values(name=name, updated_at=now).returning(teams)
    return _team(conn.execute(change).mappings().one())


def delete(conn: Connection, team: Team) -> None:
    """Take the team away; refused while it owns anything, which would be nobody's then."""
    for table, what in ((apps, "app"), (pipelines, "pipeline")):
        own = select(table.c.name).where(table.c.owner_id == team.id, table.c.owner_type == "team")
        if table is apps:
            own = own.where(apps.c.state != AppState.GONE)
        name = conn.execute(own.limit(1)).scalar()
        if name is not None:
            raise Refused(f"The team {team.name} still owns the {what} {name}: transfer or destroy what it owns first.")
    conn.execute(teams.delete().where(teams.c.id == team.id))


def members(conn: Connection, team_id: str) -> list[Member]:
    """Who is in the team, by address."""
    found = conn.execute(_members().where(memberships.c.team_id == team_id).order_by(users.c.email))
    return [_member(row) for row in found.mappings()]


def members_of(conn: Connection, team_ids: Collection[str]) -> list[Member]:
    """Who is in any of the teams, by address."""
    found = conn.execute(_members().where(memberships.c.team_id.in_(team_ids)).order_by(users.c.email))
    return [_member(row) for row in found.mappings()]


def member(conn: Connection, team_id: str, id_or_email: str) -> Member | None:
    """One of the team, by the id of membership or user, or by address."""
    same = or_(memberships.c.id == id_or_email, users.c.id == id_or_email, users.c.email == id_or_email.lower())
    row = rows.one(conn, _members().where(memberships.c.team_id == team_id, same))
    return _member(row) if row else None


def set_member(conn: Connection, *, team_id: str, user_id: str, role: TeamRole, now: datetime) -> None:
    """Have a user in the team as this."""
    own = (memberships.c.team_id == team_id) & (memberships.c.user_id == user_id)
    changed = conn.execute(memberships.update().where(own).values(role=role, updated_at=now))
    if not changed.rowcount:
        values = {"id": new_id(), "team_id": team_id, "user_id": user_id, "role": role}
        conn.execute(memberships.insert().values(**values, created_at=now, updated_at=now))


def remove_member(conn: Connection, *, team_id: str, user_id: str) -> None:
    """Have a user in the team no longer."""
    conn.execute(memberships.delete().where(memberships.c.team_id == team_id, memberships.c.user_id == user_id))


def of_user(conn: Connection, user_id: str) -> dict[TeamId, TeamRole]:
    """A user's teams with what they are there."""
    query = select(memberships.c.team_id, memberships.c.role).where(memberships.c.user_id == user_id)
    return {TeamId(row.team_id): TeamRole(row.role) for row in conn.execute(query)}


def only_admin_of(conn: Connection, user_id: str) -> list[TeamId]:
    """The teams whose one admin this is."""
    counted = select(memberships.c.team_id).where(memberships.c.role == TeamRole.ADMIN).group_by(memberships.c.team_id)
    alone = counted.having((func.count() == 1) & (func.max(memberships.c.user_id) == user_id))
    return [TeamId(each) for each in conn.execute(alone.order_by(memberships.c.team_id)).scalars()]


def names(conn: Connection) -> dict[str, str]:
    """Every team's name by its id."""
    return {row.id: row.name for row in conn.execute(select(teams.c.id, teams.c.name))}


def invite(conn: Connection, *, team_id: str, email: str, role: TeamRole, invited_by: str, now: datetime) -> Invitation:
    """Invite an address, or change as what."""
    own = (invitations.c.team_id == team_id) & (invitations.c.email == email.lower())
    change = invitations.update().where(own).values(role=role, updated_at=now).returning(invitations)
    row = conn.execute(change).mappings().first()
    if row is None:
        values = {"id": new_id(), "team_id": team_id, "email": email.lower(), "role": role, "invited_by": invited_by}
        made = invitations.insert().values(**values, created_at=now, updated_at=now).returning(invitations)
        row = conn.execute(made).mappings().one()
    return _invitation(row)


def make_link(conn: Connection, invitation: Invitation, *, by: str, now: datetime) -> tuple[str, datetime]:
    """Make the link of an invitation, in the place of a former one; returns its secret, and when it expires.

    Whoever is on the way to GitHub with the former one has gone in vain.
    """
    secret = secrets.token_urlsafe(32)
    conn.execute(github_sign_ins.delete().where(github_sign_ins.c.invitation_id == invitation.id))
    values = {"link_sha256": _digest(secret), "expires_at": now + LINK_LASTS, "invited_by": by}
    conn.execute(invitations.update().where(invitations.c.id == invitation.id).values(values))
    return secret, now + LINK_LASTS


def by_link(conn: Connection, link: str, now: datetime) -> Invitation | None:
    """The invitation that a link accepts, as long as it is good."""
    own = (invitations.c.link_sha256 == _digest(link), invitations.c.expires_at > now)
    row = rows.one(conn, select(invitations).where(*own))
    return _invitation(row) if row else None


def take_invitation(conn: Connection, invitation_id: str, now: datetime) -> Invitation | None:
    """Use up the link of an invitation; None when it is not good any more, or another request was first."""
    own = (invitations.c.id == invitation_id, invitations.c.expires_at > now)
    change = invitations.update().where(*own).values(link_sha256=None, expires_at=None).returning(invitations)
    row = conn.execute(change).mappings().first()
    return _invitation(row) if row else None


def invited(conn: Connection, team_id: str) -> list[Invitation]:
    """Who is invited to the team, by address."""
    query = select(invitations).where(invitations.c.team_id == team_id).order_by(invitations.c.email)
    return [_invitation(row) for row in conn.execute(query).mappings()]


def revoke_invitation(conn: Connection, *, team_id: str, id_or_email: str) -> Invitation | None:
    """Take an invitation back; None when there is none."""
    same = or_(invitations.c.id == id_or_email, invitations.c.email == id_or_email.lower())
    removed = invitations.delete().where(invitations.c.team_id == team_id, same).returning(invitations)
    row = conn.execute(removed).mappings().first()
    return _invitation(row) if row else None


def accept_invitations(conn: Connection, *, user_id: str, email: str, now: datetime) -> list[TeamId]:
    """Let a new user into the teams that have invited their address; returns these."""
    removed = invitations.delete().where(invitations.c.email == email.lower()).returning(invitations)
    found = [_invitation(row) for row in conn.execute(removed).mappings().all()]
    for each in found:
        set_member(conn, team_id=each.team_id, user_id=user_id, role=each.role, now=now)
    return [each.team_id for each in found]


def _digest(secret: str) -> str:
    return sha256(secret.encode(errors="replace")).hexdigest()


def _check_free(conn: Connection, name: str) -> None:
    if name in _TAKEN_BY_PATHS or find(conn, name) is not None:
        raise Refused(f"Name {name} is already taken")


def _members() -> Select[Any]:
    return select(memberships, users.c.email, users.c.name).join(users, users.c.id == memberships.c.user_id)


def _team(row: RowMapping) -> Team:
    return Team(id=TeamId(row["id"]), name=row["name"], created_at=row["created_at"], updated_at=row["updated_at"])


def _member(row: RowMapping) -> Member:
    return Member(
        id=row["id"],
        team_id=row["team_id"],
        user_id=row["user_id"],
        email=row["email"],
        name=row["name"],
        role=TeamRole(row["role"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _invitation(row: RowMapping) -> Invitation:
    return Invitation(
        id=row["id"],
        team_id=row["team_id"],
        email=row["email"],
        role=TeamRole(row["role"]),
        invited_by=row["invited_by"],
        expires_at=row["expires_at"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
