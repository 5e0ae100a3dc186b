"""Secrets open with the key they name, in the place they belong to, and nowhere else."""

from pathlib import Path

import pytest
from sqlalchemy import Connection

from service.domain.decisions import Restart
from service.domain.errors import Refused
from service.domain.model import FORKS, Stage
from service.domain.webhooks import Include, Level
from service.store import apps, github_app, idempotency, pipelines, releases, requests, users, webhooks
from service.store.database import Database
from service.store.github_app import GitHubApp
from service.store.rotation import rotate
from service.store.secrets import Vault, new_key_line, request_context
from tests.store.making import NOW, make_app, make_pipeline

APP = GitHubApp(
    id=7, slug="tow", name="Tow", html_url="https://github.com/apps/tow", private_key="k", webhook_secret="s"
)


def test_what_is_sealed_opens_again_and_does_not_show(vault: Vault) -> None:
    sealed = vault.seal_vars({"KEY": "välue"}, "app 1")
    assert vault.unseal_vars(sealed, "app 1") == {"KEY": "välue"}
    assert b"lue" not in sealed
    assert sealed != vault.seal_vars({"KEY": "välue"}, "app 1")


def test_a_secret_that_was_moved_or_changed_does_not_open(vault: Vault) -> None:
    sealed = vault.seal(b"x", "app 1")
    with pytest.raises(Refused, match="damaged or was moved"):
        vault.unseal(sealed, "app 2")
    with pytest.raises(Refused, match="damaged or was moved"):
        vault.unseal(sealed[:-1] + bytes([sealed[-1] ^ 1]), "app 1")


def test_the_newest_key_seals_and_older_ones_still_open(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    old = Vault.open(path, create=True)
    before = old.seal(b"x", "app")
    with path.open("a") as file:
        file.write(new_key_line())
    new = Vault.open(path, create=False)
    assert new.unseal(before, "app") == b"x"
    assert not new.is_current(before)
    assert new.is_current(new.seal(b"x", "app"))
    with pytest.raises(Refused, match="data needs key"):
        old.unseal(new.seal(b"x", "app"), "app")


async def test_a_database_sealed_with_other_keys_is_refused(database: Database, vault: Vault, tmp_path: Path) -> None:
    other = Vault.open(tmp_path / "other.keys", create=True)
    await database.write(vault.check_canary)
    await database.write(vault.check_canary)
    with pytest.raises(Refused, match=r"data needs key [0-9a-f]{8}, file .*other\.keys holds [0-9a-f]{8}"):
        await database.write(other.check_canary)


def test_the_keys_file_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "keys"
    first, second = Vault.open(path, create=True), Vault.open(path, create=True)
    assert second.unseal(first.seal(b"x", "app"), "app") == b"x"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        pytest.param(None, 0o600, "is missing", id="missing"),
        pytest.param("# none\n", 0o600, "holds no key", id="empty"),
        pytest.param("short\n", 0o600, "is not a key", id="not a key"),
        pytest.param(new_key_line(), 0o644, "chmod 600", id="readable by others"),
    ],
)
def test_a_bad_keys_file_is_refused(tmp_path: Path, content: str | None, mode: int, message: str) -> None:
    path = tmp_path / "keys"
    if content is not None:
        path.write_text(content)
        path.chmod(mode)
    with pytest.raises(Refused, match=message):
        Vault.open(path, create=False)


def test_a_vault_does_not_show_its_keys(vault: Vault, tmp_path: Path) -> None:
    key = (tmp_path / "secret.keys").read_text().splitlines()[-1]
    assert key not in repr(vault)


def test_what_was_signed_opens_what_it_was_signed_for_and_does_so_while_its_key_is_there(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    first = Vault.open(path, create=True)
    signed = first.sign("one", "build output")
    assert first.sign("one", "build output") == signed
    with path.open("a") as file:
        file.write(new_key_line())
    both = Vault.open(path, create=False)
    assert both.has_signed(signed, "one", "build output")
    assert both.has_signed(both.sign("one", "build output"), "one", "build output")
    for text, context in (("two", "build output"), ("one", "release output")):
        assert not both.has_signed(signed, text, context)
    path.write_text(new_key_line())
    assert not Vault.open(path, create=False).has_signed(signed, "one", "build output")


async def test_after_a_rotation_the_old_key_is_not_needed_any_more(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "keys"
    old = Vault.open(path, create=True)

    def fill(conn: Connection) -> str:
        old.check_canary(conn)
        app = make_app(conn)
        apps.set_config(conn, old, app_id=app.id, vars={"A": "1"}, now=NOW)
        pipeline_id = make_pipeline(conn)
        for stage in (Stage.REVIEW, Stage.TEST, FORKS):
            pipelines.set_stage_config(
                conn, old, pipeline_id=pipeline_id, stage=stage, variables={"B": str(stage)}, now=NOW
            )
        sealed = old.seal_vars({"C": "3"}, request_context(app.id))
        queued = requests.add(
            conn, app_id=app.id, work=Restart(), actor="", reason="", by_person=True, now=NOW, sealed=sealed
        )
        made = releases.create(
            conn,
            app_id=app.id,
            request_id=queued.id,
            slug_id=None,
            commit=None,
            repository_id=None,
            description="",
            actor="",
            log_id="",
            now=NOW,
        )
        fixed = old.seal_vars({"D": "4"}, releases.config_context(made.id))
        releases.fix(
            conn, release_id=made.id, slug_id=None, commit=None, repository_id=None, sealed_config=fixed, now=NOW
        )
        github_app.save(conn, old, APP, NOW)
        user_id = users.ensure_embedded_user(conn, now=NOW)
        idempotency.begin(conn, user_id=user_id, key="k", fingerprint="f", is_same=lambda _: False, now=NOW)
        answer = old.seal(b"answer", idempotency.context(user_id, "k"))
        idempotency.answer(conn, user_id=user_id, key="k", sealed=answer)
        webhooks.add(
            conn,
            old,
            app_id=app.id,
            pipeline_id=None,
            include=[Include.APP],
            level=Level.SYNC,
            url="https://example.com/",
            secrets={"E": "5"},
            now=NOW,
        )
        return made.id

    release_id = await database.write(fill)
    key = new_key_line()
    with path.open("a") as file:
        file.write(key)
    both = Vault.open(path, create=False)
    assert await database.write(lambda conn: rotate(conn, both)) == 9
    assert await database.write(lambda conn: rotate(conn, both)) == 0
    path.write_text(key)
    new = Vault.open(path, create=False)

    def read(conn: Connection) -> list[dict[str, str]]:
        new.check_canary(conn)
        (app,) = apps.listing(conn)
        (pipeline,) = pipelines.listing(conn)
        assert github_app.get(conn, new) == APP
        (webhook,) = webhooks.listing(conn, app_id=app.id, pipeline_id=None)
        assert new.unseal_vars(webhook.sealed, webhooks.context(webhook.id)) == {"E": "5"}
        return [
            apps.config(conn, new, app.id),
            pipelines.stage_config(conn, new, pipeline.id, Stage.REVIEW),
            pipelines.stage_config(conn, new, pipeline.id, FORKS),
            releases.config(conn, new, release_id),
        ]

    assert await database.read(read) == [{"A": "1"}, {"B": "review"}, {"B": "fork"}, {"D": "4"}]
