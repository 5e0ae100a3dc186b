"""Who may do what to an app: its owner, the members of the team that owns it, and people who were let in besides."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from aiohttp import web
from sqlalchemy import Connection

from service.domain.access import COLLABORATOR, NONE, Owner, Permission, Permissions, Person, on_app, owner_of
from service.domain.errors import Refused
from service.domain.model import TeamId
from service.enacting.ownership import NOTHING_LEFT
from service.store import grants, teams, users
from service.store.grants import Grant
from service.store.teams import Member
from service.web import rights
from service.web.api.collaborators import WHAT, to_let_in
from service.web.api.finding import find_app
from service.web.errors import STATUS_OF_ID
from service.web.keys import CONTEXT, VISITOR
from service.web.pages.access import words
from service.web.pages.app_head import ONE, SEEN, Head, app_page, asked_in, found, head_of, path_of, to
from service.web.pages.signed_in import PATH, Form, form_of

_PATH: Final = f"{ONE}/access"
_SAVED: Final = {"added": "Let in.", "changed": "Changed.", "removed": "Removed."}


@dataclass(frozen=True, slots=True, kw_only=True)
class Somebody:
    """A person with a say in the app by whose it is, and what that lets them do."""

    email: str
    because: str
    may: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LetIn:
    """A person who was let in besides."""

    user_id: str
    email: str
    may: Permissions
    shown: str
    is_visitor: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What the page shows; `stranger` is the name of a team that owns the app, of which the visitor sees nobody."""

    head: Head
    people: list[Somebody]
    let_in: list[LetIn]
    stranger: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What was refused of which form (`add`, or a user's id), what was entered there, and what it had shown before."""

    form: str
    refused: Refused
    email: str = ""
    may: Permissions = COLLABORATOR
    seen: Permissions = NONE


def _load(conn: Connection, request: web.Request) -> Loaded:
    head, visitor = head_of(conn, request), request[VISITOR]
    owner, stranger = owner_of(head.app), ""
    people: list[Somebody] = []
    if owner is not None and owner.type == "user":
        user = users.get(conn, owner.id)
        people = [Somebody(email=user.email, because="owner", may="everything")] if user else []
    elif owner is not None:
        team = teams.find(conn, owner.id)
        name = team.name if team else "that is gone"
        if visitor.person.role(owner.id) is None:
            stranger = name
        else:
            people = list(_members(teams.members(conn, owner.id), owner, name))
    return Loaded(
        head=head,
        people=people,
        let_in=[_let_in(each, visitor.person) for each in grants.of_app(conn, head.app.id)],
        stranger=stranger,
    )


def _members(listed: list[Member], owner: Owner, team: str) -> Iterator[Somebody]:
    for each in listed:
        alone = Person(id=each.user_id, teams={TeamId(owner.id): each.role})
        yield Somebody(email=each.email, because=f"{each.role.value} of {team}", may=words(on_app(alone, owner, "")))


def _let_in(it: Grant, by: Person) -> LetIn:
    may = it.permissions | {Permission.VIEW}
    return LetIn(user_id=it.user_id, email=it.email, may=may, shown=words(may), is_visitor=it.user_id == by.id)


async def show(request: web.Request, trouble: Trouble | None = None) -> web.Response:
    """The page; with `trouble`, what was refused is said where it was entered."""
    it = await request.app[CONTEXT].db.read(lambda conn: _load(conn, request))
    return app_page(
        "access.html",
        request,
        it.head,
        tab="access",
        status=200 if trouble is None else STATUS_OF_ID.get(trouble.refused.code, 422),
        it=it,
        may_manage=it.head.does(Permission.MANAGE),
        meaning={each.value: WHAT[each] for each in Permission},
        failed=trouble.form if trouble else "",
        error=trouble.refused.message.removeprefix("user: ") if trouble else "",
        entered_email=trouble.email if trouble else "",
        entered_may=trouble.may if trouble else COLLABORATOR,
        seen_before=trouble.seen if trouble else NONE,
        saved=_SAVED.get(request.query.get("saved", ""), "") if trouble is None else "",
    )


async def access(request: web.Request) -> web.Response:
    """GET /dashboard/apps/APP/access."""
    return await show(request)


def _chosen(form: Form) -> Permissions:
    """What was ticked; refuses what is no permission, and nothing at all."""
    try:
        may = frozenset(Permission(str(each)) for each in form.getall("may", []))
    except ValueError:
        raise Refused("There is no such permission. Nothing was changed.") from None
    if not may:
        raise Refused(NOTHING_LEFT)
    return may


async def add(request: web.Request) -> web.Response:
    """POST /dashboard/apps/APP/access: let somebody in by their address."""
    form, asked, context = await form_of(request), asked_in(request), request.app[CONTEXT]
    named = str(form.get("email", "")).strip()
    try:
        may = _chosen(form)
        app, user = await context.db.read(lambda conn: to_let_in(conn, asked, named))
        visitor = request[VISITOR]
        await context.enactor.grant(
            app_id=app.id, user_id=user.id, permissions=may, by=visitor.person, actor=visitor.actor
        )
    except Refused as refused:
        return await show(request, Trouble(form="add", refused=refused, email=named, may=_named(form, "may")))
    return to(f"{path_of(app)}/access?saved=added#besides")


def _named(form: Form, field: str) -> Permissions:
    sent = {str(each) for each in form.getall(field, [])}
    return frozenset(each for each in Permission if each.value in sent)


async def change(request: web.Request) -> web.Response:
    """POST /dashboard/apps/APP/access/change: what was ticked and unticked on the page as it was shown."""
    app, form = await found(request), await form_of(request)
    place, seen = "gone", _named(form, "seen")
    try:
        grant = await _granted(request, app.id, str(form.get("user", "")))
        place, visitor = grant.user_id, request[VISITOR]
        await request.app[CONTEXT].enactor.change_grant(
            app_id=app.id, user_id=grant.user_id, seen=seen, to=_chosen(form), by=visitor.person, actor=visitor.actor
        )
    except Refused as refused:
        return await show(request, Trouble(form=place, refused=refused, may=_named(form, "may"), seen=seen))
    return to(f"{path_of(app)}/access?saved=changed#besides")


async def remove(request: web.Request) -> web.Response:
    """POST /dashboard/apps/APP/access/remove: whoever manages the app anybody, everybody themselves."""
    app, form, visitor = await found(request), await form_of(request), request[VISITOR]
    context, asked = request.app[CONTEXT], asked_in(request)
    try:
        grant = await _granted(request, app.id, str(form.get("user", "")))
    except Refused as refused:
        await context.db.read(lambda conn: find_app(conn, asked, Permission.MANAGE))
        return await show(request, Trouble(form="gone", refused=refused))
    if grant.user_id != visitor.user.id:
        await context.db.read(lambda conn: find_app(conn, asked, Permission.MANAGE))
    await context.enactor.ungrant(app_id=app.id, grant=grant, actor=visitor.actor)
    sees = grant.user_id != visitor.user.id or Permission.VIEW in on_app(
        replace(visitor.person, grants={}), owner_of(app), app.id
    )
    return to(f"{path_of(app)}/access?saved=removed#besides" if sees else PATH)


async def _granted(request: web.Request, app_id: str, named: str) -> Grant:
    grant = await request.app[CONTEXT].db.read(lambda conn: grants.find(conn, app_id, named))
    if grant is None:
        raise Refused("They have not been let in, or not any more. Nothing was changed.")
    return grant


_MANAGED: Final = rights.page(rights.app(Permission.MANAGE))
ROUTES = [
    rights.get(_PATH, access, SEEN),
    rights.post(_PATH, add, _MANAGED),
    rights.post(f"{_PATH}/change", change, _MANAGED),
    rights.post(f"{_PATH}/remove", remove, SEEN),
]
