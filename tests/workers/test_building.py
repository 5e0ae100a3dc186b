"""Deploys and the slugs they find or build, on a worker of its own: a real git and builder, a sandbox that says yes."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from service.domain.decisions import Deploy, Destroy
from service.domain.model import App, Build, BuildState, QueuedRequest, Release, Sha, Trust
from service.store import apps, builds, logs, releases
from tests.waiting import until
from tests.workers.conftest import Yard
from workers.builds import runtimes
from workers.jobs.deploy import UNLOCKED_REUSED
from workers.jobs.work import work


@pytest.fixture(autouse=True)
def without_runtimes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is compiled here: interpreters need not be copied."""

    async def nothing(_: Path) -> None:
        pass

    monkeypatch.setattr(runtimes, "ensure", nothing)


async def head(yard: Yard, files: Mapping[str, str] | None = None) -> Sha:
    name = yard.repository.full_name
    if files:
        await yard.edge.sim.push(yard.edge.sim.repository(name), yard.repository.default_branch, dict(files))
    return Sha(await yard.edge.sim.head(yard.edge.sim.repository(name)))


async def ask(yard: Yard, app: App, sha: Sha) -> QueuedRequest:
    wanted = Deploy(
        repository_id=yard.repository.id,
        sha=sha,
        branch=yard.repository.default_branch,
        pull_request=None,
        trust=Trust.OWN,
    )
    return await yard.do(lambda tx: tx.request(app.id, wanted, reason="by hand", by_person=True))


async def deployed(yard: Yard, app: App, sha: Sha) -> Build:
    asked = await ask(yard, app, sha)
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


async def test_the_same_files_are_built_once_and_without_a_lock_file_once_a_day(yard: Yard) -> None:
    app, sha = await yard.app(), await head(yard)
    await deployed(yard, app, sha)
    yard.clock.ahead += 10 * UNLOCKED_REUSED
    await deployed(yard, app, sha)
    assert sandboxed(yard) == 1
    yard.platform.unlocked = True
    floating = await head(yard, {"requirements.txt": "flask\n"})
    await deployed(yard, app, floating)
    yard.clock.ahead += UNLOCKED_REUSED - timedelta(minutes=1)
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


async def test_a_token_of_git_that_github_has_revoked_is_replaced(yard: Yard) -> None:
    app = await yard.app()
    await deployed(yard, app, await head(yard))
    sim = yard.edge.sim
    installation = sim.installation_of(sim.repository(yard.repository.full_name))
    assert installation is not None
    sim.keys.revoke_installation(installation)
    build = await deployed(yard, app, await head(yard, {"page": "after"}))
    assert build.state is BuildState.SUCCEEDED
