"""Links of the set-up's pages and the App they make, on both engines: used once, in one browser, for one hour."""

from datetime import timedelta

from sqlalchemy import Connection, select

from service.store import github_app, setups, users
from service.store.database import Database
from service.store.github_app import GitHubApp
from service.store.secrets import Vault
from service.store.setups import Setup, SetupState
from service.store.tables import github_setups
from tests.store.making import NOW

FIRST = GitHubApp(id=7, slug="tow", name="Tow", html_url="https://x/apps/tow", private_key="k", webhook_secret="s")
SECOND = GitHubApp(id=8, slug="two", name="Two", html_url="https://x/apps/two", private_key="l", webhook_secret="t")


def begun(conn: Connection) -> tuple[str, Setup]:
    link, _ = setups.create(
        conn, user_id=users.ensure_embedded_user(conn, now=NOW), organization="acme", now=NOW
    )  # fmt: skip
    found = setups.by_link(conn, link)
    assert found is not None
    return link, found


async def test_a_link_makes_one_app_however_many_press_at_once(database: Database) -> None:
    def race(conn: Connection) -> list[object]:
        link, setup = begun(conn)
        first = setups.press(conn, setup, session="one", now=NOW)
        second = setups.press(conn, setup, session="two", now=NOW)
        assert first is not None
        assert second is not None
        assert not setups.is_ours(conn, setup, first)  # pressed anew, only the last one counts
        assert setups.is_ours(conn, setup, second)
        moved = [setups.move(conn, setup, SetupState.MADE, now=NOW) for _ in "12"]
        late = [setups.press(conn, setup, session="x", now=NOW), setups.adopt(conn, setup, session="x", now=NOW)]
        now = setups.by_link(conn, link)
        assert now is not None
        return [*moved, *late, now.state, setups.is_ours(conn, setup, second)]

    assert await database.write(race) == [True, False, None, False, SetupState.MADE, False]


async def test_a_browser_finds_its_own_set_up_and_no_other(database: Database) -> None:
    def find(conn: Connection) -> list[str | None]:
        _, one = begun(conn)
        _, two = begun(conn)
        setups.press(conn, one, session="one", now=NOW)
        assert setups.adopt(conn, two, session="two", now=NOW)
        found = [setups.by_session(conn, session) for session in ("one", "two", "three", "")]
        assert found[:2] != [None, None]
        return [None if each is None else {one.id: "one", two.id: "two"}[each.id] for each in found]

    assert await database.write(find) == ["one", "two", None, None]


async def test_of_link_session_and_state_nothing_is_kept_that_opens_anything(database: Database) -> None:
    def keep(conn: Connection) -> None:
        link, setup = begun(conn)
        state = setups.press(conn, setup, session="the-session", now=NOW)
        kept = " ".join(str(value) for value in conn.execute(select(github_setups)).one())
        assert not {link, state, "the-session"} & set(kept.split())

    await database.write(keep)


async def test_what_expired_is_forgotten(database: Database) -> None:
    def forget(conn: Connection) -> list[bool]:
        link, setup = begun(conn)
        seen = []
        for before in (setup.expires_at, setup.expires_at + timedelta(seconds=1)):
            setups.forget(conn, before=before)
            seen.append(setups.by_link(conn, link) is not None)
        return seen

    assert await database.write(forget) == [True, False]


async def test_there_is_one_app_and_the_newest_counts(database: Database, vault: Vault) -> None:
    def save(conn: Connection) -> list[object]:
        seen: list[object] = [github_app.version(conn), github_app.get(conn, vault)]
        for app in (FIRST, SECOND):
            github_app.save(conn, vault, app, NOW)
            version = github_app.version(conn)
            seen += [version and version[0], github_app.get(conn, vault)]
        return seen

    assert await database.write(save) == [None, None, 7, FIRST, 8, SECOND]
