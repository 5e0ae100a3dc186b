"""Users, tokens, teams, access and transfers by the command line."""

from dataclasses import replace

from sqlalchemy import Connection

from service.domain.model import Stage
from service.store import apps, pipelines
from tests.cli.conftest import Cli
from tests.web.serving import Server


async def as_user(towpath: Cli, email: str, *args: str) -> Cli:
    """A command line of a new user."""
    made = (await towpath("users:create", email, "--json", *args)).json
    return replace(towpath, env=towpath.env | {"TOWPATH_TOKEN": made["access_token"]["token"]})


async def test_a_user_is_made_with_one_token_that_is_shown_once(towpath: Cli) -> None:
    done = await towpath("users:create", "ada@example.com", "--github", "octavia")
    assert done.out.startswith("Creating user ada@example.com... done\nToken: towpath-")
    token = done.out.split()[-1]
    assert (await towpath("auth:whoami", TOWPATH_TOKEN=token)).out == "ada@example.com\n"
    listed = await towpath("users")
    assert "octavia" in listed.out
    assert token not in listed.out + (await towpath("users", "--json")).out
    assert "administrator" in (await towpath("users", TOWPATH_TOKEN=token, code=1)).err
    await towpath("users:update", "ada@example.com", "--admin")
    await towpath("users", TOWPATH_TOKEN=token)
    await towpath("apps:create", "adas-app", TOWPATH_TOKEN=token)
    removed = await towpath("users:remove", "ada@example.com", "-c", "ada@example.com")
    assert removed.out == "Removing user ada@example.com... done\n"
    assert "Left to the administrators: adas-app." in removed.err
    await towpath("auth:whoami", TOWPATH_TOKEN=token, code=1)
    await towpath("users:create", "ada@example.com")
    assert "Nothing is to be changed" in (await towpath("users:update", "ada@example.com", code=2)).err


async def test_tokens_are_made_for_scripts_rotated_and_revoked(towpath: Cli) -> None:
    secret = (await towpath("authorizations:create", "-d", "For CI", "-s", "read", "-e", "30d", "-S")).out.strip()
    assert (await towpath("auth:whoami", TOWPATH_TOKEN=secret)).out == "admin@localhost\n"
    refused = await towpath("apps:create", "example", TOWPATH_TOKEN=secret, code=1)
    assert "This token is good for read" in refused.err
    (made,) = [each for each in (await towpath("authorizations", "--json")).json if each["description"] == "For CI"]
    assert secret not in (await towpath("authorizations")).out
    rotated = await towpath("authorizations:rotate", made["id"], "-S")
    await towpath("auth:whoami", TOWPATH_TOKEN=secret, code=1)
    await towpath("auth:whoami", TOWPATH_TOKEN=rotated.out.strip())
    assert "For CI" in (await towpath("authorizations:revoke", made["id"])).out
    await towpath("auth:whoami", TOWPATH_TOKEN=rotated.out.strip(), code=1)
    assert "is no time" in (await towpath("authorizations:create", "-e", "soon", code=2)).err


async def test_a_team_owns_an_app_and_lets_people_in(towpath: Cli, server: Server) -> None:
    bob = await as_user(towpath, "bob@example.com")
    assert (await towpath("teams:create", "crew")).out == "Creating team crew... done\n"
    added = await towpath("members:add", "bob@example.com", "-r", "viewer")
    assert added.out == "Adding bob@example.com to crew as viewer... done\n"
    invited = await towpath("members:add", "new@example.com", "-t", "crew")
    assert invited.out.endswith("invited: there is no such user yet\n")
    assert "invited" in (await towpath("members")).out
    await towpath("apps:create", "example", "-t", "crew")
    assert "example" in (await bob("apps")).out
    assert "it takes deploy or operate" in (await bob("config", "-a", "example", code=1)).err
    await towpath("access:add", "bob@example.com", "-a", "example", "-p", "deploy")
    await bob("config", "-a", "example")
    updated = await towpath("access:update", "bob@example.com", "-a", "example", "-p", "view,manage")
    assert updated.out == "Updating bob@example.com in application example with view,manage permissions... done\n"
    assert "view, manage" in (await towpath("access", "-a", "example")).out
    assert (await towpath("access:remove", "bob@example.com", "-a", "example")).out.endswith("done\n")
    await towpath("members:set", "bob@example.com", "-r", "member")
    await bob("config", "-a", "example")
    await towpath("members:remove", "bob@example.com")
    await towpath("members:remove", "new@example.com")
    assert "Couldn't find the app example" in (await bob("apps:info", "example", code=1)).err
    assert "There is no role" in (await towpath("members:add", "x@example.com", "-r", "boss", code=2)).err
    assert "There is no permission" in (await towpath("access:add", "x@y", "-p", "all", "-a", "example", code=2)).err


async def test_apps_and_pipelines_are_transferred_and_apps_of_others_marked(towpath: Cli, server: Server) -> None:
    await server.pipeline("shop", connected=False, staging="shop-staging", production="shop")
    await towpath("teams:create", "crew")
    moved = await towpath("apps:transfer", "crew", "-a", "shop")
    assert moved.out == "Transferring shop to crew... done\n"
    mixed = await towpath("pipelines:info", "shop")
    assert "shop belongs to crew@herokumanager.com, not to the owner of the pipeline." in mixed.err
    assert "towpath apps:transfer" in mixed.err
    aborted = await towpath("pipelines:transfer", "crew", "-p", "shop", stdin="no\n", code=2)
    assert "If that is meant, say --confirm shop" in aborted.err
    given = await towpath("pipelines:transfer", "crew", "-p", "shop", "--confirm", "shop")
    assert given.out == "Transferring shop pipeline to the crew team... done\n"
    assert (await towpath("pipelines:info", "shop")).err == ""
    crew = (await towpath("teams", "--json")).json[0]["id"]

    def fill(conn: Connection) -> None:
        """More review apps than a list holds that nobody asks the rest of."""
        now, pipeline = server.db.now(), pipelines.find(conn, "shop")[0]
        space = apps.ensure_space(conn, name="common", driver="process", now=now)
        of = {"space_id": space.id, "owner_id": crew, "owner_type": "team", "is_review": True, "now": now}
        for number in range(201):
            made = apps.create(conn, name=f"shop-pr-{number}", **of)
            pipelines.couple(conn, app_id=made.id, pipeline_id=pipeline.id, stage=Stage.REVIEW, now=now)

    await server.db.write(fill)
    assert (await towpath("pipelines:info", "shop")).err == "", "all of them are the team's"
    back = await towpath("pipelines:transfer", "admin@localhost", "-p", "shop", "-c", "shop")
    assert back.out.endswith("to the admin@localhost account... done\n")
    assert (
        "Couldn't find the user nobody@example.com"
        in (await towpath("pipelines:transfer", "nobody@example.com", "-p", "shop", "-c", "shop", code=1)).err
    )
