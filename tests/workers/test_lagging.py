"""GitHub answers from a copy that has not heard of a push yet, after it has told of that push; or not any more."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from service.domain.decisions import Deploy, Subject, SubjectKind
from service.domain.facts import FactKey, FactKind
from service.domain.model import App, ReleaseState, RequestState, Sha, Trust
from service.store import facts, releases, requests, subjects
from service.store.deliveries import Inbox
from service.store.tables import facts as facts_table
from tests.waiting import until
from tests.workers.conftest import Yard
from tests.workers.pulling import NOWHERE, Pulled
from tests.workers.test_moved import Ears, arrived, following
from workers.jobs import loops
from workers.jobs.fetched import SEEN_WITHIN
from workers.jobs.look import look
from workers.jobs.pull import Puller
from workers.jobs.work import work

MASTER = "refs/heads/master"


pytestmark = pytest.mark.usefixtures("without_runtimes")


@pytest.fixture
async def app(yard: Yard) -> App:
    """One that follows master, and knows where that is."""
    app, ears = await following(yard, "shop-staging", default=True), Ears(yard)
    await yard.edge.sim.push("acme/shop", "master", {"page": "old"})
    await ears.hear(told=True)
    return app


@pytest.fixture
async def pulled(yard: Yard) -> AsyncIterator[Pulled]:
    inbox = await Inbox.open(yard.db.url)
    yield Pulled(yard=yard, puller=Puller(context=yard.context, inbox=inbox), inbox=inbox)
    await inbox.close()


async def shown(yard: Yard, sha: str) -> None:
    """Have GitHub answer that master is there, without a word to anybody."""
    await yard.edge.sim.git.point(yard.repository.id, MASTER, sha)


async def pushed_unseen(yard: Yard) -> tuple[str, str]:
    """A push that is told of while GitHub goes on answering what was before; returns both commits."""
    ears, old = Ears(yard), await yard.edge.sim.head("acme/shop")
    new = await yard.edge.sim.push("acme/shop", "master", {"page": "new"})
    await shown(yard, old)
    await ears.hear(told=True)
    return old, new


async def later(yard: Yard, seconds: float) -> None:
    """What the loops find due then is done."""
    yard.clock.ahead += timedelta(seconds=seconds)
    await loops.due(yard.context)
    await yard.calm()


async def wanted(yard: Yard, app: App) -> list[str | None]:
    return [each.sha for each in await yard.see(lambda conn: requests.open_of(conn, app.id))]


async def test_a_push_that_github_does_not_show_yet_is_deployed_within_seconds_of_being_shown(
    yard: Yard, app: App
) -> None:
    old, new = await pushed_unseen(yard)
    assert await wanted(yard, app) == [old]
    await later(yard, 6)
    assert await wanted(yard, app) == [old]
    await shown(yard, new)
    await later(yard, 11)
    assert (await wanted(yard, app))[-1] == new


async def test_a_deploy_that_is_put_off_for_an_answer_from_before_its_push_is_asked_for_again(
    yard: Yard, app: App
) -> None:
    old = await yard.edge.sim.head("acme/shop")
    ears = Ears(yard)
    new = await yard.edge.sim.push("acme/shop", "master", {"page": "new"})
    await ears.hear(told=True)
    assert (await wanted(yard, app))[-1] == new
    await shown(yard, old)
    await work(yard.context, app.id)
    assert new not in await wanted(yard, app)
    ended = await yard.see(lambda conn: requests.of_commit(conn, new, limit=9))
    assert [each.state for each in ended] == [RequestState.SUPERSEDED]
    await shown(yard, new)
    await later(yard, 6)
    assert (await wanted(yard, app))[-1] == new


async def test_what_github_never_shows_is_looked_for_a_few_times_and_left_to_the_audit(yard: Yard, app: App) -> None:
    yard.edge.lines.clear()
    await pushed_unseen(yard)
    for _ in range(60):
        await later(yard, 5)
    looks = yard.edge.requests("/git/ref/heads/master")
    assert looks in range(4, 8)
    await later(yard, 3600)
    assert yard.edge.requests("/git/ref/heads/master") == looks
    assert await yard.see(lambda conn: facts.due_looks(conn, terms=yard.context.terms, now=yard.clock(), limit=9)) == []


async def test_after_days_without_github_a_look_is_still_tried_every_few_minutes(yard: Yard, app: App) -> None:
    wants = {"attempts": 2000, "wanted_at": yard.clock()}
    await yard.db.write(
        lambda conn: conn.execute(facts_table.update().where(facts_table.c.kind == "head").values(wants))
    )
    yard.edge.sim.chaos.answer("error", pattern="/git/ref/heads/master", times=None)
    key = FactKey(FactKind.HEAD, yard.repository.id, "master")

    await look(yard.context, key.kind.value, str(key.repository_id), key.key)

    soon, late = (yard.clock() + timedelta(seconds=seconds) for seconds in (200, 400))
    assert await yard.see(lambda conn: facts.due_looks(conn, terms=yard.context.terms, now=soon, limit=9)) == []
    assert await yard.see(lambda conn: facts.due_looks(conn, terms=yard.context.terms, now=late, limit=9)) == [key]


async def test_a_later_push_does_not_wait_for_the_next_look_at_what_came_before(yard: Yard, app: App) -> None:
    await pushed_unseen(yard)
    ears = Ears(yard)
    newest = await yard.edge.sim.push("acme/shop", "master", {"page": "newest"})
    await ears.hear(told=True)
    assert (await wanted(yard, app))[-1] == newest


async def test_a_commit_that_git_does_not_have_yet_is_fetched_again_and_after_minutes_refused(
    yard: Yard, app: App
) -> None:
    (asked,) = await yard.see(lambda conn: requests.open_of(conn, app.id))
    yard.edge.sim.chaos.answer("unseen", pattern="/git-upload-pack$", times=None)
    await work(yard.context, app.id)
    waits = await yard.request(asked.id)
    assert (waits.state, "is not in the repository" in waits.reason) == (RequestState.RUNNING, True)
    yard.edge.sim.chaos.calm()
    yard.clock.ahead += timedelta(seconds=5)
    await work(yard.context, app.id)
    assert (await yard.request(asked.id)).state is RequestState.SUCCEEDED
    ears = Ears(yard)
    await yard.edge.sim.push("acme/shop", "master", {"page": "never here"})
    await ears.hear(told=True)
    (never,) = await yard.see(lambda conn: requests.open_of(conn, app.id))
    yard.edge.sim.chaos.answer("unseen", pattern="/git-upload-pack$", times=None)
    await work(yard.context, app.id)
    assert (await yard.request(never.id)).state is RequestState.RUNNING
    yard.clock.ahead += SEEN_WITHIN
    await work(yard.context, app.id)
    assert (await yard.request(never.id)).state is RequestState.FAILED


@pytest.mark.parametrize("told", [True, False], ids=["told at once", "told later"])
async def test_a_deploy_amid_which_the_installation_is_suspended_is_made_once_that_is_over(
    yard: Yard, app: App, told: bool
) -> None:
    (asked,) = await yard.see(lambda conn: requests.open_of(conn, app.id))
    ears, sim = Ears(yard), yard.edge.sim
    yard.edge.lines.clear()
    sim.chaos.answer("delay", pattern="/access_tokens$", seconds=0.3)  # git's token: GitHub was read with another
    working = asyncio.ensure_future(work(yard.context, app.id))
    await until(lambda: yard.edge.requests("access_tokens"), what="it is about to be fetched")
    sim.suspend(yard.repository.installation_id)
    if told:
        await ears.hear(told=True)
    await working
    if not told:
        assert (await yard.request(asked.id)).state is RequestState.RUNNING
        await ears.hear(told=True)
        yard.clock.ahead += timedelta(minutes=1)
        await work(yard.context, app.id)
    put_off = await yard.request(asked.id)
    assert (put_off.state, put_off.reason) == (RequestState.SUPERSEDED, "access to acme/shop was lost")
    await yard.calm()
    assert (await yard.check(asked.sha or "")).wanted["conclusion"] == "neutral"
    yard.clock.ahead += timedelta(hours=3)
    await later(yard, 60)
    assert await wanted(yard, app) == []
    sim.suspend(yard.repository.installation_id, False)
    await ears.hear(told=True)
    assert await wanted(yard, app) == [asked.sha]


# Nothing older goes over what is newer --------------------------------------------------------------


async def ran(yard: Yard, app: App) -> list[str | None]:
    """The commits that went live in an app, in this order."""
    made = await yard.see(lambda conn: releases.of_app(conn, app.id, limit=99))
    return [each.commit for each in reversed(made) if each.state is ReleaseState.SUCCEEDED]


async def worked(yard: Yard, app: App) -> None:
    """All that the app's queue holds is done, and what follows from it."""
    for _ in range(9):
        if not await wanted(yard, app):
            return
        await work(yard.context, app.id)
        await yard.calm()
    raise AssertionError(await wanted(yard, app))


async def both_live(yard: Yard, app: App, ears: Ears) -> tuple[str, str]:
    """Two commits that went live one after the other."""
    old = await yard.edge.sim.head("acme/shop")
    await worked(yard, app)
    new = await yard.edge.sim.push("acme/shop", "master", {"page": "new"})
    await ears.hear(told=True)
    await worked(yard, app)
    assert await ran(yard, app) == [old, new]
    return old, new


@pytest.mark.parametrize("again", ["the push is told again", "the audit looks"])
async def test_an_answer_from_before_what_runs_puts_nothing_back(yard: Yard, app: App, again: str) -> None:
    ears, told = Ears(yard), list[tuple[str, dict[str, object]]]()
    yard.edge.sim.sender.watchers.append(lambda event, payload: told.append((event, payload)))
    old, new = await both_live(yard, app, ears)
    await shown(yard, old)
    if again == "the audit looks":
        await ears.hear(told=False)
    else:
        for event, payload in told:
            await arrived(yard, event, payload)
        await yard.calm()
    assert await wanted(yard, app) == []
    (verdict,) = await yard.see(lambda conn: subjects.verdicts(conn, [Subject(SubjectKind.AUTO_DEPLOY, app.id)]))
    assert verdict.reason == "waiting for: GitHub to show the last push to master"
    await shown(yard, new)
    await later(yard, 6)
    await worked(yard, app)
    await later(yard, 300)
    await worked(yard, app)
    assert await ran(yard, app) == [old, new]


@pytest.mark.parametrize("told", [True, False], ids=["its push is told", "nobody tells"])
async def test_a_branch_that_is_set_back_is_followed_back(yard: Yard, app: App, told: bool) -> None:
    """At once where the push says so, and else when GitHub goes on showing it there."""
    ears, sim = Ears(yard), yard.edge.sim
    old, new = await both_live(yard, app, ears)
    await shown(yard, old)
    shop = sim.repository("acme/shop")
    await sim.pushed(shop, MASTER, new, old, shop.owner)
    await ears.hear(told=told)
    assert await wanted(yard, app) == ([old] if told else [])
    if not told:
        await later(yard, 125)
    await worked(yard, app)
    assert await ran(yard, app) == [old, new, old]


@pytest.mark.parametrize("shown_before", [True, False], ids=["it ran", "nobody had looked"])
async def test_a_commit_that_was_taken_back_does_not_return_by_an_answer_from_before(
    yard: Yard, app: App, shown_before: bool
) -> None:
    """It goes on from what runs, and nevertheless it is not what came last."""
    ears, sim = Ears(yard), yard.edge.sim
    if shown_before:
        old, new = await both_live(yard, app, ears)
    else:
        old = await sim.head("acme/shop")
        await worked(yard, app)
        new = await sim.push("acme/shop", "master", {"page": "new"})
    await shown(yard, old)
    shop = sim.repository("acme/shop")
    await sim.pushed(shop, MASTER, new, old, shop.owner)
    await ears.hear(told=True)
    await worked(yard, app)
    before = await ran(yard, app)
    assert before[-1] == old
    await shown(yard, new)
    await ears.hear(told=False)
    assert await wanted(yard, app) == []
    await shown(yard, old)
    await later(yard, 6)
    await later(yard, 300)
    await worked(yard, app)
    assert await ran(yard, app) == before
    await shown(yard, new)
    await sim.pushed(shop, MASTER, old, new, shop.owner)
    await ears.hear(told=True)
    assert await wanted(yard, app) == [new]


async def test_a_commit_that_was_asked_for_goes_not_live_over_a_later_one_by_an_answer_from_before(
    yard: Yard, app: App
) -> None:
    """However it came to be asked for: what runs is compared once more before it goes live."""
    ears = Ears(yard)
    old, new = await both_live(yard, app, ears)
    await shown(yard, old)
    asked = await yard.do(
        lambda tx: tx.request(
            app.id,
            Deploy(repository_id=yard.repository.id, sha=Sha(old), trust=Trust.OWN, branch="master"),
            reason="test",
            by_person=False,
        )
    )
    await work(yard.context, app.id)
    ended = await yard.request(asked.id)
    reason = "what runs may be later, and GitHub does not show the last push to master yet"
    assert (ended.state, ended.reason) == (RequestState.SUPERSEDED, reason)
    assert await ran(yard, app) == [old, new]


@pytest.mark.parametrize("fetched", [False, True], ids=["its delivery was put off", "it was fetched from GitHub's log"])
async def test_a_push_that_is_heard_of_after_a_later_one_lets_no_answer_from_before_pass(
    yard: Yard, app: App, pulled: Pulled, fetched: bool
) -> None:
    sim, ears = yard.edge.sim, Ears(yard)
    sim.webhook_url = NOWHERE
    old = await sim.push("acme/shop", "master", {"page": "old"})
    late = next(each for each in ears.events if each[0] == "push")
    ears.events.clear()
    await sim.settled()
    logged = len(sim.sender.log)
    new = await sim.push("acme/shop", "master", {"page": "new"})
    await ears.hear(told=True)
    await sim.settled()
    del sim.sender.log[logged:]
    await worked(yard, app)
    if fetched:
        before = await pulled.told()
        await pulled.round()
        assert (await pulled.told()).count("push") == before.count("push") + 1
    else:
        await arrived(yard, *late, at=timedelta(seconds=30))
        await yard.calm()
    await shown(yard, old)
    await ears.hear(told=False)
    assert await wanted(yard, app) == []
    assert (await ran(yard, app))[-1] == new


# ... not even where the branch was set elsewhere by force ---------------------------------------------


async def amended(yard: Yard, app: App, ears: Ears, *, told: bool = True) -> tuple[str, str]:
    """What runs is amended and pushed by force; returns the commit before and after it."""
    base = await yard.edge.sim.head("acme/shop")
    await worked(yard, app)
    old = await yard.edge.sim.push("acme/shop", "master", {"page": "old"})
    await ears.hear(told=True)
    await worked(yard, app)
    new = await yard.edge.sim.push("acme/shop", "master", {"page": "amended"}, parent=base)
    await ears.hear(told=told)
    return old, new


async def test_an_amended_commit_is_deployed_at_once_and_its_former_self_not_by_an_answer_from_before(
    yard: Yard, app: App
) -> None:
    ears = Ears(yard)
    old, new = await amended(yard, app, ears)
    assert await wanted(yard, app) == [new]
    await worked(yard, app)
    await shown(yard, old)
    await ears.hear(told=False)
    assert await wanted(yard, app) == []
    await shown(yard, new)
    await later(yard, 6)
    await later(yard, 300)
    await worked(yard, app)
    assert (await ran(yard, app))[-2:] == [old, new]


async def test_an_amended_commit_that_nobody_told_of_is_deployed_once_github_goes_on_showing_it(
    yard: Yard, app: App
) -> None:
    old, new = await amended(yard, app, Ears(yard), told=False)
    assert await wanted(yard, app) == []
    await later(yard, 125)
    await worked(yard, app)
    assert (await ran(yard, app))[-2:] == [old, new]


async def test_what_was_amended_goes_not_live_over_what_took_its_place_however_it_was_asked_for(
    yard: Yard, app: App
) -> None:
    old, new = await amended(yard, app, Ears(yard))
    await worked(yard, app)
    await shown(yard, old)
    work_of = Deploy(repository_id=yard.repository.id, sha=Sha(old), trust=Trust.OWN, branch="master")
    asked = await yard.do(lambda tx: tx.request(app.id, work_of, reason="test", by_person=False))
    await work(yard.context, app.id)
    assert (await yard.request(asked.id)).state is RequestState.SUPERSEDED
    assert (await ran(yard, app))[-1] == new


async def test_an_earlier_push_that_is_told_late_or_again_unsays_no_later_one(yard: Yard, app: App) -> None:
    """GitHub sends in no order, and twice where an App and a webhook of the repository's own are there."""
    ears, told = Ears(yard), list[tuple[str, dict[str, object]]]()
    yard.edge.sim.sender.watchers.append(lambda event, payload: told.append((event, payload)))
    old, new = await amended(yard, app, ears)
    await arrived(yard, *next(each for each in told if each[1].get("after") == old))
    await yard.calm()
    await worked(yard, app)
    assert (await ran(yard, app))[-2:] == [old, new]
    await shown(yard, old)
    await ears.hear(told=False)
    await worked(yard, app)
    assert (await ran(yard, app))[-2:] == [old, new]


@pytest.mark.parametrize("known", [True, False], ids=["it was shown before", "nobody had looked"])
async def test_what_was_amended_twice_is_not_deployed_by_an_answer_from_before_both(
    yard: Yard, app: App, known: bool
) -> None:
    ears, sim, base = Ears(yard), yard.edge.sim, await yard.edge.sim.head("acme/shop")
    await worked(yard, app)
    first = await sim.push("acme/shop", "master", {"page": "first"})
    if known:
        await ears.hear(told=True)
    await sim.push("acme/shop", "master", {"page": "amended"}, parent=base)
    last = await sim.push("acme/shop", "master", {"page": "amended twice"}, parent=base)
    await shown(yard, first)
    await ears.hear(told=True)
    await worked(yard, app)
    assert await ran(yard, app) == [base]
    await shown(yard, last)
    await later(yard, 11)
    await worked(yard, app)
    assert await ran(yard, app) == [base, last]


# ... nor where GitHub cannot send, and its branches are polled ----------------------------------------


async def test_a_poll_that_is_shown_what_was_before_puts_nothing_back(yard: Yard, app: App, pulled: Pulled) -> None:
    await pulled.round()
    old, new = await both_live(yard, app, Ears(yard))
    await shown(yard, old)
    pulled.later(15)
    await pulled.round()
    assert (await pulled.told())[-1] == "push.polled"
    assert await wanted(yard, app) == []
    await shown(yard, new)
    for _ in range(2):
        pulled.later(15)
        await pulled.round()
    await worked(yard, app)
    assert await ran(yard, app) == [old, new]


async def test_a_push_that_is_polled_is_deployed_at_once_and_a_forced_one_once_github_goes_on_showing_it(
    yard: Yard, app: App, pulled: Pulled
) -> None:
    base = await yard.edge.sim.head("acme/shop")
    await worked(yard, app)
    pulled.later(15)
    old = await yard.edge.sim.push("acme/shop", "master", {"page": "old"})
    await pulled.round()
    assert await wanted(yard, app) == [old]
    await worked(yard, app)
    await shown(yard, base)
    new = await yard.edge.sim.push("acme/shop", "master", {"page": "amended"})
    pulled.later(15)
    await pulled.round()
    assert await wanted(yard, app) == []
    await later(yard, 125)
    assert await wanted(yard, app) == [new]


async def test_a_branch_that_is_polled_and_goes_on_moving_beside_what_runs_is_deployed_all_the_same(
    yard: Yard, app: App, pulled: Pulled
) -> None:
    base = await yard.edge.sim.head("acme/shop")
    await pulled.round()
    await yard.edge.sim.push("acme/shop", "master", {"page": "old"})
    pulled.later(15)
    await pulled.round()
    await worked(yard, app)
    pulled.later(130)
    beside: str | None = base
    for page in ("one", "two", "three"):
        newest = await yard.edge.sim.push("acme/shop", "master", {"page": page}, parent=beside)
        beside = None
        pulled.later(45)
        await pulled.round()
        assert await wanted(yard, app) == []
    await later(yard, 31)
    assert await wanted(yard, app) == [newest]
