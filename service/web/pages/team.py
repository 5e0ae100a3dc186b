"""A team: making one, who is in it as what, and who is invited."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from sqlalchemy import Connection

from service.domain.access import TeamRole
from service.domain.errors import Refused
from service.enacting.invitations import Link
from service.store import teams
from service.store.teams import Invitation, Member, Team
from service.web import rights
from service.web.api import account_bodies, bodies
from service.web.api.finding import Asked, find_team
from service.web.errors import STATUS_OF_ID
from service.web.keys import CONTEXT, VISITOR
from service.web.pages.rendering import page
from service.web.pages.signed_in import PATH, Form, form_of

_SAVED: Final = {
    "made": "The team is there, and you are its admin. Let others in below.",
    "set": "Saved.",
    "removed": "Removed.",
    "invited": "Invited. An administrator of this installation makes the account, or a link to make it.",
    "revoked": "Taken back: its link opens nothing any more.",
}
MEANING: Final[Mapping[TeamRole, str]] = {
    TeamRole.ADMIN: "everything, also who is in the team",
    TeamRole.MEMBER: "deploys to, operates and sees what is the team's, and manages what they made",
    TeamRole.VIEWER: "sees what is the team's",
    TeamRole.COLLABORATOR: "only what they are let in to app by app",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A team as its page shows it; who is invited is for those who are more than guests in it."""

    team: Team
    members: list[Member]
    invited: list[Invitation]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entered:
    """What was refused of which form (`member` or `invite`), and what was entered there."""

    form: str
    error: str
    status: int
    email: str = ""
    role: str = TeamRole.MEMBER.value


def _asked(request: web.Request) -> Asked:
    return Asked(by=request[VISITOR].person, name=request.match_info["team"])


async def _found(request: web.Request) -> Team:
    asked = _asked(request)
    return await request.app[CONTEXT].db.read(lambda conn: find_team(conn, asked))


async def _show(request: web.Request, *, wrong: Entered | None = None, link: Link | None = None) -> web.Response:
    context, visitor, asked = request.app[CONTEXT], request[VISITOR], _asked(request)

    def read(conn: Connection) -> Loaded:
        team = find_team(conn, asked)
        shown = visitor.person.role(team.id) in {TeamRole.ADMIN, TeamRole.MEMBER}
        invited = teams.invited(conn, team.id) if shown else []
        return Loaded(team=team, members=teams.members(conn, team.id), invited=invited)

    it = await context.db.read(read)
    return page(
        "dashboard/team.html",
        status=wrong.status if wrong else 200,
        visitor=visitor,
        it=it,
        is_admin=visitor.person.role(it.team.id) is TeamRole.ADMIN,
        meaning={role.value: text for role, text in MEANING.items()},
        wrong=wrong,
        link=f"{context.settings.url}{PATH}/invitations/{link.secret}" if link else "",
        invited_now=link.invitation if link else None,
        saved=_SAVED.get(request.query.get("saved", ""), "") if wrong is None and link is None else "",
        now=context.db.now(),
    )


def _show_new(request: web.Request, name: str = "", wrong: Refused | None = None) -> web.Response:
    return page(
        "dashboard/new_team.html",
        status=STATUS_OF_ID.get(wrong.code, 422) if wrong else 200,
        visitor=request[VISITOR],
        name=name,
        errors={"name": wrong.message} if wrong else {},
    )


async def ask_for_team(request: web.Request) -> web.Response:
    """GET /dashboard/new/team."""
    return _show_new(request)


async def make_team(request: web.Request) -> web.Response:
    """POST /dashboard/new/team: whoever makes one is its first admin, and is led to its page."""
    context, visitor = request.app[CONTEXT], request[VISITOR]
    name = str((await form_of(request)).get("name", "")).strip()
    try:
        wanted = _named(name)
        made = await context.enactor.create_team(name=wanted.name, user_id=visitor.user.id, actor=visitor.actor)
    except Refused as refused:
        return _show_new(request, name, refused)
    return _back(made, "made")


def _named(name: str) -> account_bodies.CreateTeam:
    try:
        return bodies.checked(account_bodies.CreateTeam, {"name": name})
    except Refused:
        told = (
            "starts with a letter, ends with a letter or digit and has 3 to 30 lower-case letters, digits and hyphens"
        )
        raise Refused(f"A team's name {told}.") from None


async def show(request: web.Request) -> web.Response:
    """GET /dashboard/teams/TEAM."""
    return await _show(request)


def _member_of(form: Form) -> account_bodies.SetMember:
    email, role = str(form.get("email", "")).strip(), str(form.get("role", ""))
    try:
        return bodies.checked(account_bodies.SetMember, {"email": email, "role": role})
    except Refused:
        if role not in {each.value for each in TeamRole}:
            raise Refused(f"There is no role {role!r}. Nothing was changed.") from None
        raise Refused(f"{email!r} is not an address: write it as name@example.com.") from None


async def _wrong(request: web.Request, name: str, form: Form, refused: Refused) -> web.Response:
    entered = Entered(
        form=name,
        error=refused.message.removeprefix("email: "),
        status=STATUS_OF_ID.get(refused.code, 422),
        email=str(form.get("email", "")),
        role=str(form.get("role", "")),
    )
    return await _show(request, wrong=entered)


async def set_member(request: web.Request) -> web.Response:
    """POST /dashboard/teams/TEAM/members: have somebody who has an account in the team, as this."""
    team, form = await _found(request), await form_of(request)
    try:
        wanted = _member_of(form)
        await request.app[CONTEXT].enactor.set_member(
            team=team, email=wanted.email, role=wanted.role, actor=request[VISITOR].actor
        )
    except Refused as refused:
        return await _wrong(request, "member", form, refused)
    return _back(team, "set")


async def remove_member(request: web.Request) -> web.Response:
    """POST /dashboard/teams/TEAM/members/remove: an admin anybody, everybody themselves."""
    team, form, visitor = await _found(request), await form_of(request), request[VISITOR]
    named, is_admin = str(form.get("member", "")), visitor.person.role(team.id) is TeamRole.ADMIN
    member = await request.app[CONTEXT].db.read(lambda conn: teams.member(conn, team.id, named))
    if not is_admin and (member is None or member.user_id != visitor.user.id):
        raise Refused("It takes an admin of the team to remove somebody else.", code="forbidden")
    if member is None:
        gone = Refused("They are not in the team, or not any more. Nothing was changed.")
        return await _wrong(request, "member", form, gone)
    try:
        await request.app[CONTEXT].enactor.remove_member(team=team, member=member, actor=visitor.actor)
    except Refused as refused:
        return await _wrong(request, "member", form, refused)
    return _back(team, "removed") if member.user_id != visitor.user.id else _to(f"{PATH}/account")


async def invite(request: web.Request) -> web.Response:
    """POST /dashboard/teams/TEAM/invitations: the only page that shows the link, to an administrator."""
    team, form, visitor = await _found(request), await form_of(request), request[VISITOR]
    enactor = request.app[CONTEXT].enactor
    try:
        wanted = _member_of(form)
        if visitor.user.is_admin:
            link = await enactor.invite_by_link(team=team, email=wanted.email, role=wanted.role, by=visitor.user)
            return await _show(request, link=link)
        await enactor.invite(
            team=team, email=wanted.email, role=wanted.role, user_id=visitor.user.id, actor=visitor.actor
        )
    except Refused as refused:
        return await _wrong(request, "invite", form, refused)
    return _back(team, "invited")


async def revoke(request: web.Request) -> web.Response:
    """POST /dashboard/teams/TEAM/invitations/revoke."""
    team, form = await _found(request), await form_of(request)
    named = str(form.get("invitation", ""))
    try:
        await request.app[CONTEXT].enactor.revoke_invitation(team=team, invitation=named, actor=request[VISITOR].actor)
    except Refused:
        gone = Refused("There is no such invitation, or not any more: perhaps it was accepted. Nothing was changed.")
        return await _wrong(request, "invite", form, gone)
    return _back(team, "revoked")


def _back(team: Team, saved: str) -> web.Response:
    return _to(f"{PATH}/teams/{team.name}?saved={saved}")


def _to(path: str) -> web.Response:
    return web.Response(status=303, headers={"Location": path})


_ONE: Final = f"{PATH}/teams/{{team}}"
_ADMIN: Final = rights.page(rights.team(TeamRole.ADMIN))
_ANYBODY: Final = rights.page(rights.CALLER)
ROUTES = [
    rights.get(f"{PATH}/new/team", ask_for_team, _ANYBODY),
    rights.post(f"{PATH}/new/team", make_team, _ANYBODY),
    rights.get(_ONE, show, rights.page(rights.team())),
    rights.post(f"{_ONE}/members", set_member, _ADMIN),
    rights.post(f"{_ONE}/members/remove", remove_member, rights.page(rights.team())),
    rights.post(f"{_ONE}/invitations", invite, _ADMIN),
    rights.post(f"{_ONE}/invitations/revoke", revoke, _ADMIN),
]
