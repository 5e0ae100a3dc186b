"""Who may do what: the only place that says so.

An app or a pipeline belongs to a user, to a team, or to nobody. What somebody may do there follows from that, from
their role in the team, and from what they were granted on single apps. Whoever may not even see a thing is told that it
is not there.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum, unique
from typing import Final, Literal

from service.domain.errors import Refused
from service.domain.model import App, AppId, Pipeline, Repository, Stage, TeamId, UserId


@unique
class Permission(StrEnum):
    """What may be done to an app or a pipeline; each by itself, but all of them let one see it.

    `deploy` is code and config vars, `operate` scale, restart, maintenance and config vars, `manage` name, end,
    owner and who else may; `promote` is to bring new code to production, and follows from no other.
    """

    VIEW = "view"
    DEPLOY = "deploy"
    OPERATE = "operate"
    MANAGE = "manage"
    PROMOTE = "promote"


Permissions = frozenset[Permission]

ALL: Final[Permissions] = frozenset(Permission)
NONE: Final[Permissions] = frozenset()
COLLABORATOR: Final[Permissions] = frozenset({Permission.VIEW, Permission.DEPLOY, Permission.OPERATE})
"""What a collaborator gets of whom nothing more is said."""


@unique
class TeamRole(StrEnum):
    """What somebody is in a team. A collaborator has only what was granted on single apps."""

    ADMIN = "admin"
    MEMBER = "member"
    COLLABORATOR = "collaborator"
    VIEWER = "viewer"


_ON_APPS: Final[Mapping[TeamRole, Permissions]] = {
    TeamRole.ADMIN: ALL,
    TeamRole.MEMBER: COLLABORATOR,
    TeamRole.VIEWER: frozenset({Permission.VIEW}),
    TeamRole.COLLABORATOR: NONE,
}
_ON_PIPELINES: Final[Mapping[TeamRole, Permissions]] = {
    TeamRole.ADMIN: ALL,
    TeamRole.MEMBER: ALL - {Permission.PROMOTE},
    TeamRole.VIEWER: frozenset({Permission.VIEW}),
    TeamRole.COLLABORATOR: NONE,
}
_OWN: Final = frozenset({TeamRole.ADMIN, TeamRole.MEMBER})
"""Those who belong to a team, as far as owning goes: it may be given what is theirs, and they what is its."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Whom an app or a pipeline belongs to."""

    type: Literal["user", "team"]
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody with an account: their teams, and what they were granted on single apps.

    An administrator is one of the installation: adds users, sees GitHub's deliveries, and has what nobody owns.
    """

    id: UserId
    is_admin: bool = False
    teams: Mapping[TeamId, TeamRole] = field(default_factory=dict)
    grants: Mapping[AppId, Permissions] = field(default_factory=dict)

    def role(self, team_id: str) -> TeamRole | None:
        """What they are in a team, if they are in it."""
        return self.teams.get(TeamId(team_id))


def owner_of(it: App | Pipeline) -> Owner | None:
    """Whom it belongs to."""
    if it.owner_id is None:
        return None
    return Owner(type="team" if it.owner_type == "team" else "user", id=it.owner_id)


def on_app(person: Person, owner: Owner | None, app_id: str) -> Permissions:
    """What a person may do to an app."""
    granted = person.grants.get(AppId(app_id), NONE)
    return _owning(person, owner, _ON_APPS) | granted | ({Permission.VIEW} if granted else NONE)


def on_pipeline(person: Person, owner: Owner | None, apps: Iterable[tuple[str, Owner | None]]) -> Permissions:
    """What a person may do to a pipeline with these apps (id, owner).

    Whoever sees one of its apps sees the pipeline. One that nobody owns is theirs who own its apps, as far as they do:
    who was only let in to one of them has no say in what the others get.
    """
    inside = list(apps)
    seen = any(Permission.VIEW in on_app(person, of_app, app_id) for app_id, of_app in inside)
    sight: Permissions = frozenset({Permission.VIEW}) if seen else NONE
    if owner is not None:
        return _owning(person, owner, _ON_PIPELINES) | sight
    owned = [_owning(person, of_app, _ON_APPS) for _, of_app in inside if of_app is not None]
    return sight.union(ALL if person.is_admin else NONE, *owned)


def _owning(person: Person, owner: Owner | None, of_role: Mapping[TeamRole, Permissions]) -> Permissions:
    if owner is None:
        return ALL if person.is_admin else NONE
    if owner.type == "user":
        return ALL if owner.id == person.id else NONE
    role = person.role(owner.id)
    return NONE if role is None else of_role[role]


def for_new_code(stage: Stage | None) -> Permissions:
    """What it takes to bring code to an app that it has not had, by its stage: all of these."""
    if stage is Stage.PRODUCTION:
        return frozenset({Permission.DEPLOY, Permission.PROMOTE})
    return frozenset({Permission.DEPLOY})


def for_promotion(stage: Stage) -> Permission:
    """What it takes of an app to promote to it: in production that right alone is asked for, and no other will do."""
    return Permission.PROMOTE if stage is Stage.PRODUCTION else Permission.DEPLOY


def check_production(may: Permissions, app_name: str) -> None:
    """Refuse who may neither manage nor promote to an app to bring it to production or away from there.

    Else whoever may deploy would take it out, deploy, and put it back.
    """
    if may.isdisjoint({Permission.MANAGE, Permission.PROMOTE}):
        raise Refused(
            f"{app_name} comes to production and goes from there only by whoever has manage or promote on it.",
            code="forbidden",
        )


def check_grant(by: Permissions, app_name: str, *, former: Permissions, to: Permissions) -> None:
    """Refuse to give the right to promote to whoever has it not; who manages would give it to themselves."""
    if Permission.PROMOTE in to - former and Permission.PROMOTE not in by:
        raise Refused(
            f"You may not promote to {app_name}: the right to is given only by whoever has it.", code="forbidden"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """An owner to be, with what people call it; `teams` are a user's own."""

    owner: Owner
    name: str
    teams: Mapping[TeamId, TeamRole] = field(default_factory=dict)


def check_transfer(person: Person, *, what: str, former: Party, to: Party) -> None:
    """Refuse a transfer that the rules do not allow, in the user's words; `what` names the thing.

    A user gives to a team of theirs; an administrator of a team to one of its members, or to another team that they
    administer. No user gives to another: what is personal is nobody else's to be answerable for.
    """
    if former.owner == to.owner:
        raise Refused(f"{what} belongs to {to.name} already.")
    match former.owner.type, to.owner.type:
        case "user", "user":
            raise Refused(
                f"{what} cannot be transferred from one user to another: transfer it to a team of which both are "
                "members, and from there on."
            )
        case "user", _:
            if former.owner.id != person.id:
                raise Refused(f"Only {former.name} can transfer {what}.", code="forbidden")
            if person.role(to.owner.id) not in _OWN:
                raise Refused(f"You are not a member of the team {to.name}: {what} cannot be transferred to it.")
        case _, "user":
            _check_admin(person, former, what)
            if to.teams.get(TeamId(former.owner.id)) not in _OWN:
                raise Refused(f"{to.name} is not a member of the team {former.name}: {what} cannot be theirs.")
        case _:
            _check_admin(person, former, what)
            _check_admin(person, to, what)


def _check_admin(person: Person, team: Party, what: str) -> None:
    if person.role(team.owner.id) is not TeamRole.ADMIN:
        raise Refused(f"It takes an admin of the team {team.name} to transfer {what}.", code="forbidden")


def check_taking(person: Person, *, what: str, to: Party, app_owners: Collection[Owner | None]) -> None:
    """Refuse to let a person have a pipeline that nobody owns: only whoever owns an app in it may take it."""
    mine = to.owner == Owner(type="user", id=person.id)
    if not mine and not (to.owner.type == "team" and person.role(to.owner.id) in _OWN):
        raise Refused(f"{what} belongs to nobody: take it for yourself or for a team of yours.")
    if to.owner not in app_owners:
        whose = "You own" if mine else f"The team {to.name} owns"
        raise Refused(f"{whose} no app in {what}: only whoever owns an app in it may take it.")


def check_last_admin(members: Mapping[UserId, TeamRole], user_id: str, after: TeamRole | None) -> None:
    """Refuse to leave a team without an admin."""
    others = [each for each, role in members.items() if role is TeamRole.ADMIN and each != user_id]
    if members.get(UserId(user_id)) is TeamRole.ADMIN and after is not TeamRole.ADMIN and not others:
        raise Refused("A team needs an admin: make somebody else one first.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What somebody may do in a repository on GitHub (admin, write, read or none), and their number there."""

    permission: str
    github_id: int | None = None


ENOUGH_ON_GITHUB: Final = frozenset({"admin", "write"})


def check_on_github(*, login: str, permission: str, repository: str) -> None:
    """Refuse what takes a person's own right on GitHub, as it was looked up just now."""
    if permission not in ENOUGH_ON_GITHUB:
        raise Refused(
            f"{login} has the permission {permission} in {repository}: it takes write or admin there, on GitHub.",
            code="forbidden",
        )


def right_lost(pipeline: Pipeline, repository: Repository) -> str:
    """Why nothing is made of the repository by itself any more; empty while whoever connected it may do so still."""
    if not pipeline.right_lost:
        return ""
    return (
        f"waiting for: somebody with write or admin in {repository.full_name} to connect it, for {pipeline.right_lost} "
        f"by now: towpath pipelines:connect {pipeline.name} -r {repository.full_name}"
    )


def what_is_left(login: str, permission: str) -> str:
    """Say what is left of the right of who connected a repository; empty if it is enough."""
    return "" if permission in ENOUGH_ON_GITHUB else f"{login}, who did, has the permission {permission}"


@unique
class TokenScope(StrEnum):
    """What a token is good for, by Heroku's names; only `*-protected` and `global` reach config vars."""

    GLOBAL = "global"
    IDENTITY = "identity"
    READ = "read"
    WRITE = "write"
    READ_PROTECTED = "read-protected"
    WRITE_PROTECTED = "write-protected"


@unique
class Act(StrEnum):
    """What is done with a token. `account` is whatever changes or shows who may do what."""

    IDENTITY = "identity"
    READ = "read"
    READ_PROTECTED = "read protected"
    WRITE = "write"
    WRITE_PROTECTED = "write protected"
    ACCOUNT = "account"


_READING: Final = frozenset({Act.IDENTITY, Act.READ})
_ALLOWED: Final[Mapping[TokenScope, frozenset[Act]]] = {
    TokenScope.GLOBAL: frozenset(Act),
    TokenScope.IDENTITY: frozenset({Act.IDENTITY}),
    TokenScope.READ: _READING,
    TokenScope.WRITE: _READING | {Act.WRITE},
    TokenScope.READ_PROTECTED: _READING | {Act.READ_PROTECTED},
    TokenScope.WRITE_PROTECTED: _READING | {Act.READ_PROTECTED, Act.WRITE, Act.WRITE_PROTECTED},
}


def token_may(scopes: Iterable[TokenScope], act: Act) -> bool:
    """Whether a token of these scopes is good for the act."""
    return any(act in _ALLOWED[scope] for scope in scopes)
