"""Whose everything is after an upgrade, and what becomes of memberships and grants."""

from pathlib import Path

from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, select, text

from service.domain.access import Permission, TeamRole
from service.store import apps, grants, people, pipelines, schema, sight, teams, tokens, users
from service.store.database import Database
from tests.store.making import NOW, make_app

BEFORE = (
    "INSERT INTO users (id, email, created_at, updated_at) VALUES ('u', 'admin@localhost', 0, 0)",
    "INSERT INTO api_tokens (id, user_id, sha256, created_at) VALUES ('t', 'u', 'x', 0)",
    "INSERT INTO spaces (id, name, driver, created_at, updated_at) VALUES ('s', 'common', 'process', 0, 0)",
    """INSERT INTO apps (id, name, space_id, owner_id, state, created_at, updated_at)
    VALUES ('a', 'own', 's', 'u', 'active', 0, 0), ('b', 'nobodys', 's', NULL, 'active', 0, 0)""",
    """INSERT INTO pipelines (id, name, owner_id, owner_type, created_at, updated_at)
    VALUES ('p', 'own', 'u', 'user', 0, 0), ('q', 'nobodys', NULL, NULL, 0, 0)""",
)


async def test_what_there_was_before_there_were_accounts_belongs_to_the_one_user(empty_database_url: str) -> None:
    database = await Database.open(empty_database_url)

    def as_before(conn: Connection) -> None:
        config = schema._config()
        config.attributes["connection"] = conn
        made = ScriptDirectory.from_config(config).walk_revisions()
        (accounts,) = [it for it in made if Path(it.path).stem.endswith("_accounts")]
        command.upgrade(config, str(accounts.down_revision))
        for statement in BEFORE:
            conn.execute(text(statement))

    await database.write(as_before)
    await database.migrate()
    user, listed, piped = await database.read(
        lambda conn: (users.get(conn, "u"), apps.listing(conn), pipelines.listing(conn))
    )
    assert user is not None
    assert user.is_admin
    assert {(it.name, it.owner_type, it.owner_id) for it in (*listed, *piped)} == {
        ("own", "user", "u"),
        ("nobodys", "user", "u"),
    }
    await database.close()


async def test_a_person_is_read_with_teams_and_grants_and_sees_by_them(database: Database) -> None:
    def make(conn: Connection) -> tuple[str, str]:
        user = users.create(conn, email="Ada@Example.com", now=NOW)
        team = teams.create(conn, name="crew", now=NOW)
        teams.set_member(conn, team_id=team.id, user_id=user.id, role=TeamRole.VIEWER, now=NOW)
        for name, owner in (("ours", team.id), ("granted", None), ("foreign", None)):
            app = make_app(conn, name)
            apps.update(conn, app=app, now=NOW, owner_id=owner, owner_type="team" if owner else None)
        granted = apps.find(conn, "granted")
        assert granted is not None
        grants.put(conn, app_id=granted.id, user_id=user.id, permissions=[Permission.DEPLOY], now=NOW)
        return user.id, team.id

    user_id, team_id = await database.write(make)

    def seen(conn: Connection) -> set[str]:
        user = users.find(conn, "ADA@example.com")
        assert user is not None
        person = sight.person(conn, user)
        names = {app.name for app in sight.seen_apps(conn, person)}
        assert set(sight.seen_names(conn, person).apps.values()) == names
        return names

    assert await database.read(seen) == {"ours", "granted"}
    await database.write(lambda conn: grants.remove_of_team(conn, team_id=team_id, user_id=user_id))
    assert await database.read(seen) == {"ours", "granted"}
    await database.write(lambda conn: teams.remove_member(conn, team_id=team_id, user_id=user_id))
    assert await database.read(seen) == {"granted"}


async def test_a_team_that_goes_takes_its_memberships_along(database: Database) -> None:
    def make(conn: Connection) -> str:
        user = users.create(conn, email="ada@example.com", now=NOW)
        team = teams.create(conn, name="crew", now=NOW)
        teams.set_member(conn, team_id=team.id, user_id=user.id, role=TeamRole.ADMIN, now=NOW)
        teams.invite(conn, team_id=team.id, email="x@y", role=TeamRole.MEMBER, invited_by=user.id, now=NOW)
        teams.delete(conn, team)
        return user.id

    user_id = await database.write(make)
    assert await database.read(lambda conn: teams.of_user(conn, user_id)) == {}
    assert await database.read(lambda conn: conn.execute(select(teams.invitations)).all()) == []


async def test_a_user_who_goes_leaves_what_they_owned_to_nobody_and_their_teams_are_known(database: Database) -> None:
    def make(conn: Connection) -> tuple[str, list[str], list[str]]:
        ada, bob = (users.create(conn, email=f"{name}@example.com", now=NOW) for name in ("ada", "bob"))
        for name, admins in (("alone", (ada,)), ("shared", (ada, bob)), ("others", (bob,))):
            team = teams.create(conn, name=name, now=NOW)
            for admin in admins:
                teams.set_member(conn, team_id=team.id, user_id=admin.id, role=TeamRole.ADMIN, now=NOW)
        tokens.create(conn, user_id=ada.id, description="", now=NOW)
        pipelines.create(conn, name="adas-pipe", owner_id=ada.id, owner_type="user", now=NOW)
        app = make_app(conn, "adas-app")
        apps.update(conn, app=app, now=NOW, owner_id=ada.id, owner_type="user")
        named = teams.names(conn)
        alone = [named[team_id] for team_id in teams.only_admin_of(conn, ada.id)]
        return ada.id, alone, users.delete(conn, ada.id, now=NOW)

    user_id, alone, left = await database.write(make)
    assert (alone, left) == (["alone"], ["adas-app", "adas-pipe"])
    listed, piped, kept = await database.read(
        lambda conn: (apps.listing(conn), pipelines.listing(conn), tokens.of_user(conn, user_id))
    )
    assert {(it.owner_id, it.owner_type) for it in (*listed, *piped)} == {(None, None)}
    assert kept == []


async def test_somebody_on_github_is_the_one_account_that_says_so(database: Database) -> None:
    asked = {
        "github:aDA": "ada@example.com",
        "github:bob": None,  # nobody says so
        "github:two": None,  # two say so
        "user:bob@example.com": "bob@example.com",
        "user:eve@example.com": None,
        "towpath": None,
    }

    def find(conn: Connection) -> dict[str, str | None]:
        for name, login in (("ada", "Ada"), ("bob", None), ("carl", "two"), ("dora", "TWO")):
            made = users.create(conn, email=f"{name}@example.com", now=NOW)
            users.update(conn, made.id, now=NOW, github_login=login)
        one_by_one = {actor: people.known(conn, [actor]) for actor in asked}
        assert people.known(conn, asked) == {actor: found[actor] for actor, found in one_by_one.items() if found}
        return {actor: found[actor].email if found else None for actor, found in one_by_one.items()}

    assert await database.write(find) == asked
