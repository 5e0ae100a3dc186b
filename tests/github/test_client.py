"""Speaking to GitHub: tokens, limits, broken answers, and addresses that are not GitHub's."""

import asyncio
import time
from dataclasses import replace

import pytest

from service.demo.simulator.tokens import Keys as GitHubKeys
from service.domain.errors import Refused, Transient
from service.domain.model import Repository, RepositoryId
from service.github.app_auth import AppTokens, FixedToken, Stranger, credentials
from service.github.hints import InstallationState
from service.github.purposes import Purpose
from service.settings import Settings
from tests.github.conftest import repository_of

# Tokens ---------------------------------------------------------------------------------------------


async def test_a_token_is_good_for_one_repository_and_one_purpose(edge, shop):
    caller = edge.sim.keys.token(await edge.tokens.token(shop, Purpose.CHECKS), edge.sim.now())
    assert caller.repository_ids == {shop.id}
    assert caller.permissions == {"checks": "write", "metadata": "read"}


async def test_the_token_for_git_may_read_content_and_nothing_else(edge, shop):
    caller = edge.sim.keys.token(await edge.github.git_token(shop), edge.sim.now())
    assert caller.permissions == {"contents": "read", "metadata": "read"}


async def test_many_who_need_a_token_at_once_cause_one_request(edge, shop):
    tokens = await asyncio.gather(*(edge.tokens.token(shop, Purpose.READ) for _ in range(20)))
    assert len(set(tokens)) == 1
    assert edge.requests("access_tokens") == 1


async def test_a_token_is_renewed_after_fifty_minutes(edge, shop):
    first = await edge.tokens.token(shop, Purpose.READ)
    edge.clock.seconds += 49 * 60
    assert await edge.tokens.token(shop, Purpose.READ) == first
    edge.clock.seconds += 2 * 60
    assert await edge.tokens.token(shop, Purpose.READ) != first


async def test_a_token_that_github_refuses_is_replaced_once_and_the_request_repeated(edge, shop):
    edge.sim.keys.revoke(await edge.tokens.token(shop, Purpose.READ))
    reply = await edge.github.get(shop, "")
    assert reply.data["full_name"] == "acme/shop"
    assert edge.requests("access_tokens") == 2


async def test_a_failed_request_for_a_token_is_not_kept(edge, shop):
    edge.sim.chaos.answer("error", pattern="access_tokens", status=500)
    with pytest.raises(Transient):
        await edge.tokens.token(shop, Purpose.READ)
    assert await edge.tokens.token(shop, Purpose.READ)


async def test_a_suspended_installation_gives_no_access_and_says_so(edge, shop):
    edge.sim.suspend(shop.installation_id)
    with pytest.raises(Refused, match="suspended"):
        await edge.tokens.token(shop, Purpose.READ)


async def test_tokens_of_an_installation_are_forgotten_when_it_is_told_to_be_suspended(edge, shop):
    await edge.tokens.token(shop, Purpose.READ)
    assert await edge.github.installation_state(shop.installation_id) is InstallationState.ACTIVE
    await edge.tokens.token(shop, Purpose.READ)
    assert edge.requests("access_tokens") == 1
    edge.sim.suspend(shop.installation_id)
    assert await edge.github.installation_state(shop.installation_id) is InstallationState.SUSPENDED
    edge.sim.suspend(shop.installation_id, suspended=False)
    await edge.tokens.token(shop, Purpose.READ)
    assert edge.requests("access_tokens") == 2
    edge.sim.uninstall(shop.installation_id)
    assert await edge.github.installation_state(shop.installation_id) is InstallationState.DELETED
    assert await edge.as_person("ann").installation_state(shop.installation_id) is None


async def test_a_permission_that_an_owner_accepts_takes_effect_with_the_next_token(edge, shop):
    installed = edge.sim.installations[shop.installation_id]
    installed.permissions = {"metadata": "read", "contents": "read"}
    with pytest.raises(Refused, match="not granted"):
        await edge.tokens.token(shop, Purpose.CHECKS)
    edge.sim.accept_permissions(installed.id)
    assert await edge.tokens.token(shop, Purpose.CHECKS)


async def test_an_installation_that_is_not_known_yet_is_looked_up(edge, shop):
    unknown = Repository(id=shop.id, full_name=shop.full_name, default_branch="master")
    assert await edge.github.installation_id(unknown) == shop.installation_id
    assert (await edge.github.get(unknown, "")).ok


async def test_an_app_that_was_installed_anew_unheard_is_found_by_the_repositorys_name(edge, shop):
    edge.sim.uninstall(shop.installation_id)
    with pytest.raises(Refused, match="not installed on acme/shop"):
        await edge.github.get(shop, "")
    edge.sim.install("acme", ["acme/shop"])
    assert (await edge.github.get(shop, "")).ok


async def test_a_repository_without_the_app_is_refused_by_name(edge):
    repo = await edge.sim.create_repo("other/thing", installed=False)
    with pytest.raises(Refused, match="not installed on other/thing"):
        await edge.github.get(repository_of(edge.sim, repo), "")


@pytest.mark.parametrize(("app_id", "key"), [("x", "key"), ("1", "not a key"), ("1", "")])
def test_credentials_that_cannot_work_are_refused_at_the_start(edge, app_id, key):
    with pytest.raises(Refused, match=r"TOWPATH_GITHUB_APP_ID|no RSA private key"):
        AppTokens(transport=edge.transport, app_id=app_id, private_key=key)


def test_settings_choose_between_an_app_a_token_and_nothing(edge, tmp_path):
    key = tmp_path / "app.pem"
    key.write_text(edge.sim.private_key_pem)
    plain = Settings(data=tmp_path)
    assert credentials(plain, edge.transport).app_id == 0
    assert isinstance(credentials(replace(plain, github_token="ghp_x"), edge.transport), FixedToken)
    app = replace(plain, github_app_id="4711", github_private_key_file=key)
    assert credentials(app, edge.transport).app_id == 4711
    for half in (replace(app, github_app_id=""), replace(app, github_private_key_file=None)):
        with pytest.raises(Refused, match="both"):
            credentials(half, edge.transport)
    key.write_text("not a key")
    with pytest.raises(Refused, match=r"TOWPATH_GITHUB_PRIVATE_KEY_FILE=.* no RSA private key"):
        credentials(app, edge.transport)
    with pytest.raises(Refused, match="cannot be read"):
        credentials(replace(app, github_private_key_file=tmp_path / "none"), edge.transport)


async def test_a_personal_token_works_without_an_app(edge, shop):
    edge.sim.add_collaborator("acme/shop", "ann")
    github = edge.as_person("ann")
    assert github.app_id == 0
    assert (await github.get(shop, "/pulls")).data == []


async def test_a_worthless_personal_token_is_tried_once_and_may_be_replaced(edge, shop):
    github = edge.as_person("ann")
    edge.sim.keys._personal.clear()
    with pytest.raises(Stranger, match="credentials"):
        await github.get(shop, "")
    assert edge.requests("GET") == 1


# Who we are -----------------------------------------------------------------------------------------


def app(edge, wall_clock=time.time):
    return AppTokens(
        transport=edge.transport,
        app_id=str(edge.sim.app_id),
        private_key=edge.sim.private_key_pem,
        clock=edge.clock,
        wall_clock=wall_clock,
    )


@pytest.mark.parametrize("hours", [-1, 1], ids=["behind", "ahead"])
async def test_with_a_clock_that_is_wrong_the_app_signs_by_github_s_clock(edge, shop, hours):
    tokens = app(edge, lambda: time.time() + hours * 3600)
    assert await tokens.token(shop, Purpose.READ)
    assert tokens.skew == pytest.approx(-hours * 3600, abs=10)
    asked = edge.requests("access_tokens")
    edge.clock.seconds += 3600
    assert await tokens.token(shop, Purpose.READ)
    assert edge.requests("access_tokens") == asked + 1


async def test_once_the_clock_is_right_again_the_app_signs_by_it(edge, shop):
    wrong = [3600.0]
    tokens = app(edge, lambda: time.time() + wrong[0])
    await tokens.token(shop, Purpose.READ)
    wrong[0] = 0.0
    edge.clock.seconds += 3600
    assert await tokens.token(shop, Purpose.READ)
    assert tokens.skew == 0.0


async def test_a_clock_that_was_set_right_after_the_app_signed_costs_one_more_request(edge, shop):
    tokens = app(edge)
    tokens._wall_clock = lambda: time.time() + 3600
    tokens.jwt()
    tokens._wall_clock = time.time
    assert await tokens.token(shop, Purpose.READ)


async def test_a_key_that_is_put_right_is_used_without_a_restart(edge, shop, tmp_path):
    file = tmp_path / "app.pem"
    file.write_text(GitHubKeys.create(1).private_key_pem)
    tokens = AppTokens.load(transport=edge.transport, app_id=str(edge.sim.app_id), key_file=file)
    for _ in range(2):
        with pytest.raises(Stranger, match="does not accept the App's id and key: A JSON web token could not be"):
            await tokens.token(shop, Purpose.READ)
    assert edge.requests("access_tokens") == 3  # what was signed a while ago is signed anew once
    file.write_text(edge.sim.private_key_pem)
    assert await tokens.token(shop, Purpose.READ)


async def test_a_stranger_is_not_told_that_the_app_is_not_installed(edge, shop):
    edge.sim.chaos.answer("error", pattern="/installation$", status=401, times=2)
    with pytest.raises(Stranger):
        await edge.github.installation_id(replace(shop, installation_id=0))


# Limits ---------------------------------------------------------------------------------------------


async def test_the_hourly_limit_is_transient_until_its_reset(edge, shop):
    await edge.github.get(shop, "")
    edge.sim.rate_limit = 1
    with pytest.raises(Transient) as caught:
        await edge.github.get(shop, "")
    assert 0 < caught.value.retry_after <= 3602


@pytest.mark.parametrize("kind", ["rate_limit", "secondary_limit"])
@pytest.mark.parametrize(("retry_after", "wait"), [(7, 7), (None, 60)])
async def test_after_a_limit_nothing_is_sent_before_its_time(edge, shop, kind, retry_after, wait):
    edge.sim.chaos.answer(kind, pattern="/repositories/", retry_after=retry_after)
    with pytest.raises(Transient) as caught:
        await edge.github.get(shop, "")
    asked = caught.value.retry_after
    assert asked == wait if retry_after else wait <= asked <= wait * 1.25
    before = len(edge.lines)
    edge.clock.seconds += asked - 1
    with pytest.raises(Transient):
        await edge.github.get(shop, "")
    assert len(edge.lines) == before
    edge.clock.seconds += 2
    assert (await edge.github.get(shop, "")).ok


async def test_limits_of_no_said_length_are_waited_out_twice_as_long_each_time(edge, shop):
    edge.sim.chaos.answer("secondary_limit", pattern="/repositories/", times=3)
    waits = []
    for _ in range(3):
        with pytest.raises(Transient) as caught:
            await edge.github.get(shop, "")
        waits.append(caught.value.retry_after)
        edge.clock.seconds += waits[-1] + 1
    for wait, least in zip(waits, (60, 120, 240), strict=True):
        assert least <= wait <= least * 1.25
    assert (await edge.github.get(shop, "")).ok
    edge.sim.chaos.answer("secondary_limit", pattern="/repositories/")
    with pytest.raises(Transient) as caught:
        await edge.github.get(shop, "")
    assert 60 <= caught.value.retry_after <= 75


async def test_those_who_were_limited_together_for_no_said_time_do_not_come_back_together(edge, shop):
    waits = set()
    for _ in range(8):
        edge.sim.chaos.answer("secondary_limit", pattern="/repositories/")
        with pytest.raises(Transient) as caught:
            await edge.github.get(shop, "")
        waits.add(caught.value.retry_after)
        edge.clock.seconds += caught.value.retry_after + 1
        assert (await edge.github.get(shop, "")).ok
    assert len(waits) > 1
    assert all(60 <= wait <= 75 for wait in waits)


async def test_what_is_left_of_the_limit_is_known_from_the_last_answer(edge, shop):
    await edge.github.get(shop, "")
    quota = edge.github.quota(shop.installation_id)
    assert (quota.limit, quota.remaining) == (5000, 4999)


# Broken answers -------------------------------------------------------------------------------------


# A reading request whose kept connection breaks is sent once more by aiohttp itself.
TRIES = {"error": 1, "html": 1, "reset": 2}


@pytest.mark.parametrize(
    ("kind", "status"),
    [("error", 500), ("error", 502), ("error", 520), ("error", 599), ("html", 200), ("reset", 0)],
)
async def test_an_answer_that_is_none_is_transient(edge, shop, kind, status):
    edge.sim.chaos.answer(kind, pattern="/repositories/", status=status, times=TRIES[kind])
    with pytest.raises(Transient):
        await edge.github.get(shop, "")
    assert (await edge.github.get(shop, "")).ok


async def test_an_outage_is_transient_for_tokens_as_well(edge, shop):
    edge.sim.chaos.outage = True
    with pytest.raises(Transient):
        await edge.github.get(shop, "")


async def test_what_github_denies_is_an_answer_and_not_an_error(edge, shop):
    reply = await edge.github.get(shop, "/pulls/99")
    assert (reply.status, reply.message) == (404, "Not Found")


# Addresses ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "https://evil.example/steal",
        "//evil.example/steal",
        "http://127.0.0.1:1/api/v3/x",
        "/repos/a/../../../x",
        "/repos/./x",
        "https://user@evil.example/",
        "file:///etc/passwd",
        "/repos/%2e%2e/x",
    ],
)
async def test_no_other_address_ever_gets_our_token(edge, path):
    with pytest.raises(Refused, match="not an address of GitHub"):
        await edge.transport.send("GET", path, token="secret")


async def test_a_renamed_repository_is_found_by_its_old_name(edge, shop):
    edge.sim.rename_repo("acme/shop", "store")
    reply = await edge.transport.send("GET", "/repos/acme/shop", token=await edge.tokens.token(shop, Purpose.READ))
    assert reply.data["full_name"] == "acme/store"


async def test_a_new_repository_under_an_old_name_is_not_taken_for_it(edge, shop):
    edge.sim.rename_repo("acme/shop", "store")
    await edge.sim.create_repo("acme/shop", files={"other": "repository"})
    assert (await edge.github.get(shop, "")).data["id"] == shop.id


async def test_a_repository_is_found_by_name_and_permissions_by_login(edge, shop):
    found = await edge.looks.repository("acme/shop")
    assert found == shop
    edge.sim.add_collaborator("acme/shop", "ann", "write")
    assert await edge.looks.permission(shop, "ann") == "write"
    standing = await edge.looks.standing(shop, "ann")
    assert (standing.permission, standing.github_id) == ("write", edge.sim.accounts["ann"].id)
    assert await edge.looks.permission(shop, "nobody") == "none"
    with pytest.raises(Refused, match="OWNER/NAME"):
        await edge.looks.repository("acme")
    with pytest.raises(Refused, match="not installed"):
        await edge.looks.repository("acme/none")


async def test_without_an_app_a_repository_is_found_by_name_too(edge, shop):
    edge.sim.add_collaborator("acme/shop", "ann")
    reply = await edge.as_person("ann").get(
        Repository(id=RepositoryId(0), full_name="acme/shop", default_branch=""), ""
    )
    assert reply.data["id"] == shop.id


async def test_after_a_machine_slept_what_it_signed_before_is_signed_anew(edge, shop: Repository) -> None:
    await edge.github.get(shop, "/pulls")
    await edge.github.as_app("/app")
    edge.sim.chaos.answer("error", pattern="/app$", status=401)
    assert (await edge.github.as_app("/app")).ok
    edge.sim.chaos.answer("error", pattern="/access_tokens$", status=401)
    other = repository_of(edge.sim, await edge.sim.create_repo("acme/other", files={"a": "1"}))
    assert (await edge.github.get(other, "/pulls")).ok
    edge.sim.chaos.answer("error", pattern="/app$", times=None, status=401)
    with pytest.raises(Transient, match="does not accept the App's id and key"):
        await edge.github.as_app("/app")
