"""A version of Node.js that the server has not comes from npm's own packages of it."""

import base64
import functools
import hashlib
import http.server
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from service.domain.errors import Refused
from tests.builds.conftest import Site
from tests.builds.repositories import node_app

VERSIONS = ("20.99.1", "22.98.0", "22.99.0")
ARCHITECTURES = ("x64", "arm64")
# It is told apart from the server's own, which does the work.
PROGRAM = """#!/bin/sh
if [ "$1" = --version ]; then echo v{version}; else exec /opt/towpath/runtimes/node/bin/node "$@"; fi
"""


@functools.cache  # made twice it has another digest: gzip writes the time into it
def packed(name: str, version: str) -> bytes:
    """A package as npm has it: `bin/node` and what it is called."""
    files = {
        "package/package.json": (json.dumps({"name": name, "version": version}), 0o644),
        "package/bin/node": (PROGRAM.format(version=version), 0o755),
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path, (text, mode) in files.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(text), mode
            archive.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


class _Registry(http.server.BaseHTTPRequestHandler):
    """As much of a registry of npm as is asked for one package."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        name, _, file = self.path.strip("/").partition("/-/")
        if not name.startswith("node-linux-"):
            self.send_error(404)
            return
        self.asked.append(self.path)
        body = self._packument(name) if not file else packed(name, file.removesuffix(".tgz"))
        self.send_response(200)
        self.send_header("Content-Type", "application/json" if not file else "application/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _packument(self, name: str) -> bytes:
        def dist(version: str) -> dict[str, str]:
            digest = base64.b64encode(hashlib.sha512(packed(name, version)).digest()).decode()
            return {
                "integrity": f"sha512-{digest}",
                "tarball": f"http://{self.headers['Host']}/{name}/-/{version}.tgz",
            }

        versions = {each: {"name": name, "version": each, "dist": dist(each)} for each in VERSIONS}
        return json.dumps({"name": name, "dist-tags": {"latest": VERSIONS[-1]}, "versions": versions}).encode()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def registry(site: Site) -> Iterator[Site]:
    """The site with a registry of npm on loopback."""
    _Registry.asked.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Registry))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    environment = {"npm_config_registry": f"http://127.0.0.1:{server.server_address[1]}/"}
    yield replace(site, workshop=replace(site.workshop, environment=environment))
    server.shutdown()
    server.server_close()
    thread.join()


def asking(node: str, **files: str) -> dict[str, str | bytes]:
    return {**node_app(engines={"node": node}), **files}


async def test_the_newest_that_fits_engines_is_fetched_once_and_runs_the_app(registry: Site) -> None:
    built = await registry.build(registry.repository.commit(asking("22.x")))
    assert "Fetching Node.js 22.99.0" in registry.log.text
    assert "Using Node.js 22.99.0" in registry.log.text
    assert await registry.run(built, "node --version") == "v22.99.0"
    assert await registry.run(built, "node index.js") == "42"
    asked = len(_Registry.asked)
    again = await registry.build(registry.repository.commit({"more.txt": "x"}))
    assert "Fetching" not in registry.log.text
    assert len(_Registry.asked) == asked
    assert await registry.run(again, "node --version") == "v22.99.0"


async def test_a_version_that_cannot_be_had_is_refused_with_those_that_can(registry: Site) -> None:
    with pytest.raises(Refused) as refused:
        await registry.build(registry.repository.commit(asking(">=99")))
    assert "package.json asks for Node.js >=99, which cannot be had" in refused.value.message
    assert "20.99.1, 22.99.0" in refused.value.message


async def test_without_a_registry_it_is_said_that_the_versions_could_not_be_listed(site: Site, tmp_path: Path) -> None:
    nowhere = replace(
        site.workshop, environment={"npm_config_registry": "http://127.0.0.1:1/", "npm_config_fetch_retries": "0"}
    )
    with pytest.raises(Refused, match=r"(?s)versions of Node\.js could not be listed: .*(127\.0\.0\.1|ECONNREFUSED)"):
        await replace(site, workshop=nowhere).build(site.repository.commit(asking("22.x")))
