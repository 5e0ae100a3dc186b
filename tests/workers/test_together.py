"""Promotions that are all or nothing: who waits for whom, what goes back, and what a dead worker leaves to the next."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import pytest
from sqlalchemy import select

from service.domain.decisions import Deploy, DeployArchive, Work
from service.domain.errors import Transient
from service.domain.model import (
    App,
    Promotion,
    PromotionTarget,
    Release,
    RepositoryId,
    RequestState,
    Sha,
    Slug,
    Stage,
    TargetState,
    Trust,
)
from service.enact import Transaction
from service.enactor import Enactor
from service.store import activity, apps, logs, promotions, releases, requests
from service.store.tables import apps as app_rows
from service.store.tables import requests as request_rows
from tests.workers.conftest import Yard
from workers.jobs import release, settle, together
from workers.jobs.loops import due
from workers.jobs.overdue import overdue
from workers.jobs.together import PAUSE, STEP
from workers.jobs.work import work
from workers.platforms.base import Unhealthy

ADA = "user:ada@acme.example"
NAMES = ("shop", "shop-eu")


@dataclass(kw_only=True)
class Two:
    """Two apps in production that run the old slug, and a promotion of the new one to both."""

    yard: Yard
    old: Slug
    new: Slug
    apps: Mapping[str, App]
    promotion: Promotion

    @property
    def verbs(self) -> Enactor:
        return Enactor(db=self.yard.db, vault=self.yard.context.vault, queue=self.yard.bell)

    async def target(self, name: str) -> PromotionTarget:
        found = await self.yard.see(lambda conn: promotions.targets(conn, self.promotion.id))
        return next(each for each in found if each.app_id == self.apps[name].id)

    async def said(self) -> dict[str, tuple[str, str]]:
        """How each target stands, and why."""
        return {name: ((await self.target(name)).state.value, (await self.target(name)).error) for name in NAMES}

    async def runs(self, name: str) -> Release:
        app = await self.yard.see(lambda conn: apps.get(conn, self.apps[name].id))
        assert app is not None
        found = await self.yard.see(lambda conn: releases.get(conn, app.current_release_id or ""))
        assert found is not None
        return found

    async def slugs(self) -> dict[str, str]:
        """Which slug each app serves."""
        known = {self.old.id: "old", self.new.id: "new"}
        return {name: known[str((await self.runs(name)).slug_id)] for name in NAMES}  # type: ignore[index]

    async def breaks(self, name: str) -> None:
        """Let the release command fail there."""
        made = (await self.target(name)).release_id
        self.yard.platform.exit_codes[f"release-{made}"] = 1

    async def worked(self) -> None:
        """Do all there is to do, also what rests for a moment, and let plans look at it."""
        for _ in range(2):
            await work(self.yard.context, "any")
            self.yard.clock.ahead += timedelta(seconds=2 * PAUSE)
        await work(self.yard.context, "any")
        await self.yard.calm()


async def asked(yard: Yard, *, all_or_nothing: bool = True, first: bool = False) -> Two:
    staging = await yard.app("shop-staging", Stage.STAGING)
    old, new = [await yard.slug(text, web="./serve", release=f"./migrate {text}") for text in ("old", "new")]
    await yard.released(staging, new)
    made = {}
    for name in NAMES:
        made[name] = await yard.app(name)
        if not first:
            await yard.released(made[name], old)
    verbs = Enactor(db=yard.db, vault=yard.context.vault, queue=yard.bell)
    promotion = await verbs.promote(
        pipeline_id=yard.pipeline.id,
        source_app_id=staging.id,
        release_id=None,
        target_app_ids=None,
        all_or_nothing=all_or_nothing,
        actor=ADA,
    )
    return Two(yard=yard, old=old, new=new, apps=made, promotion=promotion)


async def test_nobody_goes_live_before_the_release_commands_of_all_have_passed(yard: Yard) -> None:
    two = await asked(yard)
    await two.worked()
    assert yard.platform.calls == ["run", "run", "apply", "apply"]
    assert await two.slugs() == {"shop": "new", "shop-eu": "new"}
    assert await two.said() == {"shop": ("succeeded", ""), "shop-eu": ("succeeded", "")}


async def test_others_than_those_go_live_as_soon_as_they_can(yard: Yard) -> None:
    two = await asked(yard, all_or_nothing=False)
    await two.breaks("shop")
    await two.worked()
    assert await two.slugs() == {"shop": "old", "shop-eu": "new"}
    assert [state for state, _ in (await two.said()).values()] == ["failed", "succeeded"]


@pytest.mark.parametrize(("broken", "other"), [NAMES, tuple(reversed(NAMES))])
async def test_a_release_command_that_fails_on_one_keeps_all_from_going_live(
    yard: Yard, broken: str, other: str
) -> None:
    two = await asked(yard)
    await two.breaks(broken)
    await two.worked()
    assert "apply" not in yard.platform.calls
    assert await two.slugs() == {"shop": "old", "shop-eu": "old"}
    said = await two.said()
    assert said[broken] == ("failed", "release command failed with exit code 1: ./migrate new")
    assert said[other] == ("failed", f"not released: the promotion failed on {broken}, and it is all or nothing")


async def test_what_is_live_goes_back_when_another_one_does_not_come_up(yard: Yard) -> None:
    two = await asked(yard)
    went = await half_failed(two)
    (failed,) = {*NAMES} - {went}
    assert (await two.said())[went] == ("pending", "")
    await yard.calm()
    await two.worked()
    assert await two.slugs() == {"shop": "old", "shop-eu": "old"}
    cause = f"the promotion failed on {failed}"
    assert await two.said() == {
        failed: ("failed", "nobody answers"),
        went: ("failed", f"put back to v1: {cause}"),
    }
    back = await two.runs(went)
    assert (back.version, back.description) == (3, f"Rollback to v1: {cause}")
    await yard.calm()
    assert await two.yard.see(lambda conn: requests.open_of(conn, two.apps[went].id)) == []


async def half_failed(two: Two) -> str:
    """One is live, the other has failed, and nothing was done about it; returns the one that is live."""
    two.yard.platform.script["apply"] = [None, Unhealthy("nobody answers")]
    await work(two.yard.context, "any")
    states = await two.slugs()
    return next(name for name, slug in states.items() if slug == "new")


@pytest.mark.parametrize("found_by", [due, overdue], ids=["the loop for what is due", "the loop for what is overdue"])
async def test_a_worker_that_dies_before_it_puts_back_leaves_that_to_the_next(yard: Yard, found_by) -> None:
    two = await asked(yard)
    live = await half_failed(two)
    yard.bell.rung.clear()  # all that was rung is lost with the worker and Redis
    await found_by(yard.another())
    await yard.calm()
    await two.worked()
    assert (await two.slugs())[live] == "old"
    assert (await two.said())[live][0] == "failed"


async def test_a_worker_that_dies_between_going_live_and_saying_so_hides_nothing(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = await asked(yard)
    await two.breaks("shop-eu")
    target = await two.target("shop")
    first = await yard.take(two.apps["shop"].id)

    async def dies(*_args, **_options):
        raise Transient("killed")

    async def past_waiting(*_args) -> None:
        pass

    with monkeypatch.context() as patch:
        patch.setattr(together, "join", past_waiting)
        patch.setattr(settle, "end", dies)
        with pytest.raises(Transient):
            await release.release(yard.context, first)
    assert (await two.slugs())["shop"] == "new"
    await yard.db.write(lambda conn: conn.execute(app_rows.update().values(lease_expires=None)))
    await two.worked()
    await two.worked()
    assert await two.slugs() == {"shop": "old", "shop-eu": "old"}
    assert (await yard.request(target.request_id)).state is RequestState.SUCCEEDED
    assert (await two.said())["shop"] == ("failed", "put back to v1: the promotion failed on shop-eu")


async def test_what_was_given_something_since_is_not_put_back_and_says_so(yard: Yard) -> None:
    two = await asked(yard)
    live = await half_failed(two)
    await two.verbs.change_config(app_id=two.apps[live].id, changes={"A": "1"}, actor=ADA)
    await two.worked()
    assert (await two.slugs())[live] == "new"
    other = next(name for name in NAMES if name != live)
    assert (await two.said())[live] == (
        "failed",
        f"stays at v2 although the promotion failed on {other}: v3 came after it (Set A config vars)",
    )


IN_VAIN = {
    "a commit": Deploy(repository_id=RepositoryId(42), sha=Sha("b" * 40), trust=Trust.OWN, branch="main"),
    "what was pushed": Deploy(
        repository_id=RepositoryId(0), sha=Sha("b" * 40), trust=Trust.SENT, branch="main", pushed_to="main"
    ),
    "a packed source": DeployArchive(source_id="", shown="https://files.example/x.tgz"),
}


@pytest.mark.parametrize("wanted", IN_VAIN.values(), ids=IN_VAIN)
async def test_a_deploy_in_vain_since_then_does_not_keep_it_from_going_back(yard: Yard, wanted: Work) -> None:
    two = await asked(yard)
    live = await half_failed(two)

    def deploy(tx: Transaction) -> None:
        request = tx.request(two.apps[live].id, wanted, reason="deploy", by_person=True)
        releases.create(
            tx.conn, app_id=request.app_id, request_id=request.id, slug_id=two.new.id, commit=None, repository_id=None,
            description="Deploy", actor=ADA, log_id=logs.open_log(tx.conn, tx.now), now=tx.now,
        )  # fmt: skip
        settle.fail(tx, request, "release command failed with exit code 1")

    await yard.do(deploy)
    await yard.calm()
    await two.worked()
    assert (await two.slugs())[live] == "old"


async def test_what_ran_nothing_before_stays_and_says_so(yard: Yard) -> None:
    two = await asked(yard, first=True)
    yard.platform.script["apply"] = [None, Unhealthy("nobody answers")]
    await two.worked()
    errors = sorted(error for _, error in (await two.said()).values())
    assert errors == ["nobody answers", errors[1]]
    assert errors[1].endswith(": it ran nothing before")


async def test_going_back_that_fails_says_what_runs_there(yard: Yard) -> None:
    two = await asked(yard)
    live = await half_failed(two)
    await yard.calm()
    back = (await two.target(live)).back_request_id
    made = await yard.see(lambda conn: releases.of_request(conn, back or ""))
    assert made is not None
    yard.platform.exit_codes[f"release-{made.id}"] = 1
    await two.worked()
    state, error = (await two.said())[live]
    assert state == "failed"
    assert error.startswith("could not be put back to v1 (release command failed with exit code 1: ./migrate old) and")
    assert "still runs v2: the promotion failed on" in error


async def test_waiting_for_others_is_seen_and_is_no_attempt(yard: Yard) -> None:
    two = await asked(yard)
    taken = await yard.take(two.apps["shop-eu"].id)  # somebody else is at it for long
    for _ in range(3):
        await work(yard.another(), "any")
        yard.clock.ahead += timedelta(seconds=2 * PAUSE)
        await yard.db.write(lambda conn: requests.renew(conn, taken=taken, terms=yard.context.terms))
    query = select(app_rows.c.attempts, app_rows.c.lease_holder).where(app_rows.c.id == two.apps["shop"].id)
    assert tuple(await yard.see(lambda conn: conn.execute(query).one())) == (0, None)
    step = select(request_rows.c.step).where(request_rows.c.id == (await two.target("shop")).request_id)
    assert await yard.see(lambda conn: conn.execute(step).scalar_one()) == STEP
    assert yard.platform.calls == ["run"]


async def test_a_rollback_does_not_wait_for_what_waits_for_others_and_calls_that_off(yard: Yard) -> None:
    two = await asked(yard)
    await yard.take(two.apps["shop-eu"].id)  # somebody else is at it for long
    await work(yard.another(), "any")
    assert (await two.target("shop")).prepared
    shop, former = two.apps["shop"].id, await two.runs("shop")
    asked_for = await two.verbs.rollback(app_id=shop, release_id=former.id, keep_config=False, actor=ADA)
    await work(yard.another(), "any")
    assert (await yard.request(asked_for.id)).state is RequestState.SUCCEEDED
    assert (await two.runs("shop")).description == "Rollback to v1"
    given_up = await two.target("shop")
    outcome = "rolled back by ada@acme.example while it waited for the others"
    assert (given_up.state, given_up.error) == (TargetState.FAILED, outcome)
    assert (await yard.request(given_up.request_id)).state is RequestState.CANCELLED
    await yard.db.write(lambda conn: conn.execute(app_rows.update().values(lease_expires=None)))
    await yard.calm()
    await two.worked()
    assert await two.slugs() == {"shop": "old", "shop-eu": "old"}
    assert (await two.said())["shop-eu"] == (
        "failed",
        "not released: the promotion failed on shop, and it is all or nothing",
    )


async def test_an_app_that_is_destroyed_meanwhile_calls_the_others_off(yard: Yard) -> None:
    two = await asked(yard)
    await yard.destroy(two.apps["shop"].id)
    await two.worked()
    assert (await two.target("shop-eu")).state is TargetState.FAILED
    assert (await two.runs("shop-eu")).slug_id == two.old.id


async def test_one_that_fails_while_another_comes_up_keeps_that_from_going_live(yard: Yard) -> None:
    two = await asked(yard)
    apply, began = yard.platform.apply, []

    async def meanwhile(spec, **options):
        if not began:
            began.append(spec.app_name)
            (other,) = {*NAMES} - {spec.app_name}
            request = await yard.request((await two.target(other)).request_id)
            await yard.do(lambda tx: settle.fail(tx, request, "given up"))
        await apply(spec, **options)

    yard.platform.apply = meanwhile  # type: ignore[method-assign]
    await two.worked()
    assert await two.slugs() == {"shop": "old", "shop-eu": "old"}
    (other,) = {*NAMES} - {*began}
    assert (await two.said())[began[0]][1] == f"not released: the promotion failed on {other}, and it is all or nothing"


async def test_one_that_is_live_and_waits_for_the_others_end_is_not_taken_for_left_behind(yard: Yard) -> None:
    two = await asked(yard)
    live = await half_failed(two)
    for _ in range(2):
        await overdue(yard.context)
    noted = await yard.see(lambda conn: activity.listing(conn, limit=200))
    ends = [each.action for each in noted if each.app_id == two.apps[live].id and "succeeded" in each.action]
    assert ends == ["ReleaseSlug succeeded"]
