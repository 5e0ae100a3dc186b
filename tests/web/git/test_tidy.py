"""The repositories of apps stay in order: what nobody wants any more goes, and what is wanted stays."""

import subprocess
from pathlib import Path

import pytest

from service.web.git import repository
from tests.waiting import until
from tests.web.git.conftest import app_id, asked_for, pushed
from tests.web.git.pushing import ENVIRONMENT, Clone, address
from tests.web.serving import Server

pytestmark = pytest.mark.asyncio(loop_scope="module")


def held(at: Path) -> set[str]:
    """The commits that are kept for their pushes."""
    done = subprocess.run(
        ["git", "-C", at, "for-each-ref", "--format=%(objectname)", "refs/pushed"], env=ENVIRONMENT, capture_output=True, check=True
    )  # fmt: skip
    return set(done.stdout.decode().split())


def there(at: Path, sha: str) -> bool:
    done = subprocess.run(["git", "-C", at, "cat-file", "-e", sha], env=ENVIRONMENT, capture_output=True, check=False)
    return done.returncode == 0


async def test_what_was_rejected_goes_and_what_is_deployed_stays(
    server: Server, app: str, clone: Clone, pushes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository, "_PACKS", 1)
    at = pushes / f"{await app_id(server, app)}.git"
    rejected = await clone.commit({"page": "bad"})
    assert (await pushed(server, clone, fail="build")).code == 1
    await until(lambda: held(at) == set(), what="what was rejected is kept no longer")
    await clone.git("reset", "--quiet", "--hard", "HEAD~1")
    shas = []
    for number in range(2):
        shas.append(await clone.commit({"page": str(number)}))
        assert (await pushed(server, clone)).code == 0
        await until(lambda: held(at) == {shas[-1]}, what="the newest is kept")
    await until(lambda: len(list(at.glob("objects/pack/*.pack"))) == 1, what="the packs are one")
    assert not there(at, rejected)
    assert all(there(at, sha) for sha in shas)
    other = Clone(path=tmp_path / "other")
    await clone.git("clone", "--quiet", address(server, app), str(other.path))
    assert await other.head() == shas[-1]


async def test_what_waits_to_be_built_is_kept_whatever_is_tidied(
    server: Server, app: str, clone: Clone, pushes: Path
) -> None:
    at = pushes / f"{await app_id(server, app)}.git"
    process = await clone.start("push", "towpath", "main")
    await until(lambda: asked_for(server, app), what="the push is in the queue")
    sha = await clone.head()
    assert (await clone.says("push", "towpath", "HEAD:refs/heads/topic")).code == 1  # tidied after
    assert held(at) == {sha}
    await server.work()
    assert await process.wait() == 0


async def test_what_a_killed_process_left_goes_with_the_next_push(
    server: Server, app: str, clone: Clone, pushes: Path
) -> None:
    assert (await pushed(server, clone)).code == 0
    left = pushes / f"{await app_id(server, app)}.git/incoming-left"
    left.mkdir()
    (left / "tmp_pack_1").touch()
    await clone.commit({"page": "two"})
    assert (await pushed(server, clone)).code == 0
    await until(lambda: not left.exists(), what="it is cleared away")
