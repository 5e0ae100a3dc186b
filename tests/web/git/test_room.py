"""Slow clients and repositories that are being tidied: nobody keeps others out, and who has to come again is told so."""

import asyncio
import fcntl
import io
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from service.web.git import push, repository, room
from tests.waiting import until
from tests.web.git.conftest import app_id, post, pushed
from tests.web.git.pushing import NOTHING, Clone, address, asking, basic, line, object_id, pack, packs
from tests.web.serving import Server

pytestmark = pytest.mark.asyncio(loop_scope="module")

HALF = asking((NOTHING, "1" * 40, "refs/tags/half")) + pack(("blob", b"half"))[:20]


@asynccontextmanager
async def slow(
    server: Server, app: str, service: str, content: bytes, *, length: int = 99_999, buffer: int = 0
) -> AsyncIterator[asyncio.StreamReader]:
    """A client that says it sends so many bytes, sends these and then waits; it takes `buffer` bytes at a time."""
    plug = socket.socket()
    if buffer:
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    plug.setblocking(False)
    await asyncio.get_running_loop().sock_connect(plug, ("127.0.0.1", int(server.url.rpartition(":")[2])))
    reader, writer = await asyncio.open_connection(sock=plug, limit=buffer or 1 << 16)
    head = (
        f"POST /{app}.git/{service} HTTP/1.1\r\nHost: x\r\nAuthorization: {basic(server)}\r\n"
        f"Content-Length: {length}\r\nContent-Type: application/x-{service}-request\r\n\r\n"
    )
    try:
        writer.write(head.encode() + content)
        await writer.drain()
        yield reader
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("most", "words"),
    [
        ("_AT_ONCE", "too many pushes and fetches are going on at this moment"),
        ("_SHARE", "1 pushes and fetches of your account are going on, which is the most at a time"),
    ],
)
async def test_what_there_is_no_room_for_is_told_to_come_again_on_the_terminal(
    server: Server, app: str, clone: Clone, pushes: Path, monkeypatch: pytest.MonkeyPatch, most: str, words: str
) -> None:
    assert (await pushed(server, clone)).code == 0
    await clone.commit({"data": os.urandom(600_000)})
    monkeypatch.setattr(room, most, 1)
    monkeypatch.setattr(room, "_WAIT_SECONDS", 0.2)
    identity = await app_id(server, app)
    async with slow(server, app, "git-receive-pack", HALF):
        await until(lambda: list(pushes.glob(f"{identity}.git/incoming-*")), what="the slow one has its place")
        said = await clone.says("push", "towpath", "main")
        assert said.code == 1, said.text
        assert "main -> main (try again)" in said.text
        assert f"{words}. Push again in a while." in said.remote
        said = await clone.says("fetch", "towpath")
        assert (said.code, f"remote error: {words}. Try again in a while." in said.text) == (128, True), said.text
        made, _ = await server.call("POST", "/users", {"email": f"{app}@example.com"}, expect=201)
        body = {"user": f"{app}@example.com", "permissions": ["view"]}
        await server.call("POST", f"/apps/{app}/collaborators", body, expect=201)
        other = await clone.says("ls-remote", address(server, app, made["access_token"]["token"]))
        assert (other.code == 0) == (most == "_SHARE"), other.text
        monkeypatch.setattr(room, "_WAIT_SECONDS", 30.0)
        waiting = await clone.start("fetch", "towpath")
    assert await asyncio.wait_for(waiting.wait(), 20) == 0, "the place of who went away is another's at once"


async def test_a_push_that_is_refused_is_answered_once_it_has_all_come_for_git_listens_no_sooner(
    server: Server, app: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "_AT_ONCE", 0)
    monkeypatch.setattr(room, "_WAIT_SECONDS", 0.0)
    async with slow(server, app, "git-receive-pack", HALF, length=len(HALF) + 1) as reader:
        answer = asyncio.ensure_future(reader.readuntil(b"try again"))
        assert not (await asyncio.wait({answer}, timeout=0.7))[0]
        monkeypatch.setattr(room, "HELD_SECONDS", 0.5)
    async with slow(server, app, "git-receive-pack", HALF, length=len(HALF) + 1) as late:
        assert b"200 OK" in await asyncio.wait_for(late.readuntil(b"try again"), 10), "but it is not waited for long"
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await answer


async def test_who_is_slow_to_say_what_they_fetch_takes_no_place(
    server: Server, app: str, clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await pushed(server, clone)).code == 0
    monkeypatch.setattr(room, "_AT_ONCE", 1)
    monkeypatch.setattr(room, "_WAIT_SECONDS", 0.2)
    async with slow(server, app, "git-upload-pack", b"0011command=fetch"):
        assert (await clone.says("fetch", "towpath")).code == 0


async def test_who_is_slow_to_say_what_they_push_is_answered_and_let_go(
    server: Server, app: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push, "_ASKING_SECONDS", 0.3)
    async with slow(server, app, "git-receive-pack", b"00") as reader:
        said = await asyncio.wait_for(reader.readuntil(b"try again"), 10)
    assert b" 400 " in said
    assert b"What is to be pushed took longer than 0 s to be said" in said


async def test_a_fetch_that_asks_for_more_than_it_can_want_is_refused(server: Server, app: str, clone: Clone) -> None:
    sent = {"Content-Type": "application/x-git-upload-pack-request", "Authorization": basic(server)}
    url = f"{server.url}/{app}.git/git-upload-pack"
    async with server.session.post(url, data=io.BytesIO(bytes(5 << 20)), headers=sent) as response:
        assert response.status == 413
        assert (await response.json())["message"].startswith("A fetch may ask with 4 MB")


async def test_a_push_that_takes_too_long_to_send_is_over_and_says_so(
    server: Server, app: str, pushes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "HELD_SECONDS", 0.5)
    before = packs(pushes)
    async with slow(server, app, "git-receive-pack", HALF) as reader:
        said = await asyncio.wait_for(reader.readuntil(b"unpacker error"), 10)
    assert b"it took longer than 0 minutes to send. Over a slow line, push a part of the history first" in said
    assert packs(pushes) == before


async def test_a_fetch_that_takes_too_long_to_receive_is_cut_off(
    server: Server, app: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = []
    for number in range(10):
        blob = os.urandom(900_000)
        wanted.append(object_id("blob", blob))
        asked = asking((NOTHING, wanted[-1], f"refs/tags/big-{number}"))
        assert b"ok refs/tags/" in (await post(server, app, asked + pack(("blob", blob))))[1]
    monkeypatch.setattr(room, "HELD_SECONDS", 1.0)
    monkeypatch.setattr(room, "_AT_ONCE", 1)
    asked = b"".join(line(b"want %b\n" % sha.encode()) for sha in wanted) + b"0000" + line(b"done\n")
    async with slow(server, app, "git-upload-pack", asked, length=len(asked), buffer=4096) as reader:
        assert b"200 OK" in await reader.readline()
        monkeypatch.setattr(room, "HELD_SECONDS", 60.0)
        late = Clone(path=Path("/"))
        said = await late.says("ls-remote", address(server, app))
        assert said.code == 0, said.text
        assert "big-9" in said.text
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await reader.readexactly(9_000_000)


async def test_a_push_to_a_repository_that_is_being_tidied_is_told_to_come_again(
    server: Server, app: str, clone: Clone, pushes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await pushed(server, clone)).code == 0
    await clone.commit({"data": os.urandom(600_000)})
    monkeypatch.setattr(repository, "_PATIENCE_SECONDS", 0.3)
    tidying = os.open(pushes / f"{await app_id(server, app)}.git", os.O_RDONLY)
    try:
        await until(lambda: _locked(tidying), what="nobody else has it")
        said = await clone.says("push", "towpath", "main")
        assert said.code == 1
        assert "main -> main (try again)" in said.text
        assert (
            "the app's repository is being tidied, which takes a minute or a few. Push again in a while." in said.remote
        )
    finally:
        os.close(tidying)
    assert (await pushed(server, clone)).code == 0


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
