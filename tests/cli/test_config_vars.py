"""Config vars: what was changed, what was not, and what a former release had."""

from typing import Any

from service.store import releases
from service.store.tables import releases as release_rows
from tests.cli.conftest import Inside
from tests.web.serving import Server


async def test_what_is_not_set_is_named_and_nothing_restarts_for_it(inside: Inside, server: Server) -> None:
    await server.pipeline(staging="example")
    await server.call("PATCH", "/apps/example/config-vars", {"SITE": "1", "COLOR": "red"}, expect=200)
    await server.work()
    nothing = await inside("config:unset", "SIET", "OTHER", "-a", "example")
    assert nothing.out == "Nothing was changed.\n"
    assert nothing.err == (
        " !    example has no config var SIET. Did you mean SITE?\n !    example has no config var OTHER.\n"
    )
    assert len(await server.get("/apps/example/releases")) == 1
    some = await inside("config:unset", "COLOR", "OTHER", "-a", "example", "--no-wait")
    assert some.out == "Unsetting COLOR and restarting example... done\n"
    assert some.err == " !    example has no config var OTHER.\n"
    assert await server.get("/apps/example/config-vars") == {"SITE": "1"}
    assert (await inside("config:unset", "OTHER", "-a", "example", "--json")).json == {"SITE": "1"}
    of_stage = await inside("config:unset", "OTHER", "-p", "shop", "--stage", "review")
    assert of_stage.err == " !    shop (review) has no config var OTHER.\n"


async def test_what_is_set_so_already_is_said_to_be(inside: Inside, server: Server) -> None:
    await server.app("example")
    none = (await inside("config", "-a", "example")).out
    assert none.endswith("\n\nThere are none. Set one: towpath config:set KEY=VALUE -a example\n")
    await inside("config:set", "A=1", "-a", "example", "--no-wait")
    again = await inside("config:set", "A=1", "-a", "example")
    assert again.out == "Setting A and restarting example... done, it was so already\nA:  1\n"


async def test_the_config_vars_of_a_release_are_shown_as_it_has_them(inside: Inside, server: Server) -> None:
    await server.pipeline(staging="example")
    for value in ("old", "new"):
        await server.call("PATCH", "/apps/example/config-vars", {"SITE": value}, expect=200)
        await server.work()

    def seal(conn: Any) -> None:  # as a worker does when a release's turn begins
        for made in conn.execute(release_rows.select()).mappings().all():
            value = {"SITE": "old" if made["version"] == 1 else "new"}
            sealed = server.vault.seal_vars(value, releases.config_context(made["id"]))
            conn.execute(release_rows.update().where(release_rows.c.id == made["id"]).values(sealed_config=sealed))

    await server.db.write(seal)
    for version, value in (("v1", "old"), ("2", "new")):
        assert (await inside("config", "--release", version, "-a", "example", "--json")).json == {"SITE": value}
    assert (await inside("config", "-a", "example")).out == "=== example Config Vars\n\nSITE:  new\n"
    shown = await inside("config", "--release", "v1", "-a", "example")
    assert shown.out == "=== v1 of example Config Vars\n\nSITE:  old\n"
    assert "example has no release v9" in (await inside("config", "--release", "v9", "-a", "example", code=1)).err
    stage = await inside("config", "--release", "v1", "-p", "shop", "--stage", "review", code=2)
    assert "Releases are of an app" in stage.err
    assert "An argument is empty" in (await inside("config", "--release", "", "-a", "example", code=2)).err


async def test_an_app_says_by_which_name_it_is_served(inside: Inside, server: Server) -> None:
    await server.app("example")
    assert (await inside("domains", "-a", "example")).out == "=== example Domain\n\nexample.localhost\n"
    assert [it["hostname"] for it in (await inside("domains", "-a", "example", "--json")).json] == ["example.localhost"]
