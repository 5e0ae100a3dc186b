"""Reading facts: whole answers become values, everything else is an error or no answer, and absence is proof of nothing."""

import asyncio
from dataclasses import replace

import msgspec
import pytest

from service.domain.errors import Refused, Transient
from service.domain.facts import ChangedPaths, CheckRun, CommitStatus, FactKey, FactKind, Head, changes_between
from service.domain.model import Sha
from service.github.looks import Looks
from service.github.payloads import StatusPayload
from service.store import fact_values
from tests.github.conftest import repository_of


def key(kind, repository, text=""):
    return FactKey(kind, repository.id, str(text))


async def open_pulls(edge, count):
    await edge.sim.push("acme/shop", "topic", {"index.html": "hello"})
    return [await edge.sim.open_pull("acme/shop", "topic", by="ann") for _ in range(count)]


# Pull requests --------------------------------------------------------------------------------------


async def test_a_pull_request_is_read_and_read_again_only_when_changed(edge, shop):
    (pull,) = await open_pulls(edge, 1)
    fact = key(FactKind.PULL_REQUEST, shop, pull.number)
    answer = await edge.looks.look(fact, shop)
    value = answer.value
    assert (value.number, value.state, value.head_sha, value.head_ref) == (1, "open", pull.head_sha, "topic")
    assert (value.author, value.is_fork, value.base_ref) == ("ann", False, "master")
    assert fact_values.decode(fact.kind, fact_values.encode(value)) == value
    again = await edge.looks.look(fact, shop, etag=answer.etag)
    assert (again.not_modified, again.value, again.etag) == (True, None, answer.etag)
    edge.sim.close_pull("acme/shop", 1)
    assert (await edge.looks.look(fact, shop, etag=answer.etag)).value.state == "closed"


async def test_a_pull_request_of_a_fork_is_a_fork(edge, shop):
    fork = await edge.sim.fork("acme/shop", "eve")
    await edge.sim.push(fork, "topic", {"a": "b"})
    pull = await edge.sim.open_pull("acme/shop", "topic", head_repo=fork)
    value = (await edge.looks.look(key(FactKind.PULL_REQUEST, shop, pull.number), shop)).value
    assert value.is_fork
    assert value.head_repository_id == fork.id


async def test_a_pull_request_that_github_does_not_show_is_an_error(edge, shop):
    answer = await edge.looks.look(key(FactKind.PULL_REQUEST, shop, 99), shop)
    assert answer.value is None
    assert "pull request 99" in answer.error


async def test_open_pull_requests_are_read_over_all_pages(edge, shop):
    await open_pulls(edge, 103)
    edge.sim.close_pull("acme/shop", 5)
    answer = await edge.looks.look(key(FactKind.OPEN_PULL_REQUESTS, shop), shop)
    assert [value.number for value in answer.value] == [1, 2, 3, 4, *range(6, 104)]
    assert answer.etag == ""
    assert fact_values.decode(FactKind.OPEN_PULL_REQUESTS, fact_values.encode(answer.value)) == answer.value


@pytest.mark.parametrize("kind", ["error", "html", "reset"])
async def test_a_page_that_fails_leaves_the_list_unknown_and_not_shorter(edge, shop, kind):
    await open_pulls(edge, 101)
    fact = key(FactKind.OPEN_PULL_REQUESTS, shop)
    assert len((await edge.looks.look(fact, shop)).value) == 101
    await edge.tokens.token(shop, _read())
    edge.sim.chaos.answer("delay", pattern="/pulls")  # the first page goes well
    edge.sim.chaos.answer(kind, pattern="/pulls", times=2)  # aiohttp repeats a broken reading request once
    with pytest.raises(Transient):
        await edge.looks.look(fact, shop)


async def test_a_list_of_one_page_is_not_sent_again_unless_it_changed(edge, shop):
    await open_pulls(edge, 2)
    fact = key(FactKind.OPEN_PULL_REQUESTS, shop)
    answer = await edge.looks.look(fact, shop)
    assert (await edge.looks.look(fact, shop, etag=answer.etag)).not_modified
    await edge.sim.open_pull("acme/shop", "topic")
    assert len((await edge.looks.look(fact, shop, etag=answer.etag)).value) == 3


async def test_two_installations_are_asked_each_with_its_own_token_and_share_no_answer(edge, shop):
    rival = repository_of(edge.sim, await edge.sim.create_repo("rival/shop", files={"a": "1"}, private=True))
    edge.sim.set_private("acme/shop")
    await open_pulls(edge, 2)
    ours, theirs = key(FactKind.OPEN_PULL_REQUESTS, shop), key(FactKind.OPEN_PULL_REQUESTS, rival)
    for _ in range(2):  # each is private: with the other's token there is no answer
        mine, others = await asyncio.gather(edge.looks.look(ours, shop), edge.looks.look(theirs, rival))
        assert (len(mine.value), others.value) == (2, ())
    assert not (await edge.looks.look(theirs, rival, etag=mine.etag)).not_modified
    kept = [edge.sim.keys.token(await edge.tokens.token(each, _read()), edge.sim.now()) for each in (shop, rival)]
    assert [each.repository_ids for each in kept] == [{shop.id}, {rival.id}]
    assert [each.installation.id for each in kept] == [shop.installation_id, rival.installation_id]


async def test_a_suspended_installation_is_an_error_and_closes_nothing(edge, shop):
    await open_pulls(edge, 1)
    edge.sim.suspend(shop.installation_id)
    answer = await edge.looks.look(key(FactKind.OPEN_PULL_REQUESTS, shop), shop)
    assert answer.value is None
    assert "suspended" in answer.error


async def test_a_repository_out_of_reach_is_an_error_and_not_an_empty_list(edge, shop):
    edge.sim.set_private("acme/shop")
    await edge.tokens.token(shop, _read())
    edge.sim.remove_from(shop.installation_id, "acme/shop")
    answer = await edge.looks.look(key(FactKind.OPEN_PULL_REQUESTS, shop), shop)
    assert answer.value is None
    assert answer.error


# Branches -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("branch", ["master", "feature/a#b", "ünï", "--upload-pack=x;", "a%2Fb", "a?b"[:1] + "&b=c"])
async def test_a_branch_s_head_is_read_whatever_its_name(edge, shop, branch):
    sha = await edge.sim.push("acme/shop", branch, {"x": branch})
    answer = await edge.looks.look(key(FactKind.HEAD, shop, branch), shop)
    assert answer.value == Head(branch=branch, sha=Sha(sha))
    assert (await edge.looks.look(key(FactKind.HEAD, shop, branch), shop, etag=answer.etag)).not_modified
    assert fact_values.decode(FactKind.HEAD, fact_values.encode(answer.value)) == answer.value


async def test_a_branch_that_is_the_start_of_another_s_name_is_not_there(edge, shop):
    await edge.sim.push("acme/shop", "feature/a", {"x": "y"})
    assert (await edge.looks.look(key(FactKind.HEAD, shop, "feature"), shop)).value == Head(branch="feature", sha=None)


async def test_a_deleted_branch_has_no_head(edge, shop):
    await edge.sim.push("acme/shop", "topic", {"x": "y"})
    await edge.sim.delete_branch("acme/shop", "topic")
    assert (await edge.looks.look(key(FactKind.HEAD, shop, "topic"), shop)).value == Head(branch="topic", sha=None)


async def test_a_branch_of_a_repository_that_cannot_be_read_is_an_error_and_not_deleted(edge, shop):
    edge.sim.set_private("acme/shop")
    await edge.tokens.token(shop, _read())
    edge.sim.remove_from(shop.installation_id, "acme/shop")
    answer = await edge.looks.look(key(FactKind.HEAD, shop, "master"), shop)
    assert answer.value is None
    assert answer.error


async def test_a_branch_name_cannot_climb_to_another_address(edge, shop):
    answer = await edge.looks.look(key(FactKind.HEAD, shop, "../../pulls"), shop)
    assert "not an address" in answer.error


# CI -------------------------------------------------------------------------------------------------


async def test_every_status_run_and_suite_of_others_is_read_and_none_of_ours(edge, shop):
    sha = await edge.sim.head("acme/shop")
    await edge.sim.set_status("acme/shop", sha, "pending", context="build")
    await edge.sim.set_status("acme/shop", sha, "success", context="build")
    await edge.sim.set_status("acme/shop", sha, "pending", context="towpath/shop")
    run = await edge.sim.create_check_run("acme/shop", sha, "test", conclusion="failure")
    await edge.sim.create_check_run("acme/shop", sha, "towpath/shop", app=edge.sim.app)
    value = (await edge.looks.look(key(FactKind.CI, shop, sha), shop)).value
    assert value.statuses == (CommitStatus(context="build", state="success"),)
    assert value.runs == (
        CheckRun(
            name="test",
            app_id=run.suite.app.id,
            app_name=run.suite.app.name,
            suite_id=run.suite.id,
            status="completed",
            conclusion="failure",
        ),
    )
    assert [(suite.app_id, suite.runs, suite.conclusion) for suite in value.suites] == [
        (run.suite.app.id, 1, "failure")
    ]
    assert fact_values.decode(FactKind.CI, fact_values.encode(value)) == value


async def test_a_commit_with_more_checks_than_fit_on_a_page_is_read_whole(edge, shop):
    sha = await edge.sim.head("acme/shop")
    for number in range(101):
        await edge.sim.create_check_run("acme/shop", sha, f"test {number}", conclusion="success")
    value = (await edge.looks.look(key(FactKind.CI, shop, sha), shop)).value
    assert len(value.runs) == 101


async def test_ci_results_are_not_sent_again_unless_one_of_the_lists_changed(edge, shop):
    sha = await edge.sim.head("acme/shop")
    await edge.sim.set_status("acme/shop", sha, "pending", context="build")
    fact = key(FactKind.CI, shop, sha)
    first = await edge.looks.look(fact, shop)
    assert (await edge.looks.look(fact, shop, etag=first.etag)).not_modified
    await edge.sim.create_check_run("acme/shop", sha, "test", conclusion="success")
    second = await edge.looks.look(fact, shop, etag=first.etag)
    assert [each.context for each in second.value.statuses] == ["build"]
    assert [each.name for each in second.value.runs] == ["test"]


async def test_where_a_token_may_not_read_checks_statuses_count_and_it_is_said(edge, shop):
    edge.sim.set_private("acme/shop")
    sha = await edge.sim.head("acme/shop")
    await edge.sim.set_status("acme/shop", sha, "success", context="build")
    await edge.sim.create_check_run("acme/shop", sha, "test", conclusion="failure")
    fact, plain = key(FactKind.CI, shop, sha), replace(shop, installation_id=0)
    looks = Looks(github=edge.as_printed("acme"), now=edge.looks._now)
    first = await looks.look(fact, plain)
    assert (first.error, first.value.runs, first.value.suites) == ("", (), ())
    assert first.value.statuses == (CommitStatus(context="build", state="success"),)
    assert first.value.unread == "GitHub shows this token no check runs, only statuses count"
    assert fact_values.decode(FactKind.CI, fact_values.encode(first.value)) == first.value
    assert (await looks.look(fact, plain, etag=first.etag)).not_modified
    await edge.sim.set_status("acme/shop", sha, "failure", context="build")
    second = await looks.look(fact, plain, etag=first.etag)
    assert (second.value.statuses[0].state, second.value.unread) == ("failure", first.value.unread)
    edge.sim.set_private("acme/shop", False)
    public = await looks.look(fact, plain, etag=second.etag)
    assert ([each.name for each in public.value.runs], public.value.unread) == (["test"], "")


async def test_an_app_that_may_not_read_checks_has_an_error_which_people_can_mend(edge, shop):
    sha = await edge.sim.head("acme/shop")
    edge.sim.chaos.answer("error", pattern="/check-runs", status=403)
    answer = await edge.looks.look(key(FactKind.CI, shop, sha), shop)
    assert answer.value is None
    assert "GitHub does not show the CI results" in answer.error


async def test_an_unknown_commit_has_an_error_and_not_an_empty_result(edge, shop):
    answer = await edge.looks.look(key(FactKind.CI, shop, "f" * 40), shop)
    assert answer.value is None
    assert "fffffff" in answer.error


async def test_the_manifest_is_not_read_here(edge, shop):
    assert (await edge.looks.look(key(FactKind.MANIFEST, shop, "f" * 40), shop)).error


def _read():
    from service.github.purposes import Purpose

    return Purpose.READ


# Changed files --------------------------------------------------------------------------------------


async def changed(edge, shop, base, head):
    answer = await edge.looks.look(changes_between(shop.id, base, head), shop)
    assert answer.value is None or fact_values.decode(FactKind.CHANGED_PATHS, fact_values.encode(answer.value)) == (
        answer.value
    )
    return answer


async def test_what_a_branch_changed_is_read_whole_although_its_base_went_on(edge, shop):
    base = await edge.sim.head("acme/shop")
    await edge.sim.push("acme/shop", "topic", {"api/a": "1"})
    topic = await edge.sim.push("acme/shop", "topic", {"api/b c.py": "2"})
    found = (await changed(edge, shop, base, topic)).value
    assert found == ChangedPaths(paths=("api/a", "api/b c.py"), whole=True, linear=True)
    main = await edge.sim.push("acme/shop", shop.default_branch, {"web/x": "3"})
    found = (await changed(edge, shop, main, topic)).value
    assert found == ChangedPaths(paths=("api/a", "api/b c.py"), whole=True, linear=False)
    assert edge.requests("/compare/") == 2


async def test_what_went_back_is_not_linear(edge, shop):
    first = await edge.sim.head("acme/shop")
    second = await edge.sim.push("acme/shop", shop.default_branch, {"a": "1"})
    assert (await changed(edge, shop, second, first)).value == ChangedPaths(paths=(), whole=True, linear=False)
    assert (await changed(edge, shop, second, second)).value == ChangedPaths(paths=(), whole=True, linear=True)


async def test_as_many_files_as_github_lists_may_not_be_all(edge, shop):
    base = await edge.sim.head("acme/shop")
    few = await edge.sim.push("acme/shop", "few", {f"f/{number}": "" for number in range(299)})
    many = await edge.sim.push("acme/shop", "many", {f"f/{number}": "" for number in range(301)})
    assert (await changed(edge, shop, base, few)).value.whole
    assert not (await changed(edge, shop, base, many)).value.whole


async def test_a_comparison_that_cannot_be_made_is_known_not_to_be(edge, shop):
    head = await edge.sim.head("acme/shop")
    nobody_knows = ChangedPaths(paths=(), whole=False, linear=False)
    assert (await changed(edge, shop, "f" * 40, head)).value == nobody_knows
    edge.sim.chaos.answer("error", pattern="/compare/", status=500, times=2)
    assert (await changed(edge, shop, head, head)).value == nobody_knows
    edge.sim.chaos.answer("error", pattern="/compare/", status=500)
    assert (await changed(edge, shop, head, head)).value.whole


@pytest.mark.parametrize("status", [500, 429])
async def test_a_comparison_while_github_is_away_is_no_answer(edge, shop, status):
    head = await edge.sim.head("acme/shop")
    edge.sim.chaos.answer("error", status=status, times=None)
    with pytest.raises(Transient):
        await changed(edge, shop, head, head)


async def test_a_comparison_in_a_repository_that_is_not_shown_is_an_error(edge, shop):
    head = await edge.sim.head("acme/shop")
    edge.sim.remove_from(shop.installation_id, "acme/shop")
    answer = await changed(edge, shop, head, head)
    assert answer.value is None
    assert answer.error


# Suspended installations ----------------------------------------------------------------------------


async def test_github_is_asked_whether_the_installation_is_suspended(edge, shop):
    assert not await edge.looks.suspended(shop)
    edge.sim.suspend(shop.installation_id)
    assert await edge.looks.suspended(shop)
    edge.sim.uninstall(shop.installation_id)
    assert not await edge.looks.suspended(shop)
    assert not await edge.looks.suspended(replace(shop, installation_id=0))


async def test_without_an_app_nothing_is_suspended(edge, shop):
    assert not await edge.as_person("acme").is_suspended(shop)


# Commits between two ---------------------------------------------------------------------------------


async def test_a_difference_is_the_commits_of_one_side_with_who_wrote_them(edge, shop):
    base = await edge.sim.head("acme/shop")
    one = await edge.sim.push("acme/shop", "topic", {"a": "1"}, message="Add a cart\n\nIt has wheels.", by="ann")
    two = await edge.sim.push("acme/shop", "topic", {"a": "2"}, message="Paint\x1b[31mit", by="ann")
    found = await edge.looks.difference(shop, base, two)
    assert (found.ahead_by, found.behind_by) == (2, 0)
    assert [(each.sha, each.title, each.author) for each in found.commits] == [
        (one, "Add a cart", "ann"),
        (two, "Paint [31mit", "ann"),
    ]
    assert all(each.written_at is not None for each in found.commits)
    back = await edge.looks.difference(shop, two, base)
    assert (back.ahead_by, back.behind_by, back.commits) == (0, 2, ())


async def test_commits_that_github_does_not_compare_are_refused_with_its_word(edge, shop):
    head = await edge.sim.head("acme/shop")
    with pytest.raises(Refused, match="does not show how fffffff and"):
        await edge.looks.difference(shop, "f" * 40, head)


@pytest.mark.parametrize(
    ("picture", "app_id"),
    [
        ("https://avatars.githubusercontent.com/in/18001?v=4", 18001),
        ("https://github.acme.example/avatars/in/7", 7),
        ("https://avatars.githubusercontent.com/u/18001?v=4", 0),
        ("https://avatars.githubusercontent.com/u/1?v=/in/18001", 0),
        ("https://avatars.githubusercontent.com/in/18001/../1", 0),
        ("", 0),
        (None, 0),
    ],
    ids=["an App", "an App on an Enterprise Server", "a person", "a query", "a climbing path", "empty", "none"],
)
def test_whose_status_it_is_is_told_by_its_picture(picture, app_id):
    status = {"id": 1, "context": "build", "state": "success", "avatar_url": picture}
    assert msgspec.convert(status, StatusPayload).seen().app_id == app_id
