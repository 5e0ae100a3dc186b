"""Pushes that mean harm, and those of people who may not."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.web.git.conftest import asked_for, post, pushed
from tests.web.git.pushing import (
    NOTHING,
    Clone,
    address,
    asking,
    bomb,
    commit,
    line,
    object_id,
    pack,
    packs,
    tree,
)
from tests.web.serving import Server

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGE = b"page\n"
PAGE_ID = object_id("blob", PAGE)


def of_tree(*entries: tuple[str, str, str], blobs: tuple[bytes, ...] = ()) -> tuple[str, bytes]:
    """A commit of that tree: (its name, its pack)."""
    root = tree(*entries)
    made = commit(object_id("tree", root))
    objects = [*(("blob", each) for each in (PAGE, *blobs)), ("tree", root), ("commit", made)]
    return object_id("commit", made), pack(*objects)


def damaged(at: int) -> tuple[str, bytes]:
    sha, content = of_tree(("100644", "page", PAGE_ID))
    return sha, content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]


LINK = b"/etc/passwd"
MODULES = b'[submodule "x"]\n\tpath = x\n\turl = -u./payload\n'
HOSTILE: dict[str, tuple[tuple[str, bytes], str]] = {
    "a directory .git": (of_tree(("40000", ".git", object_id("tree", b""))), "hasDotgit"),
    "a .git as a Mac would find it": (of_tree(("100644", ".g\u200cit", PAGE_ID)), "hasDotgit"),
    "a .git as Windows would find it": (of_tree(("100644", "git~1", PAGE_ID)), "hasDotgit"),
    "a directory above": (of_tree(("100644", "..", PAGE_ID)), "hasDotdot"),
    "a name with a slash": (of_tree(("100644", "a/b", PAGE_ID)), "fullPathname"),
    "a name twice": (of_tree(("100644", "a", PAGE_ID), ("100644", "a", PAGE_ID)), "duplicateEntries"),
    "submodules by a link": (
        of_tree(("120000", ".gitmodules", object_id("blob", LINK)), blobs=(LINK,)),
        "gitmodulesSymlink",
    ),
    "a submodule whose address is an option": (
        of_tree(("100644", ".gitmodules", object_id("blob", MODULES)), blobs=(MODULES,)),
        "gitmodulesUrl",
    ),
    "a commit without its files": (
        (object_id("commit", commit("1" * 40)), pack(("commit", commit("1" * 40)))),
        "",
    ),
    "a commit that is not in it": (("1" * 40, pack(("blob", PAGE))), "missing"),
    "a pack that is damaged": (damaged(20), ""),
    "a pack whose sum is wrong": (damaged(-1), ""),
    "half a pack": ((of_tree(("100644", "page", PAGE_ID))[0], of_tree(("100644", "page", PAGE_ID))[1][:60]), ""),
    "no pack at all": (("1" * 40, b"GET / HTTP/1.1\r\n\r\n"), "pack"),
    "nothing": (("1" * 40, b""), ""),
    "a few bytes that say they are four gigabytes": (
        ("1" * 40, pack(("blob", b"a"), raw=(bomb(object_id("blob", b"a"), size=4 << 30),))),
        "too large",
    ),
}


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_a_hostile_pack_is_refused_and_leaves_nothing(
    server: Server, app: str, pushes: Path, hostile: str
) -> None:
    (sha, content), words = HOSTILE[hostile]
    before = packs(pushes)
    status, answer = await post(server, app, asking((NOTHING, sha, "refs/heads/main")) + content)
    assert status == 200
    assert b"ng refs/heads/main unpacker error" in answer
    assert words.encode() in answer
    assert packs(pushes) == before
    assert await asked_for(server, app) == []


ENDLESS = {
    "names that fill the memory": b"".join(
        line(f"{NOTHING} {'1' * 40} refs/tags/{number}".encode() + b"x" * 60_000) for number in range(20)
    ),
    "ends of a history that has no end": line(b"shallow " + b"1" * 40) * 100_001,
}


@pytest.mark.parametrize("asked", ENDLESS.values(), ids=ENDLESS)
async def test_a_push_that_goes_on_and_on_before_its_objects_is_refused(server: Server, app: str, asked: bytes) -> None:
    status, answer = await post(server, app, asked + b"0000")
    assert status == 400, answer
    assert b"send fewer at a time" in answer or b"git fetch --unshallow" in answer


async def test_a_small_pack_of_much_is_taken_in_little_memory(server: Server, app: str) -> None:
    """A gigabyte of nothing is a megabyte, and what is not unpacked costs nothing."""
    blob = bytes(50 << 20)
    root = tree(("100644", "data", object_id("blob", blob)))
    made = commit(object_id("tree", root))
    content = await asyncio.to_thread(pack, ("blob", blob), ("tree", root), ("commit", made))
    _, answer = await post(server, app, asking((NOTHING, object_id("commit", made), "refs/tags/big")) + content)
    assert b"ok refs/tags/big" in answer


async def test_links_out_of_the_tree_are_taken_as_what_they_are(server: Server, app: str) -> None:
    sha, content = of_tree(("120000", "passwd", object_id("blob", LINK)), blobs=(LINK,))
    _, answer = await post(server, app, asking((NOTHING, sha, "refs/tags/link")) + content)
    assert b"ok refs/tags/link" in answer


async def test_old_histories_with_harmless_flaws_are_taken(server: Server, app: str) -> None:
    sub = tree(("100644", "page", PAGE_ID))
    root = tree(("040000", "sub", object_id("tree", sub)))
    who = b"A <a@example.test> 1700000000 +051800"
    made = b"tree %b\nauthor %b\ncommitter %b\n\nold\n" % (object_id("tree", root).encode(), who, who)
    content = pack(("blob", PAGE), ("tree", sub), ("tree", root), ("commit", made))
    _, answer = await post(server, app, asking((NOTHING, object_id("commit", made), "refs/tags/old")) + content)
    assert b"ok refs/tags/old" in answer


async def test_nothing_in_a_repository_is_executed(server: Server, app: str, clone: Clone, pushes: Path) -> None:
    """Not even what somebody has put beside its objects."""
    assert (await pushed(server, clone)).code == 0
    identity = (await server.get(f"/apps/{app}"))["id"]
    at, told = pushes / f"{identity}.git", pushes / "executed"
    (at / "hooks").mkdir(exist_ok=True)
    for name in ("pre-receive", "update", "post-update", "post-receive", "reference-transaction", "proc-receive"):
        (at / "hooks" / name).write_text(f"#!/bin/sh\ntouch {told}\n")
        (at / "hooks" / name).chmod(0o755)
    await clone.commit({"page": "two"})
    assert (await pushed(server, clone)).code == 0
    await clone.git("fetch", "--quiet", "towpath")
    assert not told.exists()


async def test_a_token_that_is_none_is_asked_for_again(server: Server, app: str, clone: Clone) -> None:
    for token in ("wrong", ""):
        said = await clone.says("push", address(server, app, token), "main")
        assert said.code == 128
        assert "Authentication failed" in said.text or "could not read Password" in said.text, said.text
    async with server.session.get(f"{server.url}/{app}.git/info/refs?service=git-receive-pack") as response:
        assert response.status == 401
        assert response.headers["WWW-Authenticate"] == 'Basic realm="Towpath", charset="UTF-8"'


async def _token(server: Server, **body: Any) -> str:
    made, _ = await server.call("POST", "/oauth/authorizations", {"description": "x", **body}, expect=201)
    return str(made["access_token"]["token"])


async def test_a_token_that_only_reads_fetches_and_does_not_push(server: Server, app: str, clone: Clone) -> None:
    token = await _token(server, scope=["read"])
    assert (await clone.says("ls-remote", address(server, app, token))).code == 0
    said = await clone.says("push", address(server, app, token), "main")
    assert said.code == 128
    assert "This token may only read: a push takes one that may write." in said.remote
    assert "403" in said.text


async def test_an_app_of_others_is_not_there_and_one_to_look_at_is_not_to_be_pushed_to(
    server: Server, app: str, clone: Clone
) -> None:
    email = f"{app}@example.com"
    made, _ = await server.call("POST", "/users", {"email": email}, expect=201)
    token = made["access_token"]["token"]
    for command in (("push", address(server, app, token), "main"), ("ls-remote", address(server, app, token))):
        said = await clone.says(*command)
        assert said.code == 128
        assert f"/{app}.git/' not found" in said.text, said.text
    body = {"user": email, "permissions": ["view"]}
    await server.call("POST", f"/apps/{app}/collaborators", body, expect=201)
    assert (await clone.says("ls-remote", address(server, app, token))).code == 0
    said = await clone.says("push", address(server, app, token), "main")
    assert "You do not have the permission for this; it takes deploy." in said.remote


async def test_production_takes_the_right_to_promote_as_well(server: Server, app: str, clone: Clone) -> None:
    pipeline = await server.pipeline(f"p-{app[-8:]}", connected=False)
    body = {"app": app, "pipeline": pipeline["id"], "stage": "production"}
    await server.call("POST", "/pipeline-couplings", body, expect=201)
    made, _ = await server.call("POST", "/users", {"email": f"{app}@example.com"}, expect=201)
    body = {"user": f"{app}@example.com", "permissions": ["deploy"]}
    await server.call("POST", f"/apps/{app}/collaborators", body, expect=201)
    said = await clone.says("push", address(server, app, made["access_token"]["token"]), "main")
    assert said.code == 128
    assert "it takes promote" in said.remote


@pytest.mark.parametrize(
    "path",
    ["info/refs", "info/refs?service=git-upload-archive", "git-receive-pack", "git-upload-pack", "HEAD", "config"],
)
async def test_what_is_not_git_s_smart_protocol_is_answered_in_the_api_s_words(
    server: Server, app: str, path: str
) -> None:
    method = "POST" if "pack" in path and "?" not in path else "GET"
    said, response = await server.call(method, f"/{app}.git/{path}", b"{" if method == "POST" else None)
    assert response.status == (404 if path in {"HEAD", "config"} else 400)
    assert set(said) == {"id", "message"}
