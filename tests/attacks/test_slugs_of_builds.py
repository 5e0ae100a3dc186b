"""What a hostile build leaves to be packed: links, devices, bits and names reach neither the host nor another app."""

import asyncio
import os
import shutil
import stat
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from service.domain.errors import Refused
from service.domain.model import Trust
from tests.attacks.conftest import Crowd
from workers.builds.files import read_regular
from workers.builds.slug import SlugStore
from workers.platforms.base import Bind

pytestmark = pytest.mark.asyncio(loop_scope="module")

LEAVES = """
cd /app
mkdir farm && for i in $(seq 300); do ln -s $((i + 1)) farm/$i; done; ln -s 1 farm/301
ln -s . self; ln -s .. above; ln -s / root; ln -s /etc/passwd passwd; ln -s SECRET secret; ln -s ../../../secret.keys up
echo x > one; ln one two; ln one farm/three
echo '#!/bin/sh' > suid; chmod 6755 suid; mkdir sticky; chmod 7777 sticky
mkdir shut; echo x > shut/in; chmod 000 shut/in shut
mkfifo pipe; mknod disk b 8 0; mknod null c 1 3
python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("/app/socket")'
printf x > "$(printf 'a\\nb')"; printf x > "$(printf '\\377\\376')"; printf x > ./-rf; mkdir .git; echo x > .git/config
ln -s /proc/self/environ Procfile; ln -s SECRET app.json
exit 0
"""
CLOSED = ("shut", "shut/in")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tree(crowd: Crowd) -> AsyncIterator[Path]:
    """Build it once; yields what the build left."""
    data = crowd.engine.data
    (data / "secret.keys").write_text("secret")
    (data / "secret.keys").chmod(0o600)
    place = data / "work/builds/hostile"
    place.mkdir(parents=True)
    script = LEAVES.replace("SECRET", str(data / "secret.keys"))
    code, _ = await crowd.engine.build(script, Bind(host=place, inside="/app", writable=True), name="leaves")
    assert code == 0
    yield place
    await crowd.engine.platform.forget("leaves")


def _copy(tree: Path, copy: Path) -> None:
    """Copy all of it with its modes, also what the build closed to everybody but root."""
    for name in CLOSED:
        (tree / name).chmod(0o700)
    subprocess.run(["cp", "--archive", tree, copy], check=True)
    for name in reversed(CLOSED):
        (tree / name).chmod(0)
        (copy / name).chmod(0)


async def packed(crowd: Crowd, tree: Path) -> Path:
    """The slug of a copy of it, unpacked from its blob, as on a machine that did not build it."""
    copy = crowd.engine.data / "work/builds/copy"
    await asyncio.to_thread(shutil.rmtree, copy, ignore_errors=True)
    await asyncio.to_thread(_copy, tree, copy)
    store = SlugStore(data=crowd.engine.data / "work")
    blob = await store.add(copy, trust=Trust.OWN)
    await asyncio.to_thread(shutil.rmtree, await store.unpacked(Trust.OWN, blob.sha256))
    return await store.unpacked(Trust.OWN, blob.sha256)


async def test_the_build_left_what_it_was_asked_to(crowd: Crowd, tree: Path) -> None:
    """Else the others prove nothing: all but devices can be made."""
    names = {path.name for path in tree.iterdir()}
    assert {"self", "root", "secret", "two", "suid", "pipe", "socket", "a\nb", "-rf", ".git"} <= names
    assert not {"disk", "null"} & names
    assert (tree / "one").stat().st_nlink == 3


async def test_all_of_it_is_given_back_to_the_runner_s_user_and_nothing_outside_was_touched(
    crowd: Crowd, tree: Path
) -> None:
    for path in (tree, *tree.rglob("*")):
        assert path.lstat().st_uid == os.geteuid(), path
    kept = crowd.engine.data / "secret.keys"
    assert (kept.stat().st_uid, stat.S_IMODE(kept.stat().st_mode)) == (os.geteuid(), 0o600)
    assert stat.S_IMODE(Path("/etc/passwd").stat().st_mode) == 0o644


async def test_the_slug_holds_plain_files_folders_and_links_as_words(crowd: Crowd, tree: Path) -> None:
    slug = await packed(crowd, tree)
    for path in slug.rglob("*"):
        mode = path.lstat().st_mode
        assert stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode), path
        assert stat.S_ISLNK(mode) or stat.S_IMODE(mode) in {0o755, 0o644}, path
        assert not stat.S_ISREG(mode) or path.lstat().st_nlink == 1, path
    assert (slug / "secret").readlink() == crowd.engine.data / "secret.keys"


async def test_links_in_a_slug_lead_into_the_sandbox_of_its_app_and_nowhere_else(crowd: Crowd, tree: Path) -> None:
    slug = await packed(crowd, tree)
    look = "cat secret up app.json; cat passwd; ls root above; ls root/home; cat root/proc/1/environ; ls -la self/self/self | wc -l"
    code, output = await crowd.engine.run(look, app="links", slug_dir=slug)
    assert code == 0
    assert output.count("No such file or directory") >= 4, output
    assert "app:x:1000" in output
    assert Path("/etc/passwd").read_text().splitlines()[-1] not in output


@pytest.mark.parametrize("name", ["Procfile", "app.json", "passwd", "pipe", "socket", "self"])
async def test_our_own_reading_of_what_a_build_left_follows_nothing(name: str, tree: Path) -> None:
    with pytest.raises(Refused):
        read_regular(tree, name)
