"""Sources that are sent, what may be built of what lies where, and the end of a build that nobody wants."""

import asyncio
import gzip
import hashlib
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import select

from service.domain.model import RequestState
from service.store import activity, requests, sources
from service.store.secrets import request_context
from service.store.tables import requests as request_rows
from service.web.api import sources as api
from tests.waiting import until
from tests.web.serving import HEADS, Server

PACKED = gzip.compress(b"a tar, as far as it matters here")
SHA256 = hashlib.sha256(PACKED).hexdigest()
ADDRESS = "https://github.com/org/tool/archive/v3.tar.gz"


async def place(server: Server) -> tuple[str, str]:
    """A place to send something to, and the address by which it is built."""
    made, response = await server.call("POST", "/sources", expect=201)
    assert response.headers["Cache-Control"] == "no-store"
    assert made["source_blob"]["put_url"].startswith(f"{server.url}/sources/")
    return made["source_blob"]["put_url"], made["source_blob"]["get_url"]


async def put(server: Server, url: str, content: Any = PACKED, **headers: str) -> tuple[int, str]:
    """Send something without a token, as Heroku's clients do."""
    async with server.session.put(url, data=content, headers=headers) as response:
        return response.status, await response.text()


async def sent(server: Server) -> str:
    put_url, get_url = await place(server)
    assert await put(server, put_url) == (200, "")
    return get_url


async def build(server: Server, source: dict[str, Any], app: str = "example", **more: Any) -> Any:
    made, _ = await server.call("POST", f"/apps/{app}/builds", {"source_blob": source, **more}, expect=201)
    return made


def stored(tmp_path: Path) -> list[str]:
    directory = tmp_path / "sources"
    return sorted(path.name for path in directory.iterdir()) if directory.is_dir() else []


async def test_what_is_sent_once_is_built_by_its_address(server: Server, tmp_path: Path) -> None:
    await server.app("example")
    get_url = await sent(server)
    async with server.session.get(get_url) as response:
        assert (await response.read(), response.content_type) == (PACKED, "application/gzip")
    source = {"url": get_url, "version": "v1.2", "checksum": f"SHA256:{SHA256.upper()}"}
    made = await build(server, source)
    assert made["source_blob"] == {
        "checksum": f"SHA256:{SHA256}",
        "url": "",
        "version": "v1.2",
        "version_description": "deploy of v1.2",
    }
    assert (made["status"], await server.get("/apps/example/builds")) == ("pending", [made])
    request = await server.get(f"/requests/{made['id']}")
    assert (request["kind"], request["commit"], request["state"]) == ("DeployArchive", None, "queued")
    again = await build(server, {"url": get_url}, rebuild=True)
    assert again["source_blob"]["version_description"] == "rebuild of the source that was sent"
    await server.work()
    assert {it["status"] for it in await server.get("/apps/example/builds")} == {"succeeded"}
    assert len(stored(tmp_path)) == 1


async def test_the_place_of_an_app_is_one_like_any(server: Server) -> None:
    await server.app("example")
    made, _ = await server.call("POST", "/apps/example/sources", expect=201)
    assert (made["max_bytes"], set(made["source_blob"])) == (512 << 20, {"put_url", "get_url"})
    await server.call("POST", "/apps/nobody/sources", expect=404)


async def test_a_place_is_used_once(server: Server, tmp_path: Path) -> None:
    put_url, get_url = await place(server)
    assert await put(server, put_url) == (200, "")
    status, text = await put(server, put_url, gzip.compress(b"another"))
    assert (status, "already" in text) == (409, True)
    async with server.session.get(get_url) as response:
        assert await response.read() == PACKED


async def test_of_two_that_send_at_once_one_is_first_and_the_other_is_told(server: Server, tmp_path: Path) -> None:
    put_url, get_url = await place(server)
    contents = [gzip.compress(f"content {number}".encode() * 9000) for number in range(4)]
    ends = await asyncio.gather(*(put(server, put_url, content) for content in contents))
    assert sorted(status for status, _ in ends) == [200, 409, 409, 409]
    first = contents[[status for status, _ in ends].index(200)]
    async with server.session.get(get_url) as response:
        assert await response.read() == first
    assert len(stored(tmp_path)) == 1


BAD: dict[str, tuple[Any, int, str]] = {
    "nothing": (b"", 422, "empty"),
    "no gzip": (b"a tar", 422, "no tar.gz"),
    "one byte": (b"P", 422, "no tar.gz"),
    "too much, as is said": (PACKED + bytes(300), 413, "larger than"),
}


async def _pieces(content: bytes) -> Any:
    for at in range(0, len(content), 64):
        yield content[at : at + 64]


async def test_what_cannot_be_a_source_is_refused_and_the_place_is_free_still(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "LARGEST", 256)
    put_url, _ = await place(server)
    cases = {**BAD, "too much, as comes out": (_pieces(PACKED + bytes(300)), 413, "larger than")}
    for case, (content, expected, words) in cases.items():
        status, text = await put(server, put_url, content)
        assert (status, words in text) == (expected, True), f"{case}: {text}"
        assert stored(tmp_path) == [], case
    assert await put(server, put_url) == (200, "")


async def test_while_one_sends_nobody_else_does_and_what_breaks_off_can_be_sent_again(
    server: Server, tmp_path: Path
) -> None:
    put_url, _ = await place(server)
    parts = urlsplit(put_url)
    _, writer = await asyncio.open_connection(parts.hostname, parts.port)
    head = f"PUT {parts.path}?{parts.query} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
    writer.write(head.encode() + PACKED)
    await writer.drain()
    await until(lambda: len(stored(tmp_path)) == 2, what="it has begun")
    status, text = await put(server, put_url)
    assert (status, "being sent at this moment" in text) == (409, True)
    assert [name.partition("-")[0] for name in stored(tmp_path)] == [".new", ".sending"]
    writer.close()
    await until(lambda: not stored(tmp_path), what="nothing is left of it")
    assert await put(server, put_url) == (200, "")


async def test_an_address_opens_what_it_was_signed_for_and_nothing_else(server: Server) -> None:
    (put_url, get_url), (other, _) = await place(server), await place(server)
    where, key = put_url.partition("?")[0], urlsplit(put_url).query
    for method, of_the_other in (("PUT", get_url), ("GET", put_url)):
        wrong = {
            "the other address's key": of_the_other,
            "another source's key": f"{where}?{urlsplit(other).query}",
            "no key": where,
            "half a key": f"{where}?{key[:-2]}",
            "a source that is not there": f"{server.url}/sources/nowhere?{key}",
        }
        for case, url in wrong.items():
            async with server.session.request(method, url, data=PACKED if method == "PUT" else None) as response:
                assert response.status == 404, f"{method} with {case}"
    async with server.session.get(get_url) as response:
        assert (response.status, "Nothing has been sent" in await response.text()) == (404, True)


async def test_addresses_expire(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    await server.app("example")
    put_url, _ = await place(server)
    get_url = await sent(server)
    monkeypatch.setattr(sources, "GOOD_FOR", timedelta(seconds=-1))
    status, text = await put(server, put_url)
    assert (status, "expired" in text) == (404, True)
    error, _ = await server.call("POST", "/apps/example/builds", {"source_blob": {"url": get_url}}, expect=404)
    assert "expired" in error["message"]


async def test_nobody_fills_the_disk(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "MOST", 2)
    await place(server)
    await place(server)
    error, _ = await server.call("POST", "/sources", expect=422)
    assert error["message"].startswith("You have 2 sources here")
    monkeypatch.setattr(api, "MOST", 100)
    await sent(server)
    monkeypatch.setattr(api, "MOST_BYTES", len(PACKED))
    await server.call("POST", "/sources", expect=422)


async def test_places_count_as_full_for_as_long_as_they_may_be_filled(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "LARGEST", 1 << 20)
    monkeypatch.setattr(api, "MOST_BYTES", 2 << 20)
    await sent(server)
    await place(server)
    error, _ = await server.call("POST", "/sources", expect=422)
    assert error["message"].startswith("You have 2 sources here (0 MB), and 1 of them, to which nothing has been sent")
    monkeypatch.setattr(sources, "GOOD_FOR", timedelta(seconds=-601))
    await place(server)


async def test_what_an_address_holds_that_may_be_secret_is_kept_sealed_and_shown_to_nobody(server: Server) -> None:
    app = await server.app("example")
    url = f"{ADDRESS}?token=swordfish"
    made = await build(server, {"url": url, "version": "b" * 40, "checksum": f"sha256:{SHA256}"})
    assert made["source_blob"] == {
        "checksum": f"SHA256:{SHA256}",
        "url": ADDRESS,
        "version": "b" * 40,
        "version_description": f"deploy of {'b' * 40}",
    }
    row = (await server.db.read(lambda conn: list(conn.execute(select(request_rows)).mappings())))[0]
    assert server.vault.unseal(row["sealed"], request_context(app["id"])).decode() == url
    noted = await server.db.read(lambda conn: activity.listing(conn, app_id=app["id"], limit=9))
    assert "swordfish" not in f"{row} {noted} {made}"


async def test_archives_of_the_connected_repository_are_its_commits_and_those_of_others_are_fetched(
    server: Server,
) -> None:
    await server.pipeline(staging="example")
    ours = await build(server, {"url": "https://github.com/Acme/Shop/archive/main.tar.gz", "version": "v42"})
    assert ours["source_blob"]["version"] == HEADS["main"]
    theirs = await build(server, {"url": ADDRESS})
    assert (theirs["source_blob"]["version"], theirs["source_blob"]["url"]) == ("", ADDRESS)


REFUSED: dict[str, tuple[dict[str, str], str]] = {
    "another host": ({"url": "https://evil.example/x.tgz"}, "source_blob.url: evil.example is not a host"),
    "no TLS": ({"url": "http://github.com/x.tgz"}, "source_blob.url: sources are fetched by https alone"),
    "an address of the cloud": ({"url": "http://169.254.169.254/latest"}, "source_blob.url: "),
    "a password": ({"url": "https://u:hidden@github.com/x"}, "source_blob.url: the address of a source must hold no"),
    "a checksum of another kind": (
        {"url": ADDRESS, "checksum": "MD5:abc"},
        "source_blob.checksum: write it as SHA256:",
    ),
    "a version that steers a terminal": ({"url": ADDRESS, "version": "v1\x1b[2J"}, "source_blob.version: holds"),
    "no repository": ({"version": "main"}, "App example has no repository"),
}


async def test_what_cannot_be_built_is_refused_by_name(server: Server) -> None:
    await server.app("example")
    for case, (source, words) in REFUSED.items():
        error, _ = await server.call("POST", "/apps/example/builds", {"source_blob": source}, expect=422)
        assert error["message"].startswith(words), case
        assert "hidden" not in error["message"], case
    assert await server.get("/apps/example/builds") == []


async def test_a_source_is_built_only_when_it_is_there_and_what_it_was_said_to_be(server: Server) -> None:
    await server.app("example")
    _, get_url = await place(server)
    error, _ = await server.call("POST", "/apps/example/builds", {"source_blob": {"url": get_url}}, expect=422)
    assert error["message"].startswith("source_blob.url: nothing has been sent to this source yet")
    source = {"url": await sent(server), "checksum": f"SHA256:{'0' * 64}"}
    error, _ = await server.call("POST", "/apps/example/builds", {"source_blob": source}, expect=422)
    assert error["message"] == f"source_blob.checksum: what was sent has SHA256:{SHA256}."
    body = {"source_blob": {"url": f"{get_url[:-3]}abc"}}
    await server.call("POST", "/apps/example/builds", body, expect=404)


async def test_locks_keep_packed_sources_out(server: Server) -> None:
    await server.app("example")
    await server.call("POST", "/apps/example/deploy-locks", {"reason": "incident"}, expect=201)
    body: Any = {"source_blob": {"url": ADDRESS}}
    await server.call("POST", "/apps/example/builds", body, expect=409)
    await server.call("POST", "/apps/example/builds", body | {"override_lock": True}, expect=201)


async def test_a_build_is_cancelled_once_and_not_when_it_is_over(server: Server) -> None:
    app = await server.app("example")
    first, second = await build(server, {"url": ADDRESS}), await build(server, {"url": ADDRESS})
    ended, _ = await server.call("DELETE", f"/apps/example/builds/{first['id']}", expect=200)
    assert (ended["status"], ended["error"]) == ("failed", "cancelled by admin@localhost")
    again, _ = await server.call("DELETE", f"/apps/example/builds/{first['id']}", expect=422)
    assert again["message"] == "This build is cancelled by admin@localhost already."
    await server.work(fail="build")
    late, _ = await server.call("DELETE", f"/apps/example/builds/{second['id']}", expect=422)
    assert late["message"] == "It is too late to cancel this build: it is failed (no Procfile)."
    third = await build(server, {"url": ADDRESS})
    await server.work()
    late, _ = await server.call("DELETE", f"/apps/example/builds/{third['id']}", expect=422)
    assert "it has succeeded" in late["message"]
    await server.call("DELETE", "/apps/example/builds/nowhere", expect=404)
    await server.app("other")
    await server.call("DELETE", f"/apps/other/builds/{third['id']}", expect=404)
    request = await server.db.read(lambda conn: requests.get(conn, first["id"]))
    assert request is not None
    assert (request.state, request.reason) == (RequestState.CANCELLED, "cancelled by admin@localhost")
    noted = await server.db.read(lambda conn: activity.listing(conn, app_id=app["id"], limit=99))
    assert ("DeployArchive cancelled", "user:admin@localhost") in {(it.action, it.actor) for it in noted}
