"""The front that Heroku's command line is given: whom it takes the place of, who believes it, and where it leads."""

import asyncio
import gzip
import json
import os
import signal
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from service.cli.heroku.authority import Authority
from service.cli.heroku.front import Front, fronting
from service.cli.heroku.hosts import LISTED, Call, Hosts
from service.cli.heroku.surroundings import surroundings
from service.cli.profile import Profile
from tests.cli.conftest import Cli
from tests.waiting import until
from tests.web.serving import HEADS, Server

KOLKRABBI, GITHUB, PARTICLEBOARD = LISTED


@pytest.fixture
def profile(server: Server) -> Profile:
    return Profile(url=server.url, token=server.token)


@pytest.fixture
async def front(profile: Profile, tmp_path: Path) -> AsyncIterator[Front]:
    async with fronting(profile, place=tmp_path) as running:
        yield running


def believing(front: Front) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=front.authority.pem.decode())


class Child:
    """What the command line does: one way out, and one authority to believe."""

    def __init__(self, front: Front, token: str, session: aiohttp.ClientSession) -> None:
        self.front, self.token, self.session = front, token, session

    async def ask(
        self, method: str, host: str, path: str, body: Any = None, *, scheme: str = "Bearer"
    ) -> tuple[int, Any]:
        """What a listed host answers, reached by the proxy."""
        return await self._ask(method, f"https://{host}{path}", body, scheme, proxy=self.front.proxy)

    async def api(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """What the API answers."""
        return await self._ask(method, self.front.url + path, body, "Bearer", proxy=None)

    async def _ask(self, method: str, url: str, body: Any, scheme: str, *, proxy: str | None) -> tuple[int, Any]:
        headers = {"Authorization": f"{scheme} {self.token}"}
        async with self.session.request(
            method, url, json=body, headers=headers, ssl=believing(self.front), proxy=proxy
        ) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if answer.content_type == "application/json" else text


@pytest.fixture
async def child(front: Front, server: Server) -> AsyncIterator[Child]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        yield Child(front, server.token, session)


# Who believes it


def shaken(authority: Authority, names: tuple[str, ...], host: str, place: Path) -> None:
    """Let a client that believes the authority greet `host`, who has a certificate for `names`."""
    client, server = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context(cadata=authority.pem.decode())
    asking = context.wrap_bio(server, client, server_hostname=host)
    answering = authority.context(names, place=place, now=datetime.now(UTC)).wrap_bio(client, server, server_side=True)
    for _ in range(4):
        for side in (asking, answering):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue


@pytest.mark.parametrize("host", [*LISTED, "localhost", "127.0.0.1"])
def test_the_authority_vouches_for_the_hosts_it_was_made_for(tmp_path: Path, host: str) -> None:
    shaken(Authority.make((*LISTED, "localhost"), now=datetime.now(UTC)), (*LISTED, "localhost"), host, tmp_path)


@pytest.mark.parametrize("host", ["api.heroku.com", "github.com", "towpath.example.com"])
def test_the_authority_is_believed_for_no_other_host_even_by_who_trusts_it(tmp_path: Path, host: str) -> None:
    authority = Authority.make((*LISTED, "localhost"), now=datetime.now(UTC))
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree"):
        shaken(authority, (host,), host, tmp_path)


def test_no_key_is_left_on_the_disk_and_none_is_shown(tmp_path: Path) -> None:
    authority = Authority.make(LISTED, now=datetime.now(UTC))
    authority.context(LISTED, place=tmp_path, now=datetime.now(UTC))
    assert list(tmp_path.iterdir()) == []
    assert b"PRIVATE" not in authority.pem
    assert "key" not in repr(authority)


async def test_who_does_not_know_the_authority_does_not_believe_the_front(front: Front) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await session.get(front.url)


# Where it leads


async def refused(front: Front, request: str) -> str:
    """The first line of what the proxy answers."""
    host, _, port = front.proxy.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request.encode())
    line = (await reader.readline()).decode().strip()
    writer.close()
    await writer.wait_closed()
    return line


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        ("CONNECT api.heroku.com:443 HTTP/1.1\r\n\r\n", "api.heroku.com"),
        ("CONNECT evil.kolkrabbi.heroku.com:443 HTTP/1.1\r\n\r\n", "evil.kolkrabbi.heroku.com"),
        ("CONNECT 127.0.0.1:22 HTTP/1.1\r\n\r\n", "127.0.0.1"),
        ("CONNECT [::1]:443 HTTP/1.1\r\n\r\n", "[::1]"),
        ("GET http://example.com/ HTTP/1.1\r\n\r\n", "example.com"),
        ("nonsense\r\n\r\n", ""),
    ],
    ids=["another host of Heroku", "below a listed one", "a service of this machine", "IPv6", "without TLS", "no HTTP"],
)
async def test_a_host_that_is_not_listed_is_refused_and_named(front: Front, request_: str, named: str) -> None:
    assert await refused(front, request_) == "HTTP/1.1 403 Forbidden"
    assert front.refused == ([named] if named else [])


async def test_a_listed_host_is_answered_by_the_server_at_whatever_port(child: Child) -> None:
    for host in (KOLKRABBI, PARTICLEBOARD, f"{KOLKRABBI}:5080"):
        status, account = await child.ask("GET", host, "/account")
        assert (status, account["email"]) == (200, "admin@localhost")
    assert child.front.refused == []


async def test_the_front_lets_nobody_in_whom_the_server_would_not(child: Child) -> None:
    child.token = "towpath-wrong"
    assert (await child.api("GET", "/account"))[0] == 401
    assert (await child.ask("GET", GITHUB, "/repos/acme/shop", scheme="Token"))[0] == 401


async def test_the_token_for_github_is_the_childs_own_and_nobodys_at_github(child: Child, server: Server) -> None:
    assert await child.ask("GET", KOLKRABBI, "/account/github/token") == (200, {"github": {"token": server.token}})


async def test_a_repository_nobody_has_heard_of_is_connected_by_the_number_that_was_told(
    child: Child, server: Server
) -> None:
    pipeline, _ = await server.call("POST", "/pipelines", {"name": "new"}, expect=201)
    status, found = await child.ask("GET", GITHUB, "/repos/acme/shop", scheme="Token")
    assert (status, found["id"], found["default_branch"]) == (200, 42, "main")
    link = f"/pipelines/{pipeline['id']}/repository"
    assert (await child.ask("POST", KOLKRABBI, link, {"repository": 42}))[0] == 201
    assert (await server.get(link))["full_name"] == "acme/shop"


async def test_test_runs_are_not_switched_on_and_that_is_said(child: Child, server: Server) -> None:
    await server.pipeline(staging="example")
    status, shown = await child.ask("PATCH", KOLKRABBI, "/pipelines/shop/repository", {"ci": True})
    assert (status, shown["ci"]) == (200, False)
    assert ["test runs" in each for each in child.front.hosts.notes] == [True]


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/user"), ("POST", "/repos/acme/shop"), ("GET", "/repos/acme/shop/keys")]
)
async def test_nothing_else_of_github_is_answered(child: Child, method: str, path: str) -> None:
    status, error = await child.ask(method, GITHUB, path, scheme="Token")
    assert (status, error["id"]) == (404, "not_found")


async def test_what_github_says_no_to_is_told_because_the_child_does_not(child: Child) -> None:
    assert (await child.ask("GET", GITHUB, "/repos/acme/nothing", scheme="Token"))[0] == 422
    assert child.front.hosts.notes == ["Couldn't access that repo: acme/nothing"]


async def test_output_is_read_by_way_of_the_front_while_it_is_written(child: Child, server: Server) -> None:
    await server.pipeline(staging="example")
    source = {"source_blob": {"version": HEADS["main"]}}
    _, build = await child.api("POST", "/apps/example/builds", source)
    url = build["output_stream_url"]
    assert url.startswith(f"{child.front.url}/builds/{build['id']}/output?key=")
    async with child.session.get(url, ssl=believing(child.front)) as answer:
        await server.work(output="-----> Python app detected\n")
        assert await answer.text() == "-----> Python app detected\n"


async def test_an_upload_goes_through_unread(child: Child) -> None:
    body = os.urandom(300_000)
    headers = {"Authorization": f"Bearer {child.token}"}
    async with child.session.put(
        f"{child.front.url}/nowhere", data=body, headers=headers, ssl=believing(child.front)
    ) as answer:
        assert answer.status == 404
        assert (await answer.json())["message"] == "Couldn't find that resource: PUT /nowhere"


async def test_an_upload_that_is_packed_on_its_way_goes_through_whole(child: Child) -> None:
    """As git sends a long list of what it has."""
    _, made = await child.api("POST", "/sources")
    content = gzip.compress(os.urandom(1000)) + bytes(100_000)
    headers = {"Content-Encoding": "gzip"}
    async with child.session.put(
        made["source_blob"]["put_url"], data=gzip.compress(content), headers=headers, ssl=believing(child.front)
    ) as answer:
        assert (answer.status, await answer.text()) == (200, "")
    async with child.session.get(made["source_blob"]["get_url"]) as answer:
        assert await answer.read() == content


async def test_git_reaches_the_server_by_the_whole_address(child: Child, profile: Profile) -> None:
    status, account = await child.api("GET", f"/https://{profile.host}/account")
    assert (status, account["email"]) == (200, "admin@localhost")
    assert (await child.api("GET", "/https://github.com/account"))[0] == 404


async def said_to_key(front: Front, key: str) -> bytes:
    """What is said to who comes with a key to where commands get their terminals."""
    host, _, port = front.terminals.removeprefix("rendezvous://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=believing(front))
    writer.write(f"{key}\r\n".encode())
    try:
        return await reader.read()
    finally:
        writer.close()
        with suppress(ConnectionResetError):
            await writer.wait_closed()


async def test_a_command_is_attached_to_by_the_key_it_was_made_with_and_once(child: Child, server: Server) -> None:
    await server.pipeline(staging="example")
    await server.call("POST", "/apps/example/builds", {"source_blob": {"version": HEADS["main"]}}, expect=201)
    await server.work()
    _, made = await child.api("POST", "/apps/example/dynos", {"command": "ls", "attach": True})
    assert made["attach_url"].startswith(f"{child.front.terminals}/")
    await server.db.write(lambda conn: conn.exec_driver_sql("UPDATE users SET admin = false"))
    await server.db.write(lambda conn: conn.exec_driver_sql("UPDATE apps SET owner_id = 'somebody else'"))
    key = made["attach_url"].rpartition("/")[2]
    with pytest.raises(ConnectionResetError):  # an end in good order the child would take for the command's
        await said_to_key(child.front, key)
    assert child.front.hosts.notes == ["The server does not let us attach (HTTP 404)."]
    for none in (key, "another"):
        assert await said_to_key(child.front, none) == b""
    assert len(child.front.hosts.notes) == 1


async def test_a_server_that_does_not_answer_is_named(tmp_path: Path) -> None:
    profile = Profile(url="http://localhost:1", token="t")
    async with fronting(profile, place=tmp_path) as front, aiohttp.ClientSession() as session:
        answer = await session.get(f"{front.url}/account", ssl=believing(front))
        assert answer.status == 502
        assert "Cannot reach Towpath at http://localhost:1" in (await answer.json())["message"]


def test_an_address_in_an_answer_leads_to_the_front_wherever_it_stands() -> None:
    call = Call(host="127.0.0.1", method="GET", path="/apps/x/releases", authorization="")
    body = json.dumps(
        [{"output_stream_url": "http://s:1/a?key=b", "web_url": "http://x/", "of": {"logplex_url": None}}]
    )
    moved = json.loads(Hosts().heard(call, 200, body.encode(), front="https://127.0.0.1:9"))
    assert moved == [
        {"output_stream_url": "https://127.0.0.1:9/a?key=b", "web_url": "http://x/", "of": {"logplex_url": None}}
    ]


# What the child finds


def test_nothing_that_leads_to_heroku_or_past_the_front_stays_in_the_environment(tmp_path: Path) -> None:
    front = Front(
        authority=Authority.make(LISTED, now=datetime.now(UTC)), url="https://127.0.0.1:1", proxy="http://127.0.0.1:2"
    )
    given = {
        "PATH": "/bin", "LANG": "C", "HEROKU_APP": "shop", "HEROKU_API_KEY": "theirs", "HEROKU_HOST": "heroku.com",
        "HEROKU_HEADERS": "{}", "HEROKU_CLOUD": "staging", "https_proxy": "http://corp:3128", "ALL_PROXY": "socks5://x",
        "no_proxy": "*", "SSL_CERT_FILE": "/x", "NODE_TLS_REJECT_UNAUTHORIZED": "0", "XDG_CONFIG_HOME": "/home/me/.config",
        "GIT_CONFIG_COUNT": "1", "HOME": "/home/me",
    }  # fmt: skip
    env = surroundings(given, profile=Profile(url="https://cd.example.com", token="ours"), front=front, home=tmp_path)
    left = {name: value for name, value in given.items() if env.get(name) == value}
    assert left == {"PATH": "/bin", "LANG": "C", "HEROKU_APP": "shop"}
    assert {env[name] for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")} == {front.proxy}
    assert (env["HEROKU_HOST"], env["HEROKU_API_KEY"], env["HOME"]) == (front.url, "ours", str(tmp_path))
    assert (env["HEROKU_CI_WEBSOCKET_URL"], env["HEROKU_GIT_HOST"]) == ("wss://127.0.0.1:1/socket", "cd.example.com")


async def test_without_herokus_command_line_it_is_said_how_to_get_it(towpath: Cli, tmp_path: Path) -> None:
    done = await towpath("heroku", "--", "apps", code=1, PATH=str(tmp_path))
    assert "npm install --global heroku@11" in done.err


async def test_a_page_of_herokus_dashboard_is_not_opened(towpath: Cli) -> None:
    assert "towpath pipelines:info" in (await towpath("heroku", "--", "pipelines:open", "shop", code=1)).err


async def test_a_program_is_run_with_its_words_and_ends_with_its_own_code(towpath: Cli) -> None:
    script = 'echo "$1|$HOME|$HEROKU_HOST"; cat "$NODE_EXTRA_CA_CERTS"; exit 7'
    done = await towpath("heroku-env", "--", "sh", "-c", script, "sh", "-a two", code=7)
    said, home, host = done.out.splitlines()[0].split("|")
    assert (said, host.rpartition(":")[0]) == ("-a two", "https://127.0.0.1")
    assert "BEGIN CERTIFICATE" in done.out
    assert not Path(home).exists()
    assert home != towpath.env["HOME"]


async def test_without_a_program_it_is_the_users_shell(towpath: Cli) -> None:
    done = await towpath("heroku-env", stdin="echo in $0; exit 3\n", code=3, SHELL="/bin/sh")
    assert done.out == "in /bin/sh\n"


async def test_a_program_that_is_not_there_is_named(towpath: Cli) -> None:
    assert "no-such-program cannot be started" in (await towpath("heroku-env", "--", "no-such-program", code=2)).err


async def test_what_was_refused_is_named_in_the_end(towpath: Cli) -> None:
    look = (
        "import urllib.request\n"
        "try: urllib.request.urlopen('https://status.heroku.com/')\n"
        "except OSError as error: print(error)\n"
    )
    done = await towpath("heroku-env", "--", sys.executable, "-c", look)
    assert "403" in done.out
    assert "Refused: status.heroku.com." in done.err


async def test_ending_it_ends_the_program_and_takes_its_home_away(towpath: Cli, tmp_path: Path) -> None:
    told = tmp_path / "told"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service.cli", "heroku-env", "--"),
        *("sh", "-c", f'echo "$$ $HOME" > {told}.new; mv {told}.new {told}; exec sleep 600'),
        env=towpath.env, cwd=towpath.cwd,
    )  # fmt: skip
    await until(told.exists, seconds=30, what="the program runs")
    pid, home = told.read_text().split()
    process.send_signal(signal.SIGTERM)
    try:
        assert await asyncio.wait_for(process.wait(), 20) == 128 + signal.SIGTERM
    finally:
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    assert not Path(home).exists()
    assert not Path(f"/proc/{pid}").exists()
