"""What is pushed to an app reaches the builder: real git to the real server, and a worker that builds what came in."""

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.domain.decisions import Deploy
from service.domain.errors import Refused
from service.domain.model import App, BuildState, Release, Sha, Stage, Trust
from service.enacting.pushes import Pushed
from service.store import apps, builds, deploy_locks, pushes, releases, reports, views
from service.store.tables import slugs
from tests.waiting import until
from tests.web.git.pushing import Clone, Said, address, end
from tests.web.serving import Server, serving
from tests.workers.conftest import Yard
from tests.workers.test_building import deployed, head
from workers.jobs.retention import retain
from workers.jobs.work import work

pytestmark = pytest.mark.usefixtures("without_runtimes")


@pytest.fixture
async def server(yard: Yard, tmp_path: Path) -> AsyncIterator[Server]:
    """The web process of the same installation."""
    async with serving(yard.db, yard.context.vault, tmp_path) as running:
        yield running


async def alone(yard: Yard, server: Server, name: str = "alone") -> App:
    """An app in no pipeline, with no repository."""
    made = await server.app(name)
    found = await yard.see(lambda conn: apps.get(conn, made["id"]))
    assert found is not None
    return found


async def pushed(yard: Yard, app: App, clone: Clone, *args: str) -> Said:
    """Push, while the worker works the app."""
    process = await clone.start("push", *(args or ("towpath", "main")))
    ended = asyncio.ensure_future(process.communicate())
    while not (await asyncio.wait({ended}, timeout=0.05))[0]:
        await work(yard.context, app.id)
    out, _ = ended.result()
    return Said(code=process.returncode or 0, text=out.decode())


async def serves(yard: Yard, app: App) -> Release:
    now = await yard.see(lambda conn: apps.get(conn, app.id))
    assert now is not None
    found = await yard.see(lambda conn: releases.get(conn, now.current_release_id or ""))
    assert found is not None
    return found


async def test_a_pushed_commit_is_built_and_released_without_github(yard: Yard, server: Server, tmp_path: Path) -> None:
    app = await alone(yard, server)
    clone = await Clone.new(tmp_path / "clone", address(server, app.name), {"Procfile": "web: ./a\n", "a": "first"})
    said = await pushed(yard, app, clone)
    assert said.code == 0, said.text
    for words in (
        "Building on the test stack",
        "Procfile declares types -> web",
        "starting",
        "Verifying deploy... done.",
    ):
        assert words in said.remote
    first = await serves(yard, app)
    assert (first.commit, first.repository_id) == (await clone.head(), None)
    build = await yard.see(lambda conn: builds.of_request(conn, first.request_id))
    assert build is not None
    assert (build.state, build.repository_id) == (BuildState.SUCCEEDED, None)

    # The same files in another commit are not built again.
    sha = await clone.commit({})
    said = await pushed(yard, app, clone)
    assert "Using the slug that was built from the same files" in said.remote
    assert yard.platform.calls.count("sandboxed") == 1
    assert ((await serves(yard, app)).commit, (await serves(yard, app)).slug_id) == (sha, first.slug_id)


async def test_an_app_of_a_pipeline_with_a_repository_takes_a_push_and_holds_it(
    yard: Yard, server: Server, tmp_path: Path
) -> None:
    app = await yard.app("shop-staging", Stage.STAGING)
    clone = await Clone.new(tmp_path / "clone", address(server, app.name))
    assert (await pushed(yard, app, clone)).code == 0
    await yard.calm()
    assert await yard.see(lambda conn: views.held(conn, app.id)) == "held at v1"
    # GitHub does not know the commit, so nothing is shown of it there.
    sha = await clone.head()
    assert await yard.see(lambda conn: reports.get(conn, f"check:{yard.pipeline.id}/{sha}")) is None
    # Caches of the pipeline are for what comes from its repository.
    head = Sha(await yard.edge.sim.head(yard.edge.sim.repository(yard.repository.full_name)))
    wanted = Deploy(repository_id=yard.repository.id, sha=head, branch="master", trust=Trust.OWN)
    await yard.do(lambda tx: tx.request(app.id, wanted, reason="by hand", by_person=True))
    await work(yard.context, app.id)
    assert yard.platform.cached == [set(), set()]


async def test_what_is_pushed_to_one_app_has_no_say_in_what_others_run(
    yard: Yard, server: Server, tmp_path: Path
) -> None:
    """A buildpack of its own may give the very bytes of another's slug, and say that other commands run of them."""
    one, two, victim = await alone(yard, server, "one"), await alone(yard, server, "two"), await yard.app()
    files = {"Procfile": "web: ./serve"}
    clones = [await Clone.new(tmp_path / app.name, address(server, app.name), files) for app in (one, two)]
    assert (await pushed(yard, one, clones[0])).code == 0
    otherwise = slugs.update().where(slugs.c.id == (await serves(yard, one)).slug_id)
    await yard.db.write(lambda conn: conn.execute(otherwise.values(process_types='{"web": "./evil"}')))
    await deployed(yard, victim, await head(yard))
    assert yard.platform.running[victim.id].processes[0].command == "./serve"
    said = await pushed(yard, two, clones[1])
    assert (said.code, "another app built the same files with other process types" in said.remote) == (1, True)


async def test_what_was_pushed_to_staging_is_promoted_as_it_is(yard: Yard, server: Server, tmp_path: Path) -> None:
    staging, production = await yard.app("shop-staging", Stage.STAGING), await yard.app()
    clone = await Clone.new(tmp_path / "clone", address(server, staging.name))
    assert (await pushed(yard, staging, clone)).code == 0
    await server.enactor.promote(
        pipeline_id=yard.pipeline.id,
        source_app_id=staging.id,
        release_id=None,
        target_app_ids=None,
        actor="user:ada@acme.example",
    )
    await work(yard.context, production.id)
    release = await serves(yard, production)
    assert (release.commit, release.slug_id) == (await clone.head(), (await serves(yard, staging)).slug_id)
    slug = await yard.see(lambda conn: builds.slug(conn, release.slug_id or ""))
    assert slug is not None
    assert slug.trust is Trust.SENT
    assert yard.platform.running[production.id].processes[0].command == "./serve"
    assert yard.platform.calls.count("sandboxed") == 1


async def test_a_lock_that_comes_while_it_waits_rejects_it_in_words_that_fit_git(
    yard: Yard, server: Server, tmp_path: Path
) -> None:
    app = await alone(yard, server)
    clone = await Clone.new(tmp_path / "clone", address(server, app.name))
    process = await clone.start("push", "towpath", "main")
    await until(lambda: yard.see(lambda conn: pushes.under_way(conn, app.id)), what="the push is in the queue")
    terms = {"actor": "user:ada@acme.example", "reason": "audit", "expires_at": None}
    await yard.do(lambda tx: deploy_locks.put(tx.conn, app_id=app.id, pipeline_id=None, **terms, now=tx.now))
    await work(yard.context, app.id)
    out, _ = await process.communicate()
    assert process.returncode == 1
    assert "then push again" in out.decode()
    assert "override" not in out.decode()


async def test_the_settings_of_the_pushed_repository_have_no_say_in_the_worker(
    yard: Yard, server: Server, tmp_path: Path
) -> None:
    app = await alone(yard, server)
    clone = await Clone.new(tmp_path / "clone", address(server, app.name))
    process = await clone.start("push", "towpath", "main")
    await until(lambda: yard.see(lambda conn: pushes.under_way(conn, app.id)), what="the push is in the queue")
    told, at = tmp_path / "executed", tmp_path / f"pushes/{app.id}.git"
    (at / "config").write_text(
        f'[core]\n\tfsmonitor = "touch {told}"\n\tsshCommand = "touch {told}"\n\talternateRefsCommand = "touch {told}"\n'
        f'[uploadpack]\n\tpackObjectsHook = "touch {told}"\n[tar "tar"]\n\tcommand = "touch {told}"\n'
    )
    (at / "info").mkdir(exist_ok=True)
    (at / "info/attributes").write_text("* export-ignore\n")
    await work(yard.context, app.id)
    assert (await serves(yard, app)).commit == await clone.head()
    assert not told.exists()
    await end(process)


async def test_what_is_lost_before_it_is_built_is_to_be_pushed_again(
    yard: Yard, server: Server, tmp_path: Path
) -> None:
    app = await alone(yard, server)
    clone = await Clone.new(tmp_path / "clone", address(server, app.name))
    process = await clone.start("push", "towpath", "main")
    await until(lambda: yard.see(lambda conn: pushes.under_way(conn, app.id)), what="the push is in the queue")
    await asyncio.to_thread(shutil.rmtree, tmp_path / f"pushes/{app.id}.git")
    await work(yard.context, app.id)
    out, _ = await process.communicate()
    assert out.decode().count("is not here any more: push it again") == 1
    assert (await pushed(yard, app, clone)).code == 0


async def test_a_repository_lost_after_it_was_built_takes_the_next_push_whole(
    yard: Yard, server: Server, tmp_path: Path
) -> None:
    app = await alone(yard, server)
    clone = await Clone.new(tmp_path / "clone", address(server, app.name))
    assert (await pushed(yard, app, clone)).code == 0
    await asyncio.to_thread(shutil.rmtree, tmp_path / f"pushes/{app.id}.git")
    assert await clone.git("ls-remote", "towpath") == ""
    await clone.commit({"page": "two"})
    said = await pushed(yard, app, clone)
    assert said.code == 0, said.text
    assert (await serves(yard, app)).commit == await clone.head()


async def test_the_repository_of_an_app_goes_with_it_and_others_stay(
    yard: Yard, server: Server, tmp_path: Path
) -> None:
    gone, stays = await alone(yard, server, "gone"), await alone(yard, server, "stays")
    for app in (gone, stays):
        clone = await Clone.new(tmp_path / app.name, address(server, app.name), {"Procfile": f"web: {app.name}\n"})
        assert (await pushed(yard, app, clone)).code == 0
    await yard.destroy(gone.id)
    await work(yard.context, gone.id)
    for name, hours in (("killed", 25), ("being-made", 1)):
        new = tmp_path / f"pushes/.new-{name}"
        new.mkdir()
        os.utime(new, (time.time() - hours * 3600,) * 2)
    await retain(yard.context)
    left = sorted(each.name for each in [*tmp_path.glob("pushes/*"), *tmp_path.glob("mirrors/app-*.git")])
    assert left == sorted([".new-being-made", f"{stays.id}.git", f"app-{stays.id}-sent.git"])
    assert await yard.see(lambda conn: pushes.heads(conn, gone.id)) == {}


async def test_a_review_app_follows_its_pull_request_and_no_push(yard: Yard, server: Server, tmp_path: Path) -> None:
    review = await yard.review()
    app = await yard.see(lambda conn: apps.get(conn, review.app_id or ""))
    assert app is not None
    clone = await Clone.new(tmp_path / "clone", address(server, app.name))
    said = await clone.says("push", "towpath", "main")
    assert said.code == 1
    assert f"{app.name} is a review app: push to the branch of its pull request, and it follows." in said.remote
    straight = Pushed(branch="main", sha=Sha("1" * 40), before=None)
    with pytest.raises(Refused, match="is a review app"):
        await server.enactor.push(app_id=app.id, pushed=straight, actor="user:ada@acme.example")
