"""The way into the dashboard from a terminal."""

from tests.cli.conftest import Cli
from tests.web.browsing import Browser
from tests.web.serving import Server


async def test_the_address_is_all_that_is_printed_and_lets_one_in(towpath: Cli, server: Server) -> None:
    done = await towpath("dashboard")
    assert done.out.startswith(f"{server.url}/dashboard/sign-in/")
    assert done.out.count("\n") == 1
    assert "signs in admin@localhost, once" in done.err
    browser = Browser()
    page = await browser.press(await browser.get(done.out.strip()))
    await browser.session.close()
    assert page.title == "Apps and pipelines"
    made = (await towpath("dashboard", "--json")).json
    assert made["user"]["email"] == "admin@localhost"


async def test_it_is_opened_here_or_told_that_it_cannot_be(towpath: Cli, server: Server) -> None:
    assert "No browser" not in (await towpath("dashboard", "--open", BROWSER="/bin/true")).err
    told = await towpath("dashboard", "--open", BROWSER="/bin/false")
    assert "No browser was found here: open it yourself." in told.err
