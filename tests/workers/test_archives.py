"""Packed sources on a worker of its own: a real git and builder, a sandbox that says yes."""

import asyncio
import gzip
import hashlib
import io
import os
import tarfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest

from service.domain.decisions import Deploy, DeployArchive, Subject, SubjectKind
from service.domain.errors import Refused, Transient
from service.domain.model import (
    NO_REPOSITORY,
    App,
    Build,
    BuildState,
    QueuedRequest,
    RequestState,
    ReviewState,
    Stage,
    Trust,
)
from service.enact import Transaction
from service.enactor import Enactor
from service.store import apps, builds, logs, releases, requests, reviews, sources, subjects, users, views
from service.store.secrets import request_context
from service.store.tables import apps as app_rows
from tests.waiting import until
from tests.workers.conftest import Yard
from tests.workers.test_building import deployed, head, sandboxed, serves
from tests.workers.test_survey import audited
from workers.builds.download import Downloads
from workers.jobs.retention import retain
from workers.jobs.work import work

pytestmark = pytest.mark.usefixtures("without_runtimes")

FILES = {"Procfile": "web: ./serve", "serve": "#!/bin/sh"}
SHA = "b" * 40


def packed(files: Mapping[str, str]) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    return gzip.compress(raw.getvalue())


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetching(Downloads):
    """What an address holds, and how often it was asked for."""

    content: list[bytes] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)

    async def fetch(self, url: str, dest: Path) -> str:
        self.urls.append(url)
        content = self.content.pop(0)
        dest.parent.mkdir(parents=True, exist_ok=True)
        dest.write_bytes(content)
        return hashlib.sha256(content).hexdigest()


class Away(Downloads):
    """A server that does not answer."""

    async def fetch(self, url: str, dest: Path) -> str:  # noqa: ARG002
        raise Transient("files.example is away")


async def sent(yard: Yard, files: Mapping[str, str] = FILES) -> str:
    """What somebody has sent: the id of the source."""
    content = packed(files)
    sha256 = hashlib.sha256(content).hexdigest()

    def keep(tx: Transaction) -> sources.Source:
        made = sources.create(tx.conn, user_id=users.ensure_embedded_user(tx.conn, now=tx.now), now=tx.now)
        sources.store(tx.conn, made.id, size=len(content), sha256=sha256)
        found = sources.get(tx.conn, made.id)
        assert found is not None
        return found

    source = await yard.do(keep)
    yard.context.settings.sources_dir.mkdir(exist_ok=True)
    (yard.context.settings.sources_dir / source.file_name).write_bytes(content)
    return source.id


async def ask(yard: Yard, app: App, *, source_id: str = "", url: str = "", **wanted: str) -> QueuedRequest:
    archive = DeployArchive(source_id=source_id, shown="https://files.example/x.tgz", **wanted)  # type: ignore[arg-type]
    sealed = yard.context.vault.seal(url.encode(), request_context(app.id)) if url else None
    return await yard.do(lambda tx: tx.request(app.id, archive, reason="deploy of v1", by_person=True, sealed=sealed))


async def built(yard: Yard, app: App, files: Mapping[str, str] = FILES, **wanted: str) -> Build:
    asked = await ask(yard, app, source_id=await sent(yard, files), **wanted)
    await work(yard.context, app.id)
    found = await yard.see(lambda conn: builds.of_request(conn, asked.id))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("version", "description", "commit"),
    [("v1.2", "Deploy v1.2", None), (SHA, "Deploy bbbbbbbb", SHA), ("", "Deploy https://files.example/x.tgz", None)],
    ids=["a name", "a commit", "nothing"],
)
async def test_what_was_sent_is_built_and_its_release_shows_what_it_is_called(
    yard: Yard, version: str, description: str, commit: str | None
) -> None:
    app = await yard.app()
    build = await built(yard, app, version=version)
    release = await serves(yard, app)
    assert release is not None
    assert (build.state, release.description, release.commit) == (BuildState.SUCCEEDED, description, commit)
    assert (release.repository_id, release.slug_id) == (None, build.slug_id)
    assert yard.platform.running[app.id].processes[0].command == "./serve"
    assert yard.platform.running[app.id].config["SOURCE_VERSION"] == (commit or "")
    text = await yard.see(lambda conn: logs.tail(conn, build.log_id))
    assert "-----> Reading the source that was sent (0.0 MB)" in text
    assert await yard.see(lambda conn: views.held(conn, app.id)) == "held at v1"
    await yard.calm()
    assert list((yard.context.workshop.arrivals).iterdir()) == []


async def test_app_json_counts_as_in_a_commit(yard: Yard) -> None:
    app = await yard.app()
    files = FILES | {"app.json": '{"formation": {"web": {"quantity": 3}}}'}
    await built(yard, app, {f"tool-1.0/{name}": text for name, text in files.items()})
    assert yard.platform.running[app.id].processes[0].quantity == 3


async def test_the_slug_of_a_source_is_found_by_the_same_app_and_by_nothing_else(yard: Yard) -> None:
    """Not by a commit with the same files, nor by another app; and not the other way round."""
    one, two = await yard.app("one"), await yard.app("two")
    first = await built(yard, one)
    again = await built(yard, one)
    assert (first.slug_id == again.slug_id, sandboxed(yard)) == (True, 1)
    await built(yard, two)
    assert sandboxed(yard) == 2
    commit = await deployed(yard, one, await head(yard, FILES))
    assert (sandboxed(yard), commit.slug_id == first.slug_id) == (3, False)
    await built(yard, two, FILES | {"new": "file"})
    slugs = [await yard.see(lambda conn, each=each: builds.slug(conn, each.slug_id or "")) for each in (first, commit)]
    assert [slug.trust for slug in slugs if slug] == [Trust.SENT, Trust.OWN]
    assert yard.platform.cached[2] == set(), "a commit's build finds nothing that a sent one has left in its cache"


async def test_a_slug_that_another_app_runs_otherwise_is_refused(yard: Yard) -> None:
    one, two = await yard.app("one"), await yard.app("two")
    first = await built(yard, one)
    await yard.db.write(
        lambda conn: conn.exec_driver_sql(
            'UPDATE slugs SET process_types = \'{"web": "./evil"}\' WHERE id = ?', (first.slug_id,)
        )
    )
    second = await built(yard, two)
    assert (second.state, "another app built the same files" in second.error) == (BuildState.FAILED, True)
    assert await serves(yard, two) is None


BAD = {
    "no packed source": (b"no gzip", "not a whole tar.gz"),
    "a source without a process": (packed({"README": "text"}), "there is nothing to run"),
    "an app.json that is none": (packed(FILES | {"app.json": "{"}), "app.json"),
}


@pytest.mark.parametrize("case", BAD)
async def test_what_is_wrong_with_a_source_ends_its_log(yard: Yard, case: str) -> None:
    app = await yard.app()
    content, words = BAD[case]
    source_id = await sent(yard)
    for file in yard.context.settings.sources_dir.iterdir():
        file.write_bytes(content)
    asked = await ask(yard, app, source_id=source_id)
    await work(yard.context, app.id)
    ended, build = await yard.request(asked.id), await yard.see(lambda conn: builds.of_request(conn, asked.id))
    assert build is not None
    assert (ended.state, build.state) == (RequestState.FAILED, BuildState.FAILED)
    assert words in build.error
    assert words in await yard.see(lambda conn: logs.tail(conn, build.log_id))


async def test_a_source_that_is_not_kept_any_more_says_so(yard: Yard) -> None:
    app = await yard.app()
    asked = await ask(yard, app, source_id="nowhere")
    await work(yard.context, app.id)
    assert (await yard.request(asked.id)).reason == "the source that was sent is not kept any more: send it again"


async def test_an_address_is_fetched_once_whatever_becomes_of_the_worker(yard: Yard) -> None:
    """Behind it there may be something else by the time a successor asks."""
    app = await yard.app()
    fetching = Fetching(content=[packed(FILES), packed({"Procfile": "web: ./evil"})])
    context = replace(yard.context, downloads=fetching)
    yard.platform.hold["sandboxed"] = asyncio.Event()
    asked = await ask(yard, app, url="https://files.example/x.tgz?key=secret")
    building = asyncio.ensure_future(work(context, app.id))
    await until(lambda: "sandboxed" in yard.platform.calls)
    building.cancel()
    await asyncio.gather(building, return_exceptions=True)
    del yard.platform.hold["sandboxed"]
    await yard.db.write(lambda conn: conn.execute(app_rows.update().values(lease_expires=None, retry_at=None)))
    await work(replace(yard.another(), downloads=fetching), app.id)
    assert (await yard.request(asked.id)).state is RequestState.SUCCEEDED
    assert yard.platform.running[app.id].processes[0].command == "./serve"
    assert fetching.urls == ["https://files.example/x.tgz?key=secret"]
    build = await yard.see(lambda conn: builds.of_request(conn, asked.id))
    assert build is not None
    assert "secret" not in await yard.see(lambda conn: logs.tail(conn, build.log_id))


async def test_what_is_fetched_must_have_the_checksum_that_was_said(yard: Yard) -> None:
    app = await yard.app()
    context = replace(yard.context, downloads=Fetching(content=[packed(FILES)]))
    asked = await ask(yard, app, url="https://files.example/x.tgz", sha256="0" * 64)
    await work(context, app.id)
    assert (await yard.request(asked.id)).reason.startswith("the source has the checksum SHA256:")
    assert list(yard.context.workshop.arrivals.iterdir()) == []


async def test_sources_and_their_files_go_once_nothing_can_be_built_of_them(yard: Yard) -> None:
    directory = yard.context.settings.sources_dir
    await sent(yard)
    kept = next(iter(directory.iterdir()))
    half, young = directory / ".new-half", directory / ".new-young"
    for file in (half, young):
        file.touch()
    old = time.time() - 7200
    for file in (kept, half):
        os.utime(file, (old, old))
    await retain(yard.context)
    assert set(directory.iterdir()) == {kept, young}
    yard.clock.ahead += sources.KEPT_FOR + timedelta(minutes=1)
    await retain(yard.context)
    assert set(directory.iterdir()) == {young}


async def test_what_was_taken_in_stays_for_as_long_as_anything_is_built_of_it(yard: Yard) -> None:
    app, mirror = await yard.app(), yard.context.source.mirror(NO_REPOSITORY, Trust.SENT)
    going_on = yard.platform.hold["sandboxed"] = asyncio.Event()
    await ask(yard, app, source_id=await sent(yard))
    building = asyncio.ensure_future(work(yard.context, app.id))
    await until(lambda: bool(yard.platform.building))
    await retain(yard.context)
    assert mirror.exists()
    going_on.set()
    await asyncio.wait_for(building, 30)
    assert await serves(yard, app) is not None
    await retain(yard.context)
    assert not mirror.exists()


def enactor(yard: Yard) -> Enactor:
    return Enactor(db=yard.db, vault=yard.context.vault, queue=yard.bell)


async def cancel(yard: Yard, app_id: str, request: QueuedRequest) -> None:
    await enactor(yard).cancel_build(app_id=app_id, build_id=request.id, actor="user:ada@acme.example")


async def cancelled_while_building(yard: Yard, app: App, asked: QueuedRequest) -> Build:
    """Cancel a build that has come to its sandbox; returns once its worker has let go."""
    yard.platform.hold["sandboxed"] = asyncio.Event()
    building = asyncio.ensure_future(work(yard.context, app.id))
    await until(lambda: bool(yard.platform.building))
    await cancel(yard, app.id, asked)
    await asyncio.wait_for(building, 30)
    build = await yard.see(lambda conn: builds.of_request(conn, asked.id))
    assert build is not None
    return build


async def test_a_build_that_runs_is_ended_with_its_sandbox_and_nothing_of_it_is_released(yard: Yard) -> None:
    app = await yard.app()
    await built(yard, app)
    asked = await ask(yard, app, source_id=await sent(yard, FILES | {"more": "text"}))
    build = await cancelled_while_building(yard, app, asked)
    assert ((await yard.request(asked.id)).state, build.state) == (RequestState.CANCELLED, BuildState.CANCELLED)
    assert yard.platform.building == set()
    assert list((yard.context.workshop.data / "builds").iterdir()) == []
    assert [each.version for each in await yard.see(lambda conn: releases.of_app(conn, app.id))] == [1]
    del yard.platform.hold["sandboxed"]
    await built(yard, app, FILES | {"next": "text"})
    release = await serves(yard, app)
    assert release is not None
    assert release.version == 2


async def test_a_build_that_rests_until_github_is_back_is_ended_and_the_next_begins_at_once(yard: Yard) -> None:
    app, sha = await yard.app(), await head(yard)
    branch = yard.repository.default_branch
    wanted = Deploy(repository_id=yard.repository.id, sha=sha, branch=branch, trust=Trust.OWN)
    resting = await ask(yard, app, url="https://files.example/x.tgz")

    await work(replace(yard.context, downloads=Away()), app.id)
    assert (await yard.request(resting.id)).state is RequestState.RUNNING
    await cancel(yard, app.id, resting)
    asked = await yard.do(lambda tx: tx.request(app.id, wanted, reason="by hand", by_person=True))
    await work(yard.context, app.id)
    assert (await yard.request(asked.id)).state is RequestState.SUCCEEDED


async def test_what_was_cancelled_is_not_deployed_again_by_itself_and_github_is_told(yard: Yard) -> None:
    app, sha = await yard.app("shop-staging", Stage.STAGING), await head(yard)
    await yard.do(
        lambda tx: apps.update(
            tx.conn,
            app=app,
            now=tx.now,
            auto_deploy=True,
            auto_deploy_branch=yard.repository.default_branch,
            repository_id=yard.repository.id,
        )
    )
    await audited(yard)
    await yard.calm()
    (asked,) = await yard.see(lambda conn: requests.open_of(conn, app.id))
    assert (asked.kind, asked.sha) == ("Deploy", sha)
    await cancelled_while_building(yard, app, asked)
    await yard.calm()
    assert await yard.see(lambda conn: requests.open_of(conn, app.id)) == []
    subject = Subject(SubjectKind.AUTO_DEPLOY, app.id)
    (verdict,) = await yard.see(lambda conn: subjects.verdicts(conn, [subject]))
    assert verdict.reason == f"deploy of {sha[:7]} was cancelled; push a new commit or deploy it again"
    check = (await yard.check(sha)).wanted
    assert (check["status"], check["conclusion"]) == ("completed", "neutral")
    assert "cancelled by ada@" in str(check["summary"])
    del yard.platform.hold["sandboxed"]
    newer = await head(yard, {"page": "newer"})
    await audited(yard)
    await yard.calm()
    assert [each.sha for each in await yard.see(lambda conn: requests.open_of(conn, app.id))] == [newer]


async def test_a_review_app_whose_first_build_is_cancelled_has_failed_and_says_who_did(yard: Yard) -> None:
    sha = await head(yard)
    review = await yard.review("branch:topic", state=ReviewState.CREATING, sha=sha)
    app = await yard.see(lambda conn: apps.get(conn, review.app_id or ""))
    assert app is not None
    wanted = Deploy(repository_id=yard.repository.id, sha=sha, branch="topic", trust=Trust.OWN)
    asked = await yard.do(lambda tx: tx.request(app.id, wanted, reason="asked", by_person=True))
    await cancelled_while_building(yard, app, asked)
    now = await yard.see(lambda conn: reviews.get(conn, review.id))
    assert now is not None
    assert (now.state, now.reason) == (ReviewState.FAILED, "cancelled by ada@acme.example")


async def test_a_review_app_takes_no_packed_source(yard: Yard) -> None:
    review = await yard.review()
    archive = DeployArchive(source_id="x", shown="the source that was sent")
    with pytest.raises(Refused, match="is a review app: it is built from its pull request or branch alone"):
        await enactor(yard).deploy_archive(app_id=review.app_id or "", archive=archive, url="", actor="user:ada")
