"""Whose a pipeline is, who may do what in it, and giving it to another owner."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web
from sqlalchemy import Connection

from service.domain.access import (
    ALL,
    NONE,
    Owner,
    Party,
    Permission,
    Permissions,
    Person,
    check_taking,
    check_transfer,
    on_pipeline,
    owner_of,
)
from service.domain.errors import Refused
from service.domain.model import App, AppId, Pipeline, Stage, TeamId, UserId
from service.store import grants, pipelines, sight, teams, users
from service.store.grants import Grant
from service.store.teams import Member
from service.store.users import User
from service.web import rights
from service.web.api.collaborators import WHAT
from service.web.api.finding import Asked, find_pipeline
from service.web.errors import STATUS_OF_ID
from service.web.keys import CONTEXT, VISITOR
from service.web.pages.cards import COLUMNS
from service.web.pages.overview import asked_in
from service.web.pages.rendering import page
from service.web.pages.signed_in import PATH, form_of

Inside = list[tuple[App, Stage]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A pipeline with all of its apps, and the people and teams around it as far as the visitor sees them."""

    pipeline: Pipeline
    inside: Inside
    seen: Inside
    team_names: Mapping[str, str]
    members: list[Member]
    grants: list[Grant]
    users: Mapping[str, User]

    def name_of(self, owner: Owner | None) -> str:
        """What people call an owner."""
        if owner is None:
            return "nobody"
        if owner.type == "team":
            return f"the team {self.team_names[owner.id]}" if owner.id in self.team_names else "a team that is gone"
        return self.users[owner.id].email if owner.id in self.users else "a user who is gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Somebody:
    """A person, what they are here, and what they may do to the pipeline by it."""

    email: str
    because: tuple[str, ...]
    may: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """An app with its owner and with what single people were granted on it."""

    app: App
    stage: str
    owner: str
    is_others: bool
    granted: tuple[tuple[str, str], ...]


def _load(conn: Connection, asked: Asked) -> Loaded:
    pipeline = find_pipeline(conn, asked)
    inside = pipelines.members(conn, pipeline.id)
    seen = [(app, stage) for app, stage in inside if Permission.VIEW in sight.to_app(asked.by, app)]
    owners = {owner_of(pipeline), *(owner_of(app) for app, _ in seen)}
    own_teams = [each.id for each in owners if each is not None and TeamId(each.id) in asked.by.teams]
    return Loaded(
        pipeline=pipeline,
        inside=inside,
        seen=[(app, stage) for app, stage in seen if not app.is_review],
        team_names=teams.names(conn),
        members=teams.members_of(conn, own_teams),
        grants=grants.of_apps(conn, [app.id for app, _ in seen if not app.is_review]),
        users={str(each.id): each for each in users.listing(conn)},
    )


def words(may: Permissions) -> str:
    """Permissions in their order."""
    if may == ALL:
        return "everything"
    return ", ".join(each.value for each in Permission if each in may) or "nothing"


def people(it: Loaded) -> Iterator[Somebody]:
    """Everybody who is known to have a say here, by address."""
    owner, apps = owner_of(it.pipeline), [(str(app.id), owner_of(app)) for app, _ in it.inside]
    owners = {owner, *(owner_of(app) for app, _ in it.seen)}
    named = {each.id for each in owners if each is not None and each.type == "user"}
    granted = {str(each.user_id) for each in it.grants}
    found = {*named, *granted, *(str(each.user_id) for each in it.members)}
    for user in sorted((it.users[each] for each in found if each in it.users), key=lambda each: each.email):
        person = Person(id=user.id, is_admin=user.is_admin, teams=_teams(it, user.id), grants=_granted(it, user.id))
        may = on_pipeline(person, owner, apps)
        if may:
            yield Somebody(email=user.email, because=tuple(_because(it, user, owner)), may=words(may))


def _teams(it: Loaded, user_id: UserId) -> dict[TeamId, Any]:
    return {each.team_id: each.role for each in it.members if each.user_id == user_id}


def _granted(it: Loaded, user_id: UserId) -> dict[AppId, Permissions]:
    return {each.app_id: each.permissions for each in it.grants if each.user_id == user_id}


def _because(it: Loaded, user: User, owner: Owner | None) -> Iterator[str]:
    if owner is not None and owner.id == user.id:
        yield "owner"
    for each in it.members:
        if each.user_id == user.id:
            yield f"{each.role.value} of {it.team_names.get(each.team_id, 'a team')}"
    own = sum(1 for app, _ in it.seen if app.owner_id == user.id)
    if own:
        yield f"owner of {own} app{'' if own == 1 else 's'} in it"
    if number := len(_granted(it, user.id)):
        yield f"let in to {number} app{'' if number == 1 else 's'} in it"


def lines(it: Loaded) -> Iterator[Line]:
    """The apps that the visitor sees, by stage."""
    order = list(COLUMNS)
    of_pipeline, by_app = owner_of(it.pipeline), dict[str, list[tuple[str, str]]]()
    for each in it.grants:
        by_app.setdefault(each.app_id, []).append((each.email, words(each.permissions)))
    shown = [(app, stage) for app, stage in it.seen if stage in COLUMNS]
    for app, stage in sorted(shown, key=lambda each: order.index(each[1])):
        owner = owner_of(app)
        yield Line(
            app=app,
            stage=COLUMNS[stage],
            owner=it.name_of(owner),
            is_others=owner != of_pipeline,
            granted=tuple(by_app.get(app.id, ())),
        )


def choices(it: Loaded, by: Person) -> dict[str, str]:
    """To whom the person may give the pipeline, or for whom take it, by `TYPE:ID`: as the transfer itself decides."""
    former = owner_of(it.pipeline)
    parties = [Party(owner=Owner(type="team", id=each), name=it.team_names.get(each, "")) for each in by.teams]
    if former is None:
        parties.append(Party(owner=Owner(type="user", id=by.id), name="yourself"))
    parties += [
        Party(owner=Owner(type="user", id=each.user_id), name=each.email, teams={each.team_id: each.role})
        for each in it.members
        if former == Owner(type="team", id=each.team_id)
    ]
    return {f"{to.owner.type}:{to.owner.id}": _called(to) for to in parties if _may_have(it, by, former, to)}


def _called(to: Party) -> str:
    return f"the team {to.name}" if to.owner.type == "team" else to.name


def _may_have(it: Loaded, by: Person, former: Owner | None, to: Party) -> bool:
    what = f"Pipeline {it.pipeline.name}"
    try:
        if former is None:
            check_taking(by, what=what, to=to, app_owners=[owner_of(app) for app, _ in it.inside])
        else:
            check_transfer(by, what=what, former=Party(owner=former, name=it.name_of(former)), to=to)
    except Refused:
        return False
    return True


async def _show(request: web.Request, it: Loaded, refused: Refused | None = None) -> web.Response:
    owner, by = owner_of(it.pipeline), request[VISITOR].person
    strangers = _strange_teams({owner, *(owner_of(app) for app, _ in it.seen)}, by)
    return page(
        "dashboard/access.html",
        status=200 if refused is None else STATUS_OF_ID.get(refused.code, 422),
        visitor=request[VISITOR],
        pipeline=it.pipeline,
        owner=it.name_of(owner),
        is_owned=owner is not None,
        of_team=owner is not None and owner.type == "team",
        people=list(people(it)),
        strangers=[it.name_of(each) for each in strangers],
        lines=list(lines(it)),
        choices=choices(it, by),
        meaning={each.value: WHAT[each] for each in Permission},
        error=refused.message if refused is not None else "",
        saved=request.query.get("saved", "") if refused is None else "",
    )


def _strange_teams(owners: Iterable[Owner | None], by: Person) -> list[Owner]:
    """Teams that own something here and whose members the person does not see."""
    return [each for each in owners if each is not None and each.type == "team" and TeamId(each.id) not in by.teams]


async def access(request: web.Request) -> web.Response:
    """GET /dashboard/pipelines/PIPELINE/access."""
    asked = asked_in(request)
    return await _show(request, await request.app[CONTEXT].db.read(lambda conn: _load(conn, asked)))


async def transfer(request: web.Request) -> web.Response:
    """POST /dashboard/pipelines/PIPELINE/transfer: to one of those that the page offers."""
    context, by, asked = request.app[CONTEXT], request[VISITOR].person, asked_in(request)
    to = str((await form_of(request)).get("to", ""))
    it = await context.db.read(lambda conn: _load(conn, asked))
    try:
        given = await _give(request, it, to)
    except Refused as refused:
        return await _show(request, it, refused)
    still = await context.db.read(lambda conn: sight.to_pipeline(conn, by, given)) != NONE
    where = f"{PATH}/pipelines/{given.id}/access?saved=owner#owner" if still else PATH
    return web.Response(status=303, headers={"Location": where})


async def _give(request: web.Request, it: Loaded, to: str) -> Pipeline:
    visitor = request[VISITOR]
    offered = choices(it, visitor.person)
    if not offered:
        raise Refused(f"It is not for you to give pipeline {it.pipeline.name} to anybody.", code="forbidden")
    if to not in offered:
        raise Refused("Choose whose it is to be from the list. Nothing was transferred.")
    kind, _, owner_id = to.partition(":")
    owner = Owner(type="team" if kind == "team" else "user", id=owner_id)
    return await request.app[CONTEXT].enactor.transfer_pipeline(
        pipeline_id=it.pipeline.id, to=owner, by=visitor.person, actor=visitor.actor
    )


_ONE: Final = f"{PATH}/pipelines/{{pipeline}}"
ROUTES = [
    rights.get(f"{_ONE}/access", access, rights.page(rights.pipeline())),
    rights.post(f"{_ONE}/transfer", transfer, rights.page(rights.pipeline())),
]
