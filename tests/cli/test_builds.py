"""Builds on the command line: a packed source that is sent, what was built, and the end of what is not wanted."""

import gzip
from typing import Any

import pytest

from tests.cli.conftest import Cli
from tests.web.serving import Server

URL = "https://github.com/org/tool/archive/v3.tar.gz"


async def test_a_packed_source_is_sent_built_and_shown(towpath: Cli, server: Server, worker: dict[str, Any]) -> None:
    await server.app("example")
    assert (await towpath("builds", "-a", "example")).out == "example has no builds.\n"
    (towpath.cwd / "tool.tar.gz").write_bytes(gzip.compress(b"a tar" * 999))
    done = await towpath("builds:create", "--source-tar", "tool.tar.gz", "--source-version", "v1.2", "-a", "example")
    assert done.out.startswith("Sending tool.tar.gz... done\n-----> done\n")
    assert done.out.endswith(f"Released v1 of example: {server.url.replace('127.0.0.1', 'example.localhost')}/\n")
    assert done.err == "Deploying v1.2 to example\n"
    (build,) = await server.get("/apps/example/builds")
    listed = (await towpath("builds", "-a", "example")).out
    assert listed.startswith("=== example Builds\n\n")
    assert [build["id"], "succeeded", "v1.2", "admin@localhost"] == listed.split("\n")[2].split()[:4]
    shown = (await towpath("builds:info", "-a", "example")).out
    assert shown.startswith(f"=== Build {build['id']}\n\nStatus:")
    for line in ("Version:    v1.2", "Asked for:  deploy of v1.2", "Release:    v1"):
        assert f"\n{line}\n" in shown
    assert (await towpath("builds:output", build["id"], "-a", "example")).out == "-----> done\n"
    assert (await towpath("builds:info", build["id"], "-a", "example", "--json")).json == build


async def test_a_build_that_is_pending_is_cancelled(towpath: Cli, server: Server) -> None:
    await server.app("example")
    queued = await towpath("builds:create", "--source-url", URL, "-a", "example", "--no-wait")
    (build,) = await server.get("/apps/example/builds")
    assert queued.out == f"Build {build['id']} is queued. Look with: towpath builds:info {build['id']} -a example\n"
    done = await towpath("builds:cancel", "-a", "example")
    assert done.out == f"Cancelling build {build['id']} of example... done\n"
    again = await towpath("builds:cancel", build["id"], "-a", "example", code=1)
    assert "This build is cancelled by admin@localhost already." in again.err
    assert "No build of example is pending." in (await towpath("builds:cancel", "-a", "example", code=1)).err
    assert "Why:" in (await towpath("builds:info", "-a", "example")).out


async def test_a_file_that_is_no_packed_source_is_refused(towpath: Cli, server: Server) -> None:
    await server.app("example")
    (towpath.cwd / "not.tar.gz").write_bytes(b"no gzip")
    refused = await towpath("builds:create", "--source-tar", "not.tar.gz", "-a", "example", code=1)
    assert refused.out == "Sending not.tar.gz... failed\n"
    assert "The body is no tar.gz" in refused.err


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        ([], 2, "Say either --source-tar FILE or --source-url URL."),
        (["--source-tar", "x", "--source-url", URL], 2, "Say either"),
        (["--source-tar", "nowhere.tar.gz"], 2, "nowhere.tar.gz cannot be read: No such file or directory"),
        (["--source-url", "http://evil.example/x"], 1, "source_blob.url: sources are fetched by https alone"),
    ],
    ids=["nothing", "both", "no file", "no https"],
)
async def test_what_cannot_be_built_is_said_in_a_sentence(
    towpath: Cli, server: Server, args: list[str], code: int, words: str
) -> None:
    await server.app("example")
    assert words in (await towpath("builds:create", *args, "-a", "example", code=code)).err
