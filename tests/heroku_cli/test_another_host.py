"""Heroku's command line with a Towpath that is elsewhere, by https under a name: its token goes there and nowhere else."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from service.cli.heroku.front import fronting
from service.cli.heroku.listening import listening
from service.cli.profile import Profile
from service.store.database import Database
from service.store.secrets import Vault
from tests.cli.test_trouble import certificate
from tests.heroku_cli.heroku import COMPILED, SOCKETS, Watched
from tests.heroku_cli.person import ROOT, Person
from tests.store.fixtures import sqlite_template  # noqa: F401
from tests.web.serving import Server, serving

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

HOST = "towpath.example.com"
# Read by each Python that the person starts: the one name leads to this machine, and there is no other.
RESOLVER = f"""\
import os, socket
known = socket.getaddrinfo
def getaddrinfo(host, *rest, **more):
    with open(os.environ["LOOKED_UP"], "a") as file:
        print(host, file=file)
    if host not in ("{HOST}", "127.0.0.1"):
        raise socket.gaierror(socket.EAI_NONAME, "there is no such name")
    return known("127.0.0.1", *rest, **more)
socket.getaddrinfo = getaddrinfo
"""


@dataclass(slots=True, kw_only=True)
class Elsewhere:
    """A Towpath behind a proxy with a certificate: `heard` is all that came there, as the proxy reads it."""

    url: str
    server: Server
    authority: Path
    heard: bytearray = field(default_factory=bytearray)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def elsewhere(
    sqlite_template: Path,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Elsewhere]:
    home, heard, behind = tmp_path_factory.mktemp("elsewhere"), bytearray(), list[Server]()
    (home / "towpath.db").write_bytes(sqlite_template.read_bytes())

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, notes: bytearray) -> None:
        while data := await reader.read(65536):
            notes += data
            writer.write(data)
            await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", int(behind[0].url.rpartition(":")[2]))
        await asyncio.gather(pass_on(reader, back, notes=heard), pass_on(there, writer, notes=bytearray()))

    database = await Database.open(f"sqlite:///{home / 'towpath.db'}")
    vault = Vault.open(home / "secret.keys", create=True)
    async with listening(serve, tls=certificate(home, HOST, days=30)) as port:
        url = f"https://{HOST}:{port}"
        async with serving(database, vault, home, public_url=url) as server:
            behind.append(server)
            yield Elsewhere(url=url, server=server, authority=home / "ca.pem", heard=heard)
    await database.close()


@pytest.fixture
def person(program: Path, elsewhere: Elsewhere, watched: Watched, tmp_path: Path) -> Person:
    """Somebody whose machine believes the proxy's certificate, in these programs alone."""
    made = Person.at(tmp_path, program=program, data=tmp_path / "no-server")
    (tmp_path / "python").mkdir()
    (tmp_path / "python" / "sitecustomize.py").write_text(RESOLVER)
    env = {
        "PYTHONPATH": f"{tmp_path / 'python'}:{ROOT}",
        "LOOKED_UP": str(tmp_path / "looked-up"),
        "SSL_CERT_FILE": str(elsewhere.authority),
        "NODE_OPTIONS": f"--require {SOCKETS}",
        "NODE_COMPILE_CACHE": COMPILED,
        "SOCKETS_FILE": str(tmp_path / "sockets"),
        "HTTPS_PROXY": watched.url,
    }
    return replace(made, env=made.env | env)


async def test_a_server_elsewhere_is_read_and_changed_and_the_token_goes_nowhere_else(
    elsewhere: Elsewhere, person: Person, watched: Watched, tmp_path: Path
) -> None:
    server, url = elsewhere.server, elsewhere.url
    await server.app("example")
    (tmp_path / "token").write_text(server.token)
    logged_in = await person.types(f"towpath login {url} --token-stdin < {tmp_path / 'token'}")
    assert f"Logging in to {url}... done, as admin@localhost\n" in logged_in
    before = person.belongings()

    shown, made = await asyncio.gather(
        person.types("towpath heroku -- apps:info -a example"),
        person.types("towpath heroku -- apps:create another --no-remote"),
    )
    assert "=== example" in shown
    assert f"{url}/example.git" in shown
    assert "admin@localhost" in shown
    assert f"{url}/another.git" in made
    assert (await server.get("/apps/another"))["owner"]["email"] == "admin@localhost"

    assert person.belongings() == before
    assert list((tmp_path / "tmp").iterdir()) == []
    # All that spoke to the server spoke to it under its name, with the token that is good there.
    heads = re.findall(r"(?:GET|POST) \S+ HTTP/1\.1\r\n.*?\r\n\r\n", elsewhere.heard.decode(), re.DOTALL)
    assert len(heads) >= 3
    for head in heads:
        assert f"\r\nHost: {url.removeprefix('https://')}\r\n" in head
        assert server.token in head
    # Towpath's own command looked up that name alone, and Heroku's knows this machine alone.
    assert set((tmp_path / "looked-up").read_text().split()) <= {HOST, "127.0.0.1"}
    opened = set((tmp_path / "sockets").read_text().split())
    assert {each.rpartition(":")[0] for each in opened} - {"name"} == {"127.0.0.1"}
    assert not {each for each in opened if each.startswith("name:")} - {"name:127.0.0.1"}
    assert watched.asked == []


async def test_no_token_is_sent_to_a_server_whose_certificate_nobody_vouches_for(
    elsewhere: Elsewhere, tmp_path: Path
) -> None:
    url = elsewhere.url.replace(HOST, "localhost")
    before = bytes(elsewhere.heard)
    async with (
        fronting(Profile(url=url, token="hush"), place=tmp_path) as front,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session,
    ):
        believing = ssl.create_default_context(cadata=front.authority.pem.decode())
        headers = {"Authorization": "Bearer hush"}
        async with session.get(f"{front.url}/account", ssl=believing, headers=headers) as answer:
            said = await answer.json()
    assert answer.status == 502
    assert f"Cannot reach Towpath at {url}" in said["message"]
    assert "certificate verify failed" in said["message"].lower()
    assert bytes(elsewhere.heard) == before
