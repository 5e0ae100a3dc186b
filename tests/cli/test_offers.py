"""Teams and what they own: renamed, listed, given away, and offered to somebody who may say no."""

from typing import Any

import pytest

from tests.cli.conftest import Inside
from tests.web.serving import Server


@pytest.fixture
async def bob(server: Server) -> str:
    """The token of a member of the team `crew`, which owns the app `example`."""
    made, _ = await server.call("POST", "/users", {"email": "bob@example.com"}, expect=201)
    await server.call("POST", "/teams", {"name": "crew"}, expect=201)
    await server.call("POST", "/teams/crew/members", {"email": "bob@example.com", "role": "member"}, expect=201)
    await server.call("POST", "/apps", {"name": "example", "team": "crew"}, expect=201)
    return str(made["access_token"]["token"])


async def offers(server: Server) -> list[Any]:
    return [(it["app"]["name"], it["state"]) for it in await server.get("/account/app-transfers")]


async def test_an_app_that_is_offered_is_theirs_once_they_accept(inside: Inside, server: Server, bob: str) -> None:
    assert "No app is offered, neither by you nor to you." in (await inside("apps:transfers")).out
    offered = await inside("apps:transfer", "bob@example.com", "--offer", "-a", "example")
    assert offered.out == (
        "Offering example to bob@example.com... done, it is theirs once they accept: "
        "towpath apps:transfers:accept example\n"
    )
    mine = await inside("apps:transfers")
    assert "example  admin@localhost  bob@example.com  pending" in mine.out
    assert mine.err == ""
    theirs = await inside("apps:transfers", TOWPATH_TOKEN=bob)
    assert theirs.err == (
        "You were offered example: towpath apps:transfers:accept example or towpath apps:transfers:decline example\n"
    )
    early = await inside("apps:transfers:accept", "example", code=1)
    assert "Only whom the app was offered to can answer." in early.err
    meant = await inside("apps:transfers:accept", "exmple", TOWPATH_TOKEN=bob, code=1)
    assert "There is no offer of exmple. Did you mean example?" in meant.err
    accepted = await inside("apps:transfers:accept", "example", TOWPATH_TOKEN=bob)
    assert accepted.out == "Accepting example from admin@localhost... done, it is yours\n"
    (app,) = await server.get("/apps", Authorization=f"Bearer {bob}")
    assert app["owner"]["email"] == "bob@example.com"
    (offer,) = await server.get("/account/app-transfers")
    await server.call("DELETE", f"/account/app-transfers/{offer['id']}", expect=422)
    assert await offers(server) == [("example", "accepted")]
    for command in ("accept", "decline", "withdraw"):
        over = await inside(f"apps:transfers:{command}", "example", code=1)
        assert "The offer of example is over: it was accepted." in over.err


async def test_an_offer_is_declined_or_withdrawn_and_can_be_made_again(
    inside: Inside, server: Server, bob: str
) -> None:
    await inside("apps:transfer", "bob@example.com", "--offer", "-a", "example")
    declined = await inside("apps:transfers:decline", "example", TOWPATH_TOKEN=bob)
    assert declined.out == "Declining example from admin@localhost... done\n"
    made = (await inside("apps:transfer", "bob@example.com", "--offer", "-a", "example", "--json")).json
    assert await offers(server) == [("example", "declined"), ("example", "pending")]
    not_theirs = await inside("apps:transfers:withdraw", made["id"], TOWPATH_TOKEN=bob, code=1)
    assert "Only who offered the app can take that back; decline it." in not_theirs.err
    withdrawn = await inside("apps:transfers:withdraw", made["id"])
    assert withdrawn.out == "Withdrawing the offer of example to bob@example.com... done\n"
    assert await offers(server) == [("example", "declined")]
    assert (await server.get("/apps/example"))["team"]["name"] == "crew"


async def test_a_team_has_an_app_at_once_and_is_not_asked(inside: Inside, server: Server, bob: str) -> None:
    refused = await inside("apps:transfer", "crew", "--offer", "-a", "example", code=2)
    assert "A team has it at once: towpath apps:transfer crew -a example" in refused.err
    for words in (["crwe"], ["bbo@example.com", "--offer"], ["bbo@example.com", "-c", "example"]):
        unknown = await inside("apps:transfer", *words, "-a", "example", code=1)
        assert f"Couldn't find {words[0]}: no team of yours and nobody in one is called so." in unknown.err
    given = await inside("apps:transfer", "bob@example.com", "-a", "example", "-c", "example")
    assert given.out == "Transferring example to bob@example.com... done\n"
    assert (await inside("apps:transfer", "crew", "-a", "example", TOWPATH_TOKEN=bob)).out.endswith("... done\n")


async def test_a_team_is_listed_renamed_and_destroyed_once_it_owns_nothing(inside: Inside, server: Server) -> None:
    assert (await inside("teams")).out == "You are in no team. Make one: towpath teams:create NAME\n"
    await inside("teams:create", "crew")
    assert (await inside("teams")).out == "team  role\ncrew  admin\n"
    assert (await inside("apps", "-t", "crew")).out == (
        "crew has no app yet. Make one: towpath apps:create NAME -t crew\n"
    )
    await inside("apps:create", "example", "-t", "crew", "--no-remote")
    await server.app("other")
    assert (await inside("teams:rename", "crew", "band")).out == "Renaming team crew to band... done\n"
    assert [it["name"] for it in (await inside("teams", "--json")).json] == ["band"]
    shown = (await inside("apps", "-t", "band")).out
    assert shown.startswith("=== Apps of band\n\nexample  http://example.localhost")
    assert "other" not in shown
    assert "Did you mean band?" in (await inside("apps", "-t", "bnad", code=1)).err
    assert "name" in (await inside("teams:rename", "band", "No Name", code=1)).err
    assert "owns" in (await inside("teams:destroy", "band", "-c", "band", code=1)).err
    await inside("apps:transfer", "admin@localhost", "-a", "example", "-c", "example")
    assert (await inside("teams:destroy", "band", "-c", "band")).out == "Destroying team band... done\n"
    assert await server.get("/teams") == []


async def test_a_token_is_shown_without_its_secret(inside: Inside, server: Server) -> None:
    made, _ = await server.call(
        "POST", "/oauth/authorizations", {"description": "For CI", "scope": ["read", "write"]}, expect=201
    )
    shown = (await inside("authorizations:info", made["id"])).out
    assert "Description:  For CI\n" in shown
    assert "Scope:        read, write\n" in shown
    assert "Last used:    never\n" in shown
    assert made["access_token"]["token"] not in shown
    assert (await inside("authorizations:info", made["id"], "--json")).json["id"] == made["id"]
    assert "Couldn't find the authorization nothing." in (await inside("authorizations:info", "nothing", code=1)).err
