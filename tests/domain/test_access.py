"""Who may do what to an app or a pipeline, who may give it away, and what a token is good for."""

from itertools import product

import pytest

from service.domain.access import (
    ALL,
    COLLABORATOR,
    Act,
    Owner,
    Party,
    Permission,
    Person,
    TeamRole,
    TokenScope,
    check_last_admin,
    check_on_github,
    check_production,
    check_taking,
    check_transfer,
    for_new_code,
    for_promotion,
    on_app,
    on_pipeline,
    owner_of,
    token_may,
)
from service.domain.errors import Refused
from service.domain.model import AppId, Stage, TeamId, UserId
from tests.domain.things import app, pipeline

ME, OTHER = Owner(type="user", id="me"), Owner(type="user", id="other")
OURS, THEIRS = Owner(type="team", id="ours"), Owner(type="team", id="theirs")
VIEW, DEPLOY, OPERATE, MANAGE, PROMOTE = Permission
NOTHING = frozenset()


def person(role: str = "", *, theirs: str = "", is_admin: bool = False, grants: str = "") -> Person:
    """Me, with a role in our team and in theirs, and granted permissions on the app `shop`."""
    teams = {TeamId(team): TeamRole(each) for team, each in (("ours", role), ("theirs", theirs)) if each}
    granted = {AppId("shop"): frozenset(map(Permission, grants.split()))} if grants else {}
    return Person(id=UserId("me"), is_admin=is_admin, teams=teams, grants=granted)


ON_APPS = [
    ("an owner may do everything", person(), ME, ALL),
    ("somebody else's app is not there", person(), OTHER, NOTHING),
    ("an administrator of the installation sees no more of it", person(is_admin=True), OTHER, NOTHING),
    ("a team's admin may do everything", person("admin"), OURS, ALL),
    ("a team's member may deploy and operate", person("member"), OURS, {VIEW, DEPLOY, OPERATE}),
    ("a team's viewer may look", person("viewer"), OURS, {VIEW}),
    ("a team's collaborator may do nothing of it by that alone", person("collaborator"), OURS, NOTHING),
    ("an admin of one team is nobody in another", person("admin"), THEIRS, NOTHING),
    ("what was granted is had without any team", person(grants="deploy"), OURS, {VIEW, DEPLOY}),
    ("what was granted adds to the role", person("member", grants="promote"), OURS, {VIEW, DEPLOY, OPERATE, PROMOTE}),
    ("managing an app lets one do nothing else to it", person(grants="manage"), OTHER, {VIEW, MANAGE}),
    ("what nobody owns is an administrator's", person(is_admin=True), None, ALL),
    ("what nobody owns is nobody else's", person("admin"), None, NOTHING),
]


@pytest.mark.parametrize(("who", "owner", "may"), [row[1:] for row in ON_APPS], ids=[row[0] for row in ON_APPS])
def test_what_somebody_may_do_to_an_app(who: Person, owner: Owner | None, may: frozenset[Permission]) -> None:
    assert on_app(who, owner, "shop") == may


ON_PIPELINES = [
    ("an owner may do everything", person(), ME, [], ALL),
    ("a pipeline of others is not there", person(), OTHER, [("x", OTHER)], NOTHING),
    ("a team's admin may do everything", person("admin"), OURS, [], ALL),
    ("a team's member may manage it, but not promote", person("member"), OURS, [], ALL - {PROMOTE}),
    ("a team's viewer may look", person("viewer"), OURS, [], {VIEW}),
    ("whoever sees an app in it sees it", person(), OTHER, [("x", OTHER), ("y", ME)], {VIEW}),
    ("and does so by a grant", person(grants="manage"), OTHER, [("shop", OTHER)], {VIEW}),
    ("one that nobody owns is as much mine as its apps", person(), None, [("x", ME)], ALL),
    (
        "though being let in to one of them is no say in the others",
        person(grants="deploy"),
        None,
        [("shop", OTHER)],
        {VIEW},
    ),
    ("one that nobody owns with apps of others is not there", person("admin"), None, [("x", OTHER)], NOTHING),
    ("an administrator has what nobody owns", person(is_admin=True), None, [], ALL),
]


@pytest.mark.parametrize(
    ("who", "owner", "apps", "may"), [row[1:] for row in ON_PIPELINES], ids=[row[0] for row in ON_PIPELINES]
)
def test_what_somebody_may_do_to_a_pipeline(
    who: Person, owner: Owner | None, apps: list[tuple[str, Owner]], may: frozenset[Permission]
) -> None:
    assert on_pipeline(who, owner, apps) == may


def test_whatever_lets_one_do_something_lets_one_see_it() -> None:
    people = [person(role, grants=each.value) for role, each in product(("", *TeamRole), Permission)]
    for who, owner in product(people, (ME, OTHER, OURS, THEIRS, None)):
        for may in (on_app(who, owner, "shop"), on_pipeline(who, owner, [("shop", OTHER)])):
            assert not may or VIEW in may


def test_an_app_and_a_pipeline_know_whose_they_are() -> None:
    assert owner_of(app(owner_id="me", owner_type="user")) == ME
    assert owner_of(pipeline(owner_id="ours", owner_type="team")) == OURS
    assert owner_of(pipeline()) is None


def test_production_takes_a_right_of_its_own() -> None:
    assert for_new_code(Stage.PRODUCTION) == {DEPLOY, PROMOTE}
    assert {for_new_code(stage) for stage in (None, Stage.STAGING, Stage.REVIEW)} == {frozenset({DEPLOY})}
    assert for_promotion(Stage.PRODUCTION) is PROMOTE
    assert {for_promotion(stage) for stage in Stage if stage is not Stage.PRODUCTION} == {DEPLOY}
    assert PROMOTE not in COLLABORATOR


def test_an_app_comes_to_production_and_goes_from_there_only_by_who_may_change_what_runs_there() -> None:
    for enough in (ALL, {MANAGE}, {VIEW, PROMOTE}):
        check_production(frozenset(enough), "shop")
    for short in (NOTHING, COLLABORATOR):
        with pytest.raises(Refused, match="shop comes to production"):
            check_production(short, "shop")


def party(owner: Owner, **teams: str) -> Party:
    of = {TeamId(team): TeamRole(role) for team, role in teams.items()}
    return Party(owner=owner, name=owner.id, teams=of)


NEVER, NOT_IN, NOT_MINE, NO_ADMIN, HAS = "from one user to another", "not a member", "Only other", "an admin", "already"
TRANSFERS = [
    ("mine to a team of which I am a member", person("member"), party(ME), party(OURS), ""),
    ("mine to a team of which I am admin", person("admin"), party(ME), party(OURS), ""),
    ("mine to a team that only lets me look", person("viewer"), party(ME), party(OURS), NOT_IN),
    ("mine to a team in which I am a guest", person("collaborator"), party(ME), party(OURS), NOT_IN),
    ("mine to a team that I am not in", person(), party(ME), party(OURS), NOT_IN),
    ("another's to my team", person("admin"), party(OTHER), party(OURS), NOT_MINE),
    ("another's to my team, by an administrator", person("admin", is_admin=True), party(OTHER), party(OURS), NOT_MINE),
    ("mine to another user", person("admin"), party(ME), party(OTHER, ours="admin"), NEVER),
    ("mine to another user, by an administrator", person(is_admin=True), party(ME), party(OTHER), NEVER),
    ("a team's to one of its members", person("admin"), party(OURS), party(OTHER, ours="member"), ""),
    ("a team's to me", person("admin"), party(OURS), party(ME, ours="admin"), ""),
    ("a team's to an outsider", person("admin"), party(OURS), party(OTHER, theirs="admin"), NOT_IN),
    ("a team's to one who only may look", person("admin"), party(OURS), party(OTHER, ours="viewer"), NOT_IN),
    ("a team's by a member who is no admin", person("member"), party(OURS), party(ME, ours="member"), NO_ADMIN),
    ("a team's to another, by an admin of both", person("admin", theirs="admin"), party(OURS), party(THEIRS), ""),
    ("a team's to one I am only member of", person("admin", theirs="member"), party(OURS), party(THEIRS), NO_ADMIN),
    ("a team's by a member, to a team of theirs", person("member", theirs="admin"), party(OURS), party(THEIRS), NO_ADMIN),
    ("mine to me", person(), party(ME), party(ME), HAS),
]  # fmt: skip


@pytest.mark.parametrize(
    ("who", "former", "to", "refused"), [row[1:] for row in TRANSFERS], ids=[row[0] for row in TRANSFERS]
)
def test_who_may_give_what_to_whom(who: Person, former: Party, to: Party, refused: str) -> None:
    if not refused:
        check_transfer(who, what="App shop", former=former, to=to)
        return
    with pytest.raises(Refused, match=refused) as said:
        check_transfer(who, what="App shop", former=former, to=to)
    assert "App shop" in said.value.message


TAKINGS = [
    ("for myself, with an app of mine in it", person(), party(ME), [OTHER, ME], ""),
    ("for myself, with no app of mine in it", person(is_admin=True), party(ME), [OTHER, OURS, None], "You own no app"),
    ("for my team, with an app of the team in it", person("member"), party(OURS), [OURS], ""),
    ("for my team, with only an app of mine in it", person("admin"), party(OURS), [ME], "owns no app"),
    ("for a team in which I am a guest", person("viewer"), party(OURS), [OURS], "a team of yours"),
    ("for somebody else", person(), party(OTHER), [OTHER, ME], "for yourself"),
]


@pytest.mark.parametrize(
    ("who", "to", "owners", "refused"), [row[1:] for row in TAKINGS], ids=[row[0] for row in TAKINGS]
)
def test_only_whoever_owns_an_app_in_it_takes_a_pipeline_that_nobody_owns(
    who: Person, to: Party, owners: list[Owner | None], refused: str
) -> None:
    if not refused:
        check_taking(who, what="Pipeline shop", to=to, app_owners=owners)
        return
    with pytest.raises(Refused, match=refused):
        check_taking(who, what="Pipeline shop", to=to, app_owners=owners)


def test_a_team_keeps_an_admin() -> None:
    one = {UserId("me"): TeamRole.ADMIN, UserId("other"): TeamRole.MEMBER}
    for after in (TeamRole.MEMBER, TeamRole.VIEWER, None):
        with pytest.raises(Refused, match="needs an admin"):
            check_last_admin(one, "me", after)
        check_last_admin(one | {UserId("third"): TeamRole.ADMIN}, "me", after)
    check_last_admin(one, "me", TeamRole.ADMIN)
    check_last_admin(one, "other", None)


def test_it_takes_write_or_admin_on_github() -> None:
    for enough in ("write", "admin"):
        check_on_github(login="octavia", permission=enough, repository="acme/shop")
    for short in ("read", "none"):
        with pytest.raises(Refused, match=f"octavia has the permission {short} in acme/shop"):
            check_on_github(login="octavia", permission=short, repository="acme/shop")


TOKENS = {
    TokenScope.GLOBAL: set(Act),
    TokenScope.IDENTITY: {Act.IDENTITY},
    TokenScope.READ: {Act.IDENTITY, Act.READ},
    TokenScope.WRITE: {Act.IDENTITY, Act.READ, Act.WRITE},
    TokenScope.READ_PROTECTED: {Act.IDENTITY, Act.READ, Act.READ_PROTECTED},
    TokenScope.WRITE_PROTECTED: set(Act) - {Act.ACCOUNT},
}


@pytest.mark.parametrize(("scope", "act"), list(product(TokenScope, Act)))
def test_what_a_token_is_good_for(scope: TokenScope, act: Act) -> None:
    assert token_may([scope], act) == (act in TOKENS[scope])
    assert token_may([TokenScope.IDENTITY, scope], act) == (act in TOKENS[scope])
    assert not token_may([], act)
