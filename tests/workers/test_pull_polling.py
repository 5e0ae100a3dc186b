"""Where no delivery tells, pull requests and branches are asked for: at no cost while nothing is new."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from service.domain.decisions import Deploy
from service.domain.facts import FactKey, FactKind
from service.domain.model import ReviewState, Sha, Trust
from service.domain.pulling import ASKED_PER_ROUND, LOGS_PER_ROUND
from service.domain.review_rules import OVER
from service.enact import Transaction
from service.store import facts, pipelines, reports, repositories, reviews
from service.store.deliveries import Inbox
from service.store.pull_sources import PullState, hook_of, poll_of
from service.store.tables import apps as app_rows
from tests.workers.conftest import Yard
from tests.workers.pulling import NOWHERE, Pulled, add_hook
from workers.jobs import pull
from workers.jobs.pull import Puller


@pytest.fixture
async def pulled(yard: Yard) -> AsyncIterator[Pulled]:
    """The App's webhook is not active: GitHub lists nothing."""
    inbox = await Inbox.open(yard.db.url)
    yield Pulled(yard=yard, puller=Puller(context=yard.context, inbox=inbox), inbox=inbox)
    await inbox.close()


@pytest.fixture
async def plain(pulled: Pulled) -> Pulled:
    """No App, a token of the repository's owner, and a repository with a hook of its own."""
    sim, yard = pulled.sim, pulled.yard
    for number in list(sim.installations):
        sim.uninstall(number)
    add_hook(sim)
    settings = replace(yard.context.settings, github_app_id="", github_token="a token")
    context = replace(yard.context, settings=settings, github=yard.edge.as_person("acme"))
    return replace(pulled, puller=Puller(context=context, inbox=pulled.inbox))


def sent(plain: Pulled) -> Pulled:
    """The same where GitHub can send to it."""
    return replace(plain, puller=Puller(context=plain.puller.context, inbox=plain.inbox, polls=False))


async def follow(pulled: Pulled, branch: str = "master") -> None:
    app = await pulled.yard.app("shop-staging")
    values = {"auto_deploy": True, "auto_deploy_branch": branch, "repository_id": pulled.yard.repository.id}
    await pulled.yard.db.write(
        lambda conn: conn.execute(app_rows.update().where(app_rows.c.id == app.id).values(values))
    )


async def heads(pulled: Pulled, branch: str = "master") -> Any:
    key = FactKey(FactKind.HEAD, pulled.yard.repository.id, branch)
    found = await pulled.yard.see(lambda conn: facts.load(conn, key))
    return found.value.sha if found and found.value else None


async def test_pull_requests_and_heads_are_found_without_any_delivery(pulled: Pulled) -> None:
    sim = pulled.sim
    await follow(pulled)
    await pulled.round()
    assert await pulled.told() == ["push.polled"]
    assert await heads(pulled) == await sim.head("acme/shop")
    await sim.push("acme/shop", "topic", {"a": "1"})
    pull = await sim.open_pull("acme/shop", "topic")
    pulled.later(15)
    await pulled.round()
    (review,) = await pulled.yard.see(lambda conn: reviews.of_repository(conn, pulled.yard.repository.id))
    assert review.sha == pull.head_sha

    pulled.later(15)
    moved = await sim.push("acme/shop", "topic", {"a": "2"})
    await pulled.round()
    key = FactKey(FactKind.PULL_REQUEST, pulled.yard.repository.id, "1")
    known = await pulled.yard.see(lambda conn: facts.load(conn, key))
    assert known is not None
    assert known.value.head_sha == moved

    pulled.later(15)
    merged = await sim.merge_pull("acme/shop", pull.number)
    await pulled.round()
    (review,) = await pulled.yard.see(lambda conn: reviews.of_repository(conn, pulled.yard.repository.id))
    assert review.state in {ReviewState.DESTROYING, *OVER}
    assert await heads(pulled) == merged
    assert await pulled.told() == ["push.polled", *["pull_request.polled"] * 3, "push.polled"]
    assert {each.state for each in await pulled.taken()} == {"processed"}
    assert (await pulled.source("app")).state is PullState.EMPTY
    assert "polled instead" in (await pulled.source("app")).reason


async def test_a_poll_without_news_costs_nothing_of_the_hourly_limit(pulled: Pulled) -> None:
    await follow(pulled)
    await pulled.sim.push("acme/shop", "topic", {"a": "1"})
    await pulled.sim.open_pull("acme/shop", "topic")
    await pulled.round()
    pulled.later(15)
    await pulled.round()  # what was shown for it is an update of its own
    number = pulled.yard.repository.installation_id
    pulled.later(3600 - pulled.sim.now().timestamp() % 3600)  # a new hour, which has room for what follows
    await pulled.round()
    before, told = pulled.yard.context.github.quota(number), len(await pulled.taken())
    asked = pulled.asked("/pulls")
    for _ in range(5):
        pulled.later(15)
        await pulled.round()
    after = pulled.yard.context.github.quota(number)
    assert pulled.asked("/pulls") == asked + 5
    assert before is not None
    assert after is not None
    assert after.remaining == before.remaining
    assert len(await pulled.taken()) == told


async def test_one_that_was_over_before_it_was_known_is_no_news(pulled: Pulled) -> None:
    await pulled.sim.push("acme/shop", "topic", {"a": "1"})
    pull = await pulled.sim.open_pull("acme/shop", "topic")
    pulled.sim.close_pull("acme/shop", pull.number)
    await pulled.round()
    assert await pulled.told() == []


async def test_one_that_was_closed_while_towpath_was_off_ends_its_review_app(pulled: Pulled) -> None:
    await pulled.sim.push("acme/shop", "topic", {"a": "1"})
    pull = await pulled.sim.open_pull("acme/shop", "topic")
    await pulled.round()
    pulled.sim.close_pull("acme/shop", pull.number)
    await pulled.yard.db.write(lambda conn: facts.forget(conn, before=pulled.yard.clock() + timedelta(days=1)))
    successor = pulled.successor()
    successor.later(15)
    await successor.round()
    (review,) = await pulled.yard.see(lambda conn: reviews.of_repository(conn, pulled.yard.repository.id))
    assert review.state in {ReviewState.DESTROYING, *OVER}


async def test_what_is_missing_from_a_list_is_not_taken_for_closed(pulled: Pulled) -> None:
    await pulled.sim.push("acme/shop", "topic", {"a": "1"})
    pull = await pulled.sim.open_pull("acme/shop", "topic")
    await pulled.round()
    hidden = pulled.sim.repository("acme/shop").pulls.pop(pull.number)
    for _ in range(3):
        pulled.later(15)
        await pulled.round()
    pulled.sim.repository("acme/shop").pulls[pull.number] = hidden
    (review,) = await pulled.yard.see(lambda conn: reviews.of_repository(conn, pulled.yard.repository.id))
    assert review.state not in {ReviewState.DESTROYING, *OVER}


async def test_more_updates_than_a_page_holds_are_all_found(pulled: Pulled) -> None:
    await pulled.round()
    for number in range(35):
        await pulled.sim.push("acme/shop", f"topic-{number}", {"a": str(number)})
        await pulled.sim.open_pull("acme/shop", f"topic-{number}")
    pulled.later(15)
    await pulled.puller.once(pulled.puller.context)
    assert await pulled.told() == ["pull_request.polled"] * 35


async def test_a_pull_request_that_cannot_be_read_keeps_nobody_from_the_others(pulled: Pulled) -> None:
    for branch in ("odd", "even"):
        await pulled.sim.push("acme/shop", branch, {"a": branch})
        await pulled.sim.open_pull("acme/shop", branch)
    pulled.sim.pull("acme/shop", 1).head_ref = "no branch at all"
    await pulled.round()
    assert await pulled.told() == ["pull_request.polled"]
    pulled.sim.pull("acme/shop", 2).head_ref = "neither is this"
    await pulled.successor().round()
    source = await pulled.source(poll_of(pulled.yard.repository.id))
    assert (source.state, source.reason) == (PullState.WAITING, "GitHub's list of pull requests cannot be read")


async def test_a_push_that_the_poll_was_shown_and_the_look_was_not_is_told_again(pulled: Pulled) -> None:
    """One copy of GitHub lags behind another."""
    await follow(pulled)
    await pulled.round()
    old = await pulled.sim.head("acme/shop")
    pulled.later(15)
    new = await pulled.sim.push("acme/shop", "master", {"a": "1"})
    await pulled.poll()
    await pulled.sim.git.point(pulled.yard.repository.id, "refs/heads/master", old)
    await pulled.hear()
    assert await heads(pulled) == old
    await pulled.sim.git.point(pulled.yard.repository.id, "refs/heads/master", new)
    pulled.later(15)
    await pulled.round()
    assert await heads(pulled) == new
    told = await pulled.told()
    for _ in range(2):
        pulled.later(15)
        await pulled.round()
    assert await pulled.told() == told


async def test_a_push_that_nobody_looks_at_is_told_once_and_costs_nothing(pulled: Pulled) -> None:
    """The app is held."""
    await follow(pulled)
    await pulled.round()
    (app,) = await pulled.yard.see(pipelines.all_auto_deploys)
    sha = Sha(await pulled.sim.head("acme/shop"))
    work = Deploy(repository_id=pulled.yard.repository.id, sha=sha, trust=Trust.OWN, branch="")
    await pulled.yard.do(lambda tx: tx.request(app.id, work, reason="by its sha", by_person=True))
    await pulled.sim.push("acme/shop", "master", {"a": "1"})
    pulled.later(15)
    await pulled.round()
    told = await pulled.told()
    before = pulled.yard.context.github.quota(pulled.yard.repository.installation_id)
    for _ in range(3):
        pulled.later(15)
        await pulled.round()
    assert await pulled.told() == told == ["push.polled"] * 2
    after = pulled.yard.context.github.quota(pulled.yard.repository.installation_id)
    assert before is not None
    assert after is not None
    assert after.remaining == before.remaining


async def test_a_branch_that_is_deleted_is_told_once(pulled: Pulled) -> None:
    await pulled.sim.push("acme/shop", "live", {"a": "1"})
    await follow(pulled, "live")
    await pulled.round()
    await pulled.sim.delete_branch("acme/shop", "live")
    for _ in range(4):
        pulled.later(15)
        await pulled.round()
    assert await heads(pulled, "live") is None
    assert await pulled.told() == ["push.polled", "push.polled"]


async def test_what_a_merge_queue_tries_is_answered_once_without_any_delivery(pulled: Pulled) -> None:
    sim = pulled.sim
    await sim.push("acme/shop", "topic", {"a": "1"})
    pull = await sim.open_pull("acme/shop", "topic")
    await pulled.round()
    ref = await sim.enqueue("acme/shop", pull.number)
    tried = (await sim.git.branches(sim.repository("acme/shop").id))[ref.removeprefix("refs/heads/")]
    pulled.later(15)
    await pulled.round()
    assert (await pulled.yard.check(tried)).wanted["title"] == "Nothing to do for this commit"
    told = await pulled.told()
    pulled.later(15)
    await pulled.round()
    assert await pulled.told() == told


async def test_an_app_that_takes_the_place_of_a_token_answers_what_a_merge_queue_tries_already(pulled: Pulled) -> None:
    """A commit status is no check of the App, which is what the branch requires from then on."""
    sim, ours = pulled.sim, pulled.yard.context
    settings = replace(ours.settings, github_app_id="", github_token="a token")
    token = replace(ours, settings=settings, github=pulled.yard.edge.as_person("acme"))
    before = replace(pulled, yard=replace(pulled.yard, context=token))
    pulled.puller.context = token
    await sim.push("acme/shop", "topic", {"a": "1"})
    pull = await sim.open_pull("acme/shop", "topic")
    ref = await sim.enqueue("acme/shop", pull.number)
    tried = (await sim.git.branches(sim.repository("acme/shop").id))[ref.removeprefix("refs/heads/")]
    await before.round()
    key = f"{pulled.yard.pipeline.id}/{tried}"
    assert await pulled.yard.see(lambda conn: reports.get(conn, f"status:{key}")) is not None
    pulled.puller.context = ours
    pulled.later(15)
    await pulled.round()
    assert (await pulled.yard.check(tried)).wanted["title"] == "Nothing to do for this commit"


async def test_a_new_name_and_a_new_default_branch_are_found(pulled: Pulled) -> None:
    await pulled.round()
    await pulled.sim.push("acme/shop", "main", {"a": "1"})
    pulled.sim.rename_repo("acme/shop", "store")
    pulled.sim.set_default_branch("acme/store", "main")
    pulled.later(301)
    await pulled.round()
    known = await pulled.yard.see(lambda conn: repositories.get(conn, pulled.yard.repository.id))
    assert known is not None
    assert (known.full_name, known.default_branch) == ("acme/store", "main")
    assert known.installation_id == pulled.yard.repository.installation_id
    assert await pulled.told() == ["repository.polled"]
    pulled.later(301)
    await pulled.round()
    assert await pulled.told() == ["repository.polled"]


@pytest.mark.parametrize(
    ("kind", "options", "reason"),
    [
        ("error", {"status": 404}, "GitHub does not show the pull requests: Server Error"),
        ("error", {"status": 403}, "GitHub does not show the pull requests: Server Error"),
        ("error", {"status": 500}, "GitHub answered 500"),
        ("html", {}, "GitHub's answer is not JSON"),
        ("rate_limit", {"retry_after": 40}, "GitHub's rate limit: again in 40 s"),
    ],
    ids=["404", "403", "500", "a proxy's page", "the hourly limit"],
)
async def test_a_repository_that_github_does_not_show_is_asked_less_often_and_says_why(
    pulled: Pulled, kind: str, options: dict[str, Any], reason: str
) -> None:
    await pulled.sim.push("acme/shop", "topic", {"a": "1"})
    await pulled.sim.open_pull("acme/shop", "topic")
    pulled.sim.chaos.answer(kind, pattern="/pulls$", times=None, **options)
    await pulled.round()
    name = poll_of(pulled.yard.repository.id)
    assert ((await pulled.source(name)).state, (await pulled.source(name)).reason) == (PullState.WAITING, reason)
    asked = pulled.asked("/pulls")
    await pulled.round()
    assert pulled.asked("/pulls") == asked
    pulled.sim.chaos.calm()
    pulled.later(60)
    await pulled.round()
    assert await pulled.told() == ["pull_request.polled"]
    assert (await pulled.source(name)).reason == ""


async def test_polling_stops_before_the_hours_requests_are_spent(pulled: Pulled) -> None:
    pulled.sim.rate_limit = 20
    number = pulled.yard.repository.installation_id
    await pulled.round()
    for _ in range(17):
        await pulled.yard.context.github.get(pulled.yard.repository, "")
    asked = pulled.asked("/pulls")
    pulled.later(15)
    await pulled.round()
    quota = pulled.yard.context.github.quota(number)
    assert quota is not None
    assert quota.remaining < 4
    assert pulled.asked("/pulls") == asked
    name = poll_of(pulled.yard.repository.id)
    assert "kept for what somebody waits for" in (await pulled.source(name)).reason
    pulled.later(3601)
    await pulled.round()
    assert pulled.asked("/pulls") > asked, "the next hour's are spent again, whether or not anything else was asked"
    assert (await pulled.source(name)).reason == ""


async def connect_others(plain: Pulled, count: int) -> None:
    def connect(tx: Transaction) -> None:
        for number in range(count):
            known = replace(plain.yard.repository, id=9000 + number, full_name=f"acme/no-{number}")
            repositories.remember(tx.conn, known, tx.now)
            made = pipelines.create(tx.conn, name=f"p-{number}", owner_id=None, owner_type=None, now=tx.now)
            pipelines.update(tx.conn, pipeline=made, now=tx.now, repository_id=known.id)

    await plain.yard.do(connect)


async def test_many_repositories_take_turns_within_what_a_round_may_ask(plain: Pulled) -> None:
    await connect_others(plain, ASKED_PER_ROUND + 20)
    await plain.puller.once(plain.puller.context)
    assert len(polls(plain)) <= ASKED_PER_ROUND
    await plain.puller.once(plain.puller.context)
    assert len(polls(plain)) == len(set(polls(plain))) == ASKED_PER_ROUND + 21


def polls(plain: Pulled) -> list[str]:
    return [line for line in plain.yard.edge.lines if line.endswith("/pulls")]


async def test_the_logs_of_many_repositories_take_turns_too(plain: Pulled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull, "logs_per_round", lambda _: LOGS_PER_ROUND)
    await connect_others(plain, LOGS_PER_ROUND + 20)
    away = sent(plain)
    await away.puller.once(away.puller.context)
    assert len(looked_up(plain)) == LOGS_PER_ROUND
    # Another worker knows what is written down of the first round.
    after = sent(plain)
    await after.puller.once(after.puller.context)
    assert len(set(looked_up(plain))) == LOGS_PER_ROUND + 21
    await after.puller.once(after.puller.context)
    await after.puller.once(after.puller.context)
    assert len(looked_up(plain)) <= 2 * (LOGS_PER_ROUND + 21), "what has no log is looked for again within the hour"


def looked_up(plain: Pulled) -> list[str]:
    return [line for line in plain.yard.edge.lines if line.endswith("/hooks")]


async def test_logs_are_left_alone_before_the_hours_requests_are_spent(plain: Pulled) -> None:
    away, name = sent(plain), hook_of(plain.yard.repository.id)
    plain.sim.rate_limit = 20
    for _ in range(17):
        await away.puller.context.github.get(plain.yard.repository, "")
    await plain.sim.push("acme/shop", "topic", {"a": "1"})
    await away.round()
    assert (looked_up(plain), plain.asked("/deliveries")) == ([], 0)
    assert (await plain.source(name)).state is PullState.WAITING
    assert "kept for what somebody waits for" in (await plain.source(name)).reason
    plain.later(3601)
    away.puller.clock = plain.puller.clock
    await away.round()
    assert "push" in await plain.told()
    assert (await plain.source(name)).state is PullState.OK


async def test_a_log_that_was_left_alone_and_has_no_news_is_read_again_all_the_same(plain: Pulled) -> None:
    away, name = sent(plain), hook_of(plain.yard.repository.id)
    await plain.sim.push("acme/shop", "topic", {"a": "1"})
    await away.round()
    assert (await plain.source(name)).state is PullState.OK
    plain.sim.rate_limit = 20
    for _ in range(17):
        await away.puller.context.github.get(plain.yard.repository, "")
    await away.round()
    assert (await plain.source(name)).state is PullState.WAITING
    plain.later(3601)
    away.puller.clock = plain.puller.clock
    await away.round()
    assert ((await plain.source(name)).state, (await plain.source(name)).reason) == (PullState.OK, "")


async def test_a_repository_is_not_polled_as_if_it_had_no_log_while_its_turn_is_yet_to_come(
    plain: Pulled, monkeypatch: pytest.MonkeyPatch
) -> None:
    await topic(plain)
    await plain.round()
    assert (await plain.source(hook_of(plain.yard.repository.id))).state is PullState.OK
    plain.later(61)
    await plain.round()
    monkeypatch.setattr(pull, "logs_per_round", lambda _: 0)
    asked = len(polls(plain))
    plain.later(20)
    await plain.round()
    assert len(polls(plain)) == asked


async def test_a_repositorys_own_hook_is_read_with_nothing_but_a_token(plain: Pulled) -> None:
    await plain.sim.push("acme/shop", "topic", {"a": "1"})
    await plain.sim.open_pull("acme/shop", "topic")
    await plain.round()
    assert sorted(await plain.told()) == ["pull_request.opened", "push"]
    assert (await plain.source(hook_of(plain.yard.repository.id))).state is PullState.OK


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("active", "switched off"),
        ("hook", "has no webhook"),
    ],
    ids=["switched off", "deleted"],
)
async def test_when_the_hook_is_gone_the_repository_is_polled_and_the_reason_is_shown(
    plain: Pulled, change: str, reason: str
) -> None:
    await plain.sim.push("acme/shop", "topic", {"a": "1"})
    await plain.round()
    shop = plain.sim.repository("acme/shop")
    assert shop.hook is not None
    shop.hook.active = False
    if change == "hook":
        shop.hook = None
    await plain.sim.open_pull("acme/shop", "topic")
    plain.later(301)
    await plain.round()
    assert await plain.told() == ["push", "pull_request.polled"]
    source = await plain.source(hook_of(plain.yard.repository.id))
    assert source.state is PullState.OFF
    assert reason in source.reason


async def test_a_hook_that_is_deleted_is_looked_for_anew_at_once(plain: Pulled) -> None:
    await plain.sim.push("acme/shop", "topic", {"a": "1"})
    await plain.round()
    plain.sim.repository("acme/shop").hook = None
    plain.later(1)
    await plain.round()
    name = hook_of(plain.yard.repository.id)
    assert (await plain.source(name)).reason == "GitHub does not show the deliveries: Not Found"
    plain.later(14)
    await plain.round()
    assert "has no webhook" in (await plain.source(name)).reason


async def test_a_token_that_may_not_read_hooks_polls_and_says_so(plain: Pulled) -> None:
    plain.sim.add_collaborator("acme/shop", "ada", "write")
    context = replace(plain.puller.context, github=plain.yard.edge.as_person("ada"))
    ada = replace(plain, puller=Puller(context=context, inbox=plain.inbox))
    await plain.sim.push("acme/shop", "topic", {"a": "1"})
    await plain.sim.open_pull("acme/shop", "topic")
    await ada.round()
    assert await plain.told() == ["pull_request.polled"]
    source = await plain.source(hook_of(plain.yard.repository.id))
    assert "does not show the webhooks (Not Found)" in source.reason


async def test_where_github_can_send_what_did_not_arrive_is_taken_from_a_repositorys_own_log(plain: Pulled) -> None:
    """No audit finds a comment."""
    away = sent(plain)
    pull = await plain.sim.open_pull("acme/shop", await topic(plain))
    plain.sim.comment("acme/shop", pull.number, "/approve 1234567")
    await away.round()
    assert "issue_comment.created" in await plain.told()
    assert (polls(plain), plain.asked("/git/ref")) == ([], 0)
    source = await plain.source(hook_of(plain.yard.repository.id))
    assert (source.state, source.reason) == (PullState.OK, "")
    for _ in range(3):
        plain.later(301)
        await away.round()
    looked = [line for line in plain.yard.edge.lines if line.endswith("/hooks")]
    assert len(looked) == 1, "which hook it is was looked up again within the hour"


async def test_where_github_can_send_a_token_that_may_not_read_hooks_says_what_is_not_fetched(plain: Pulled) -> None:
    plain.sim.add_collaborator("acme/shop", "ada", "write")
    context = replace(plain.puller.context, github=plain.yard.edge.as_person("ada"))
    ada = replace(plain, puller=Puller(context=context, inbox=plain.inbox, polls=False))
    await topic(plain)
    await ada.round()
    source = await plain.source(hook_of(plain.yard.repository.id))
    assert source.reason == "GitHub does not show the webhooks (Not Found); what GitHub cannot deliver is not fetched"
    assert await plain.told() == []


async def topic(plain: Pulled) -> str:
    await plain.sim.push("acme/shop", "topic", {"a": "1"})
    return "topic"


async def test_an_apps_hook_that_falls_silent_is_noticed_and_trusted_again_when_it_speaks(pulled: Pulled) -> None:
    sim = pulled.sim
    sim.webhook_url = NOWHERE
    await sim.push("acme/shop", "topic", {"a": "1"})
    await pulled.round()
    assert (await pulled.source("app")).reason == ""
    sim.webhook_url = ""
    await sim.open_pull("acme/shop", "topic")
    pulled.later(30)
    await pulled.round()
    assert "pull_request.polled" not in await pulled.told()
    pulled.later(40)
    await pulled.round()
    assert "pull_request.polled" in await pulled.told()
    await pulled.round()
    assert "no delivery told" in (await pulled.source("app")).reason
    asked = pulled.asked("/pulls")
    pulled.later(11)
    await pulled.round()
    assert pulled.asked("/pulls") == asked + 1
    sim.webhook_url = NOWHERE
    await sim.push("acme/shop", "topic", {"a": "2"})
    pulled.later(11)
    await pulled.round()
    assert (await pulled.source("app")).reason == ""


async def test_without_credentials_nothing_is_pulled(pulled: Pulled) -> None:
    settings = replace(pulled.yard.context.settings, github_app_id="", github_token="")
    context = replace(pulled.yard.context, settings=settings, github=pulled.yard.edge.as_person("nobody"))
    before = len(pulled.yard.edge.lines)
    await replace(pulled, puller=Puller(context=context, inbox=pulled.inbox)).puller.once(context)
    assert len(pulled.yard.edge.lines) == before
