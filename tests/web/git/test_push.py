"""`git push` to an app: the real git, the real server, and a hand that does what a worker would."""

import asyncio
import gzip
import json
import os
from pathlib import Path

import pytest

from tests.waiting import until
from tests.web.git.conftest import app_id, asked_for, post, pushed
from tests.web.git.pushing import (
    NOTHING,
    Clone,
    address,
    asking,
    basic,
    commit,
    end,
    make_tag,
    object_id,
    pack,
    packs,
    tree,
    worked,
)
from tests.web.serving import Server

pytestmark = pytest.mark.asyncio(loop_scope="module")

DECLINED = "[remote rejected] main -> main (pre-receive hook declined)"


async def test_a_push_is_built_and_released_while_the_developer_reads_it(
    server: Server, app: str, clone: Clone
) -> None:
    said = await pushed(server, clone, output="-----> Python app detected\n", release_phase=True)
    assert said.code == 0, said.text
    order = [
        "-----> Python app detected",
        "Releasing v1",
        "migrating",
        "Released v1",
        "deployed to Towpath",
        "Verifying deploy... done.",
    ]
    places = [said.remote.index(each) for each in order]
    assert places == sorted(places), said.remote
    assert "main -> main" in said.text
    (build,) = await server.get(f"/apps/{app}/builds")
    sha = await clone.head()
    assert (build["source_blob"]["version"], build["status"]) == (sha, "succeeded")
    assert (await server.get(f"/apps/{app}/releases/1"))["slug"]["id"] == build["slug"]["id"]
    actions = [each["action"] for each in await server.get(f"/activity?app={app}")]
    assert {"pushed", "requested"} <= set(actions)

    again = await pushed(server, clone)
    assert (again.code, "Everything up-to-date" in again.text) == (0, True), again.text
    assert len(await asked_for(server, app)) == 1


async def test_what_was_pushed_is_cloned_and_fetched_by_who_sees_the_app(
    server: Server, app: str, clone: Clone, tmp_path: Path
) -> None:
    empty = await clone.says("clone", "--quiet", address(server, app), str(tmp_path / "empty"))
    assert (empty.code, "empty repository" in empty.text) == (0, True), empty.text
    await pushed(server, clone)
    for protocol in ("0", "2"):
        other = Clone(path=tmp_path / f"other-{protocol}")
        await clone.git("-c", f"protocol.version={protocol}", "clone", "--quiet", address(server, app), str(other.path))
        assert await other.head() == await clone.head()
        assert await other.git("branch", "--show-current") == "main"
    newer = await clone.commit({"page": "newer"})
    await pushed(server, clone)
    await other.git("fetch", "--quiet", "origin")
    assert await other.git("rev-parse", "origin/main") == newer


@pytest.mark.parametrize(
    ("refs", "verdict", "words"),
    [
        pytest.param(
            ["main:refs/heads/topic"], "topic (only main and master are deployed)", "git push REMOTE topic:main", id="a branch"
        ),
        pytest.param(
            ["main:main", "main:master"], "main -> main (one branch at a time)", "push one of them", id="main and master"
        ),
        pytest.param([":main"], "main (deletion prohibited)", "towpath apps:destroy", id="a deletion"),
        pytest.param(["main:refs/notes/x"], "(only branches and tags are taken)", "", id="notes"),
    ],
)  # fmt: skip
async def test_what_is_not_deployed_is_refused_by_name_with_what_to_do(
    server: Server, app: str, clone: Clone, refs: list[str], verdict: str, words: str
) -> None:
    if refs == [":main"]:
        await pushed(server, clone)
    before = len(await asked_for(server, app))
    said = await pushed(server, clone, "towpath", *refs)
    assert said.code == 1
    assert verdict in said.text
    assert words in said.remote
    assert len(await asked_for(server, app)) == before


async def test_master_is_deployed_as_main_is(server: Server, app: str, clone: Clone) -> None:
    said = await pushed(server, clone, "towpath", "main:master")
    assert (said.code, "Verifying deploy... done." in said.remote) == (0, True), said.text


async def test_tags_come_with_a_push_and_are_kept(server: Server, app: str, clone: Clone) -> None:
    make_tag(clone.path, "v1")
    said = await pushed(server, clone, "--follow-tags", "towpath", "main")
    assert said.code == 0, said.text
    alone = await clone.commit({"page": "two"})
    make_tag(clone.path, "v2")
    said = await pushed(server, clone, "towpath", "v2")
    assert (said.code, "Tags are kept; what is pushed to main or master is deployed." in said.remote) == (0, True)
    assert len(await asked_for(server, app)) == 1
    assert alone in await clone.git("ls-remote", "towpath")
    assert (await pushed(server, clone, "towpath", ":v2")).code == 0
    assert "v2" not in await clone.git("ls-remote", "towpath")
    # A tag is no commit that a branch could be at.
    said = await pushed(server, clone, "towpath", "+v1:refs/heads/main")
    assert said.code == 1, said.text


async def test_a_build_that_fails_rejects_the_push_and_it_can_be_repeated(
    server: Server, app: str, clone: Clone
) -> None:
    said = await pushed(server, clone, fail="build", output=" !     No such package\n")
    assert said.code == 1
    assert DECLINED in said.text
    for words in ("No such package", "no Procfile", "Verifying deploy... failed.", f"Push rejected to {app}."):
        assert words in said.remote
    assert await clone.git("ls-remote", "towpath") == ""
    assert (await pushed(server, clone)).code == 0
    assert await clone.head() in await clone.git("ls-remote", "towpath")


async def test_a_release_phase_that_fails_is_told_and_the_commit_is_accepted(
    server: Server, app: str, clone: Clone
) -> None:
    said = await pushed(server, clone, fail="release", release_phase=True)
    assert said.code == 0, said.text
    for words in ("release command exited with 1", "Verifying deploy... failed.", f"towpath releases:retry -a {app}"):
        assert words in said.remote
    assert await clone.head() in await clone.git("ls-remote", "towpath")


async def test_of_two_pushes_at_once_one_waits_for_nobody_and_the_other_is_told(
    server: Server, app: str, clone: Clone, tmp_path: Path
) -> None:
    other = await Clone.new(tmp_path / "other", address(server, app), {"Procfile": "web: ./other\n"})
    first = await clone.start("push", "towpath", "main")
    await until(lambda: asked_for(server, app), what="the first push is in the queue")
    late = await other.says("push", "towpath", "main")
    assert late.code == 1
    assert DECLINED in late.text
    assert f"Another push to {app} ({(await clone.head())[:7]} by " in late.remote
    # Whoever pushes the same again follows the same deploy.
    same = await clone.start("push", "towpath", "main")
    both = await asyncio.gather(worked(server, first), worked(server, same))
    assert [each.code for each in both] == [0, 0], both
    assert len(await asked_for(server, app)) == 1
    # Now it is in the way of what was not made on top of it, as everywhere; by force it goes.
    late = await other.says("push", "towpath", "main")
    assert (late.code, "fetch first" in late.text) == (1, True), late.text
    forced = await pushed(server, other, "--force", "towpath", "main")
    assert forced.code == 0, forced.text
    assert await other.head() in await other.git("ls-remote", "towpath")


async def test_a_push_waits_for_what_was_asked_for_before_and_says_so(server: Server, app: str, clone: Clone) -> None:
    await server.call("PATCH", f"/apps/{app}/config-vars", {"A": "1"}, expect=200)
    process = await clone.start("push", "towpath", "main")
    await until(lambda: _queued(server, app, 2), what="the push is in the queue")
    lines: list[str] = []
    assert process.stdout is not None
    while not lines or "Waiting for what was asked for before: Set A config vars" not in lines[-1]:
        lines.append((await asyncio.wait_for(process.stdout.readline(), 10)).decode())
    assert (await worked(server, process)).code == 0


async def _queued(server: Server, app: str, number: int) -> bool:
    return len(await asked_for(server, app)) == number


async def test_a_client_that_looked_before_somebody_else_pushed_is_told_to_fetch(
    server: Server, app: str, clone: Clone
) -> None:
    await pushed(server, clone)
    blob = b"page\n"
    root = tree(("100644", "page", object_id("blob", blob)))
    objects = [("blob", blob), ("tree", root), ("commit", commit(object_id("tree", root)))]
    sha = object_id("commit", objects[-1][1])
    _, answer = await post(server, app, asking((NOTHING, sha, "refs/heads/main")) + pack(*objects))
    assert b"ng refs/heads/main fetch first" in answer
    assert b"has moved since" in answer or b"Somebody else has pushed" in answer
    # Who pushes what is there by now has what they want.
    _, answer = await post(server, app, asking((NOTHING, await clone.head(), "refs/heads/main")) + pack())
    assert b"ok refs/heads/main" in answer
    assert b"has been pushed already." in answer
    assert len(await asked_for(server, app)) == 1


async def test_a_locked_app_refuses_with_the_words_of_the_lock_and_no_way_past_it(
    server: Server, app: str, clone: Clone
) -> None:
    await server.call("POST", f"/apps/{app}/deploy-locks", {"reason": "for the audit"}, expect=201)
    said = await pushed(server, clone)
    assert said.code == 1
    assert DECLINED in said.text
    assert "for the audit. Take the lock off (towpath unlock -a " in said.remote
    assert "override" not in said.remote
    assert await asked_for(server, app) == []


async def test_who_goes_away_while_it_is_sent_leaves_nothing(
    server: Server, app: str, clone: Clone, pushes: Path
) -> None:
    sha, identity = await clone.head(), await app_id(server, app)
    _, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    head = (
        f"POST /{app}.git/git-receive-pack HTTP/1.1\r\nHost: x\r\nAuthorization: {basic(server)}\r\nContent-Length: 99999\r\n"
        "Content-Type: application/x-git-receive-pack-request\r\n\r\n"
    )
    writer.write(head.encode() + asking((NOTHING, sha, "refs/heads/main")) + pack(("blob", b"half"))[:20])
    await writer.drain()
    await until(lambda: list(pushes.glob(f"{identity}.git/incoming-*")), what="it is being taken in")
    writer.close()
    await until(lambda: not list(pushes.glob(f"{identity}.git/incoming-*")), what="nothing is left of it")
    assert list(pushes.glob(f"{identity}.git/objects/pack/*")) == []
    assert (await pushed(server, clone)).code == 0


async def test_who_goes_away_while_it_is_built_finds_it_done(server: Server, app: str, clone: Clone) -> None:
    process = await clone.start("push", "towpath", "main")
    await until(lambda: asked_for(server, app), what="the push is in the queue")
    await end(process)
    await server.work()
    again = await pushed(server, clone)
    assert (again.code, "Everything up-to-date" in again.text) == (0, True), again.text
    assert (await server.get(f"/apps/{app}/releases/1"))["status"] == "succeeded"


async def test_an_app_is_pushed_to_under_its_new_name_too(
    server: Server, app: str, clone: Clone, tmp_path: Path
) -> None:
    await pushed(server, clone)
    await server.call("PATCH", f"/apps/{app}", {"name": f"{app}-x"}, expect=200)
    assert (await clone.says("ls-remote", "towpath")).code != 0
    await clone.git("remote", "set-url", "towpath", address(server, f"{app}-x"))
    assert "Everything up-to-date" in (await pushed(server, clone)).text


async def test_a_push_larger_than_is_taken_says_so(server: Server, app: str, clone: Clone, pushes: Path) -> None:
    await clone.commit({"data": bytes(range(256)) + os.urandom(3_000_000)})
    before = packs(pushes)
    said = await pushed(server, clone)
    assert said.code == 1
    assert "main -> main (unpacker error)" in said.text
    assert "larger than 1 MB, which is the most that is taken at once" in said.remote
    assert packs(pushes) == before
    assert await asked_for(server, app) == []


async def test_a_push_in_many_parts_is_taken_as_it_comes(server: Server, app: str, clone: Clone) -> None:
    await clone.commit({"data": os.urandom(600_000)})
    said = await worked(server, await clone.start("-c", "http.postBuffer=65536", "push", "towpath", "main"))
    assert said.code == 0, said.text


async def test_a_shallow_clone_of_elsewhere_is_told_to_get_the_rest(
    server: Server, app: str, clone: Clone, tmp_path: Path
) -> None:
    await clone.commit({"page": "two"})
    shallow = Clone(path=tmp_path / "shallow")
    await clone.git("clone", "--quiet", "--depth=1", f"file://{clone.path}", str(shallow.path))
    await shallow.git("remote", "add", "towpath", address(server, app))
    said = await pushed(server, shallow)
    assert said.code == 1
    assert "main -> main (shallow update not allowed)" in said.text
    assert "git fetch --unshallow" in said.remote
    await pushed(server, clone)
    # One of the app itself has all that is needed.
    own = Clone(path=tmp_path / "own")
    await clone.git("clone", "--quiet", "--depth=1", address(server, app), str(own.path))
    await own.commit({"page": "three"})
    said = await pushed(server, own, "origin", "main")
    assert said.code == 0, said.text


async def test_what_comes_packed_or_asks_before_it_sends_is_understood(server: Server, app: str) -> None:
    status, answer = await post(server, app, b"0000")
    assert (status, answer) == (200, b"")
    status, answer = await post(server, app, gzip.compress(b"0000"), **{"Content-Encoding": "gzip"})
    assert (status, answer) == (200, b"")
    status, answer = await post(server, app, b"0000", Expect="100-continue")
    assert (status, answer) == (200, b"")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"00",
        b"zzzz",
        b"0003",
        b"0020abc",
        b"fff5",
        asking(("x", "y", "z")),
        asking((NOTHING, "1" * 40, "refs/heads/main"))[:-4],
    ],
)
async def test_what_no_git_says_is_a_bad_request(server: Server, app: str, body: bytes) -> None:
    status, answer = await post(server, app, body)
    assert status == 400, answer
    assert json.loads(answer)["message"].startswith("This is no push of git")
