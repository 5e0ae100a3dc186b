"""Deploys and the slugs they find or build, on a worker of its own: a real git and builder, a sandbox that says yes."""

import asyncio
import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from service.domain.decisions import Deploy, Destroy
from service.domain.errors import Transient
from service.domain.model import (
    App,
    Build,
    BuildState,
    QueuedRequest,
    Release,
    RequestState,
    ReviewState,
    Sha,
    Trust,
)
from service.settings import Settings
from service.store import apps, build_configs, builds, logs, releases, repositories, reviews
from service.store.tables import apps as app_rows
from service.store.tables import build_keys, slugs
from tests.waiting import until
from tests.workers.conftest import Yard
from workers.jobs.work import work

UNLOCKED = timedelta(seconds=Settings(data=Path()).unlocked_build_seconds)


pytestmark = pytest.mark.usefixtures("without_runtimes")


async def head(yard: Yard, files: Mapping[str, str] | None = None) -> Sha:
    name = yard.repository.full_name
    if files:
        await yard.edge.sim.push(yard.edge.sim.repository(name), yard.repository.default_branch, dict(files))
    return Sha(await yard.edge.sim.head(yard.edge.sim.repository(name)))


async def ask(
    yard: Yard, app: App, sha: Sha, *, rebuild: bool = False, trust: Trust = Trust.OWN, pull: int | None = None
) -> QueuedRequest:
    wanted = Deploy(
        repository_id=yard.repository.id,
        sha=sha,
        branch=yard.repository.default_branch,
        pull_request=pull,
        trust=trust,
        rebuild=rebuild,
    )
    return await yard.do(lambda tx: tx.request(app.id, wanted, reason="by hand", by_person=True))


async def deployed(yard: Yard, app: App, sha: Sha, *, rebuild: bool = False, trust: Trust = Trust.OWN) -> Build:
    asked = await ask(yard, app, sha, rebuild=rebuild, trust=trust)
    await work(yard.context, app.id)
    build = await yard.see(lambda conn: builds.of_request(conn, asked.id))
    assert build is not None
    return build


async def serves(yard: Yard, app: App) -> Release | None:
    now = await yard.see(lambda conn: apps.get(conn, app.id))
    assert now is not None
    return await yard.see(lambda conn: releases.get(conn, now.current_release_id or ""))


def sandboxed(yard: Yard) -> int:
    """How many builds came to the sandbox."""
    return yard.platform.calls.count("sandboxed")


@pytest.mark.parametrize("harm", ["gone", "damaged"])
async def test_a_slug_whose_content_is_lost_is_built_anew(yard: Yard, harm: str) -> None:
    app, sha = await yard.app(), await head(yard)
    first = await deployed(yard, app, sha)
    assert first.slug_id is not None
    slug = await yard.see(lambda conn: builds.slug(conn, first.slug_id or ""))
    assert slug is not None
    blob = yard.context.slugs.blob(Trust.OWN, slug.sha256)
    if harm == "gone":
        await yard.context.slugs.delete(Trust.OWN, slug.sha256)
    else:
        (await yard.context.slugs.unpacked(Trust.OWN, slug.sha256)).rename(blob.parent / "away")
        blob.write_bytes(b"not a slug")

    again = await deployed(yard, app, sha)

    assert (again.state, again.slug_id, sandboxed(yard)) == (BuildState.SUCCEEDED, first.slug_id, 2)
    release = await serves(yard, app)
    assert release is not None
    assert release.version == 2


async def configure(yard: Yard, app: App, **config: str) -> None:
    await yard.do(lambda tx: apps.set_config(tx.conn, tx.vault, app_id=app.id, vars=config, now=tx.now))


async def name_for_builds(yard: Yard, *names: str) -> None:
    await yard.do(lambda tx: build_configs.set_of_pipeline(tx.conn, yard.pipeline.id, names, tx.now))


SECRET = "swordfish-of-staging"


async def test_a_build_sees_the_named_config_vars_of_its_app_and_its_log_none_of_their_values(yard: Yard) -> None:
    app, sha = await yard.app(), await head(yard)
    await configure(yard, app, SECRET_KEY=SECRET, DATABASE_URL="postgres://elsewhere")
    await name_for_builds(yard, "SECRET_KEY", "MISSING")
    build = await deployed(yard, app, sha)
    assert yard.platform.told == [{"SECRET_KEY": SECRET}]
    text = await yard.see(lambda conn: logs.tail(conn, build.log_id))
    assert "The build sees these config vars: SECRET_KEY\n" in text
    assert "MISSING is named for builds, but the app has no such config var" in text
    assert "with {'SECRET_KEY': '[redacted]'}" in text
    kept = await yard.see(lambda conn: [*conn.execute(select(build_keys)), *conn.execute(select(slugs))])
    assert SECRET not in str(kept)


async def test_apps_with_equal_values_share_a_slug_and_others_build_their_own(yard: Yard) -> None:
    first, second, third = await yard.app("one"), await yard.app("two"), await yard.app("three")
    sha = await head(yard)
    await name_for_builds(yard, "SITE")
    for app, site in ((first, "blue"), (second, "blue"), (third, "green")):
        await configure(yard, app, SITE=site, OWN=app.name)
        await deployed(yard, app, sha)
    assert yard.platform.told == [{"SITE": "blue"}, {"SITE": "green"}]
    await configure(yard, first, SITE="red")
    await deployed(yard, first, sha)
    assert yard.platform.told[2:] == [{"SITE": "red"}]
    await configure(yard, first, SITE="blue", OWN="changed")
    await deployed(yard, first, sha)
    assert sandboxed(yard) == 3


async def test_the_first_build_of_a_review_app_sees_what_app_json_generates_for_it(yard: Yard) -> None:
    app_json = json.dumps({"env": {"SECRET_KEY": {"generator": "secret"}, "SITE": "blue"}})
    sha = await head(yard, {"app.json": app_json})
    review = await yard.review("branch:topic", state=ReviewState.CREATING, sha=sha)
    app = await yard.see(lambda conn: apps.get(conn, review.app_id or ""))
    assert app is not None
    await name_for_builds(yard, "SECRET_KEY", "SITE", "HEROKU_APP_NAME")
    await deployed(yard, app, sha)
    config = await yard.see(lambda conn: apps.config(conn, yard.context.vault, app.id))
    assert config["SECRET_KEY"]
    assert yard.platform.told == [{name: config[name] for name in ("SECRET_KEY", "SITE", "HEROKU_APP_NAME")}]
    released = await serves(yard, app)
    assert released is not None
    assert await yard.see(lambda conn: releases.config(conn, yard.context.vault, released.id)) == config


async def test_a_build_taken_up_after_a_change_of_what_it_sees_begins_anew(yard: Yard) -> None:
    app, sha = await yard.app(), await head(yard)
    await name_for_builds(yard, "SITE")
    await configure(yard, app, SITE="blue")
    yard.platform.hold["sandboxed"] = asyncio.Event()
    asked = await ask(yard, app, sha)
    building = asyncio.ensure_future(work(yard.context, app.id))
    await until(lambda: "sandboxed" in yard.platform.calls)
    building.cancel()
    await asyncio.gather(building, return_exceptions=True)
    await configure(yard, app, SITE="green")
    del yard.platform.hold["sandboxed"]
    await yard.db.write(lambda conn: conn.execute(app_rows.update().values(lease_expires=None, retry_at=None)))
    await work(yard.another(), app.id)
    assert (await yard.request(asked.id)).state is RequestState.SUCCEEDED
    assert yard.platform.told == [{"SITE": "blue"}, {"SITE": "green"}]


async def test_a_rebuild_takes_no_slug_and_no_cache_and_replaces_both(yard: Yard) -> None:
    app, sha = await yard.app(), await head(yard)
    before = await deployed(yard, app, sha)
    # The same files give something else by now: another slug, which the same key leads to afterwards.
    yard.platform.leaves = "other"
    again = await deployed(yard, app, sha, rebuild=True)
    assert (before.slug_id != again.slug_id, yard.platform.cached) == (True, [set(), set()])
    third = await deployed(yard, app, sha)
    assert (third.slug_id, sandboxed(yard)) == (again.slug_id, 2)
    await deployed(yard, app, await head(yard, {"page": "next"}))
    assert yard.platform.cached[2] == {"2"}
    shelves = list((yard.context.workshop.data / "caches/own").glob("*/*"))
    assert [len(list(shelf.iterdir())) for shelf in shelves] == [2]


async def test_a_rebuild_that_comes_to_its_end_on_a_second_try_builds_once(yard: Yard) -> None:
    app, sha = await yard.app(), await head(yard)
    await deployed(yard, app, sha)
    yard.platform.script["apply"] = [Transient("the engine is away")]
    asked = await ask(yard, app, sha, rebuild=True)
    await work(yard.context, app.id)
    yard.clock.ahead += timedelta(minutes=5)
    await work(yard.context, app.id)
    assert ((await yard.request(asked.id)).state, sandboxed(yard)) == (RequestState.SUCCEEDED, 2)


async def test_the_last_script_of_a_fork_is_read_from_the_mirror_of_forks(yard: Yard) -> None:
    sha = await head(yard, {"app.json": json.dumps({"scripts": {"pr-predestroy": "./goodbye"}})})
    review = await yard.review("branch:topic", state=ReviewState.CREATING, sha=sha)
    app = await yard.see(lambda conn: apps.get(conn, review.app_id or ""))
    assert app is not None
    await deployed(yard, app, sha, trust=Trust.FORK)
    await yard.destroy(app.id)
    await work(yard.context, app.id)
    assert list(yard.platform.exit_codes) == [f"predestroy-{app.id}"]
    assert await yard.see(lambda conn: apps.find(conn, app.id)) is None


async def test_a_pull_request_that_github_does_not_show_is_neither_deployed_nor_given_up(yard: Yard) -> None:
    sha = await head(yard)
    review = await yard.review("pr:77", state=ReviewState.CREATING, sha=sha)
    app = await yard.see(lambda conn: apps.get(conn, review.app_id or ""))
    assert app is not None
    asked = await ask(yard, app, sha, pull=77)
    await work(yard.context, app.id)
    assert sandboxed(yard) == 0
    assert await serves(yard, app) is None
    assert (await yard.request(asked.id)).state is RequestState.RUNNING
    again = await yard.see(lambda conn: reviews.get(conn, review.id))
    assert again is not None
    assert again.state is ReviewState.CREATING


async def test_no_commit_of_a_fork_finds_the_cache_of_another(yard: Yard) -> None:
    app, first = await yard.app(), await head(yard)
    second = await head(yard, {"page": "of another"})
    await deployed(yard, app, first, trust=Trust.FORK)
    await deployed(yard, app, second, trust=Trust.FORK)
    await deployed(yard, app, second)
    assert yard.platform.cached == [set(), set(), set()]


async def test_the_same_files_are_built_once_and_without_a_lock_file_once_a_day(yard: Yard) -> None:
    app, sha = await yard.app(), await head(yard)
    await deployed(yard, app, sha)
    yard.clock.ahead += 10 * UNLOCKED
    await deployed(yard, app, sha)
    assert sandboxed(yard) == 1
    yard.platform.unlocked = True
    floating = await head(yard, {"requirements.txt": "flask\n"})
    await deployed(yard, app, floating)
    yard.clock.ahead += UNLOCKED - timedelta(minutes=1)
    await deployed(yard, app, floating)
    assert sandboxed(yard) == 2
    yard.clock.ahead += timedelta(minutes=2)
    await deployed(yard, app, floating)
    assert sandboxed(yard) == 3


async def test_the_log_of_a_build_ends_with_what_is_wrong_with_the_repository(yard: Yard) -> None:
    app = await yard.app()
    build = await deployed(yard, app, await head(yard, {"Procfile": "release: true\n"}))
    assert build.state is BuildState.FAILED
    text = await yard.see(lambda conn: logs.tail(conn, build.log_id))
    assert text.endswith(
        "!     there is nothing to run: add a Procfile that names a process, for example web: python app.py\n"
    )


async def test_an_app_that_is_destroyed_while_it_builds_leaves_no_build_behind(yard: Yard) -> None:
    app = await yard.app()
    yard.platform.hold["sandboxed"] = asyncio.Event()
    await ask(yard, app, await head(yard))
    building = asyncio.ensure_future(work(yard.context, app.id))
    await until(lambda: "sandboxed" in yard.platform.calls)
    await yard.do(
        lambda tx: tx.request(app.id, Destroy(ordered=True, reason="closed"), reason="closed", by_person=True)
    )
    await building
    assert yard.platform.building == set()
    assert list((yard.context.workshop.data / "builds").iterdir()) == []


async def test_a_repository_that_was_renamed_unheard_is_fetched_under_its_new_name(yard: Yard) -> None:
    """GitHub's git leads from the old name to the new one, where nobody follows it with a token."""
    app, sha = await yard.app(), await head(yard)
    yard.edge.sim.rename_repo(yard.repository.full_name, "store")
    wanted = Deploy(repository_id=yard.repository.id, sha=sha, trust=Trust.OWN, branch=yard.repository.default_branch)
    asked = await yard.do(lambda tx: tx.request(app.id, wanted, reason="new", by_person=False))
    await work(yard.context, app.id)
    assert (await yard.request(asked.id)).state is RequestState.SUCCEEDED
    known = await yard.see(lambda conn: repositories.get(conn, yard.repository.id))
    assert known is not None
    assert known.full_name == "acme/store"


async def test_a_token_of_git_that_github_has_revoked_is_replaced(yard: Yard) -> None:
    app = await yard.app()
    await deployed(yard, app, await head(yard))
    sim = yard.edge.sim
    installation = sim.installation_of(sim.repository(yard.repository.full_name))
    assert installation is not None
    sim.keys.revoke_installation(installation)
    build = await deployed(yard, app, await head(yard, {"page": "after"}))
    assert build.state is BuildState.SUCCEEDED


@pytest.mark.parametrize("by_person", [True, False], ids=["by hand", "by itself"])
async def test_a_commit_is_fetched_under_the_repositorys_new_name_although_another_has_the_old_one(
    yard: Yard, by_person: bool
) -> None:
    """Git goes by names. Nobody told of the new one yet."""
    app, sha = await yard.app(), await head(yard, {"index.html": "ours", "static.json": "{}"})
    yard.edge.sim.rename_repo("acme/shop", "store")
    await yard.edge.sim.create_repo("acme/shop", files={"index.html": "theirs"})
    wanted = Deploy(repository_id=yard.repository.id, sha=sha, trust=Trust.OWN, branch=yard.repository.default_branch)
    asked = await yard.do(lambda tx: tx.request(app.id, wanted, reason="new", by_person=by_person))
    await work(yard.context, app.id)
    build = await yard.see(lambda conn: builds.of_request(conn, asked.id))
    assert build is not None
    assert (build.state, build.error) == (BuildState.SUCCEEDED, "")
    assert yard.edge.sim.repository("acme/store").fetched_at is not None


async def test_the_branches_of_another_repository_under_the_old_name_prove_nothing(yard: Yard) -> None:
    sim = yard.edge.sim
    app = await yard.app()
    fork = await sim.fork("acme/shop", "mallory")
    foreign = Sha(await sim.push(fork, "evil", {"index.html": "theirs", "static.json": "{}"}))
    sim.rename_repo("acme/shop", "store")
    other = await sim.create_repo("acme/shop", files={"a": "1"})
    await sim.git.take(other.id, source=fork.id, refspec="+refs/heads/*:refs/heads/*")
    asked = await ask(yard, app, foreign)
    await work(yard.context, app.id)
    assert "is not on any branch of acme/store" in (await yard.request(asked.id)).reason
