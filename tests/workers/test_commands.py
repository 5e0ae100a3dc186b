"""Scripts run once: a worker that dies beside one, or a machine that dies with it, repeats only what may be repeated."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from service.domain.decisions import Deploy, Destroy
from service.domain.errors import Refused, Transient
from service.domain.manifest import Manifest
from service.domain.model import AppState, ReviewState, Sha, Slug, Trust
from service.store import apps, requests, reviews
from service.store.requests import TakenWork
from service.store.tables import apps as app_rows
from service.store.tables import commands
from tests.workers.conftest import Yard
from workers.jobs import destroy, release
from workers.jobs.built_from import of_commit
from workers.jobs.work import work
from workers.platforms.base import Lost

SEEDING = Manifest(scripts={"postdeploy": "./seed", "pr-predestroy": "./goodbye"})
WANTED = Deploy(repository_id=1, sha=Sha("a" * 40), trust=Trust.OWN, branch="topic")  # type: ignore[arg-type]


async def taken(yard: Yard, app_id: str) -> TakenWork:
    """The app's request in the hands of a worker; again, after the former was killed."""
    await yard.db.write(lambda conn: conn.execute(app_rows.update().values(lease_expires=None)))
    return await yard.take(app_id)


async def deploying(yard: Yard) -> tuple[str, str, Slug]:
    """A review app whose first deploy is built and to be released."""
    review = await yard.review(state=ReviewState.CREATING)
    app_id = review.app_id or ""
    await yard.do(lambda tx: tx.request(app_id, WANTED, reason="opened", by_person=False))
    return review.id, app_id, await yard.slug(web="./serve", release="./migrate")


async def released(yard: Yard, app_id: str, slug: Slug) -> None:
    work = await taken(yard, app_id)
    await release.release_slug(yard.context, work, slug=slug, source=of_commit(WANTED), manifest=SEEDING)


async def recorded(yard: Yard) -> list[tuple[Any, ...]]:
    """Which scripts were run, and how each ended."""
    query = select(commands.c.step, commands.c.state, commands.c.exit_code).order_by(commands.c.created_at)
    return [tuple(row) for row in await yard.see(lambda conn: conn.execute(query).all())]


async def test_a_worker_killed_between_the_end_of_a_script_and_its_record_runs_it_no_second_time(yard: Yard) -> None:
    review_id, app_id, slug = await deploying(yard)
    run, ran = yard.platform.run, []

    async def killed(name, spec, command, *, fence, log, seconds):
        ran.append(command)
        await run(name, spec, command, fence=fence, log=log, seconds=seconds)
        raise Transient("killed")

    for _ in range(2):
        yard.platform.run = killed  # type: ignore[method-assign]
        with pytest.raises(Transient):
            await released(yard, app_id, slug)
        yard.platform.run = run  # type: ignore[method-assign]
    await released(yard, app_id, slug)
    assert ran == ["./migrate", "./migrate"]
    assert yard.platform.calls.count("run") == 2
    assert await recorded(yard) == [("release", "ended", 0), ("postdeploy", "ended", 0)]
    assert await yard.see(lambda conn: reviews.postdeploy_done(conn, review_id))


async def test_a_release_command_that_a_machine_took_with_it_is_run_again_under_another_name(yard: Yard) -> None:
    _, app_id, slug = await deploying(yard)
    yard.platform.script["run"] = [Lost("gone")]
    await released(yard, app_id, slug)
    assert await recorded(yard) == [("release", "unknown", None), ("release", "ended", 0), ("postdeploy", "ended", 0)]
    assert app_id in yard.platform.running


async def test_a_postdeploy_that_a_machine_took_with_it_is_never_run_again(yard: Yard) -> None:
    review_id, app_id, slug = await deploying(yard)
    yard.platform.script["run"] = [None, Lost("gone")]
    for _ in range(2):
        if await yard.see(lambda conn: reviews.postdeploy_done(conn, review_id)):
            break
        with pytest.raises(Refused, match="cut off"):
            await released(yard, app_id, slug)
    await released(yard, app_id, slug)
    assert await recorded(yard) == [("release", "ended", 0), ("postdeploy", "unknown", None)]
    assert yard.platform.calls.count("run") == 2


@pytest.fixture
def seeding(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit that serves has the scripts; there is no mirror to read them from."""

    async def manifest(*_: object) -> Manifest:
        return SEEDING

    monkeypatch.setattr(destroy, "_manifest", manifest)


@pytest.mark.usefixtures("seeding")
async def test_a_predestroy_that_a_machine_took_with_it_is_not_run_again_and_keeps_nothing_alive(yard: Yard) -> None:
    _, app_id, slug = await deploying(yard)
    await released(yard, app_id, slug)
    await yard.destroy(app_id)
    yard.platform.script["run"] = [Lost("gone")]
    yard.platform.script["remove"] = [Transient("later")]
    wanted = Destroy(ordered=True, reason="closed")
    with pytest.raises(Transient):
        await destroy.destroy(yard.context, await taken(yard, app_id), wanted)
    await destroy.destroy(yard.context, await taken(yard, app_id), wanted)
    assert (await recorded(yard))[-1] == ("predestroy", "unknown", None)
    assert yard.platform.calls.count("run") == 3
    assert await yard.see(lambda conn: requests.open_of(conn, app_id)) == []


@pytest.mark.usefixtures("seeding")
async def test_a_predestroy_that_cannot_be_run_does_not_keep_its_app_for_ever(yard: Yard) -> None:
    _, app_id, slug = await deploying(yard)
    await released(yard, app_id, slug)
    await yard.db.write(lambda conn: conn.execute(app_rows.update().values(lease_expires=None)))
    await yard.destroy(app_id)
    yard.platform.script["run"] = [RuntimeError("a bug")] * 99
    for _ in range(destroy.PREDESTROY_ATTEMPTS + 1):
        await work(yard.context, app_id)
        yard.clock.ahead += timedelta(minutes=2)
    app = await yard.see(lambda conn: apps.get(conn, app_id))
    assert app is not None
    assert app.state is AppState.GONE
