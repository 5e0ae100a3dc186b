"""Packed sources by https: from whom, up to how much, and to which addresses we connect, whatever a name says."""

import asyncio
import hashlib
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from service.domain.addresses import is_public
from service.domain.errors import Refused, Transient
from workers.builds.download import Downloads

CONTENT = b"\x1f\x8b" + b"packed" * 100_000
HOSTS = ("files.example", "other.example", "127.0.0.1")
SECRET = "swordfish"


@dataclass
class Names(AbstractResolver):
    """A name server whose answers change: the last one goes on."""

    port: int
    answers: list[str] = field(default_factory=lambda: ["127.0.0.1"])
    asked: list[str] = field(default_factory=list)

    async def resolve(
        self,
        host: str,
        port: int = 0,  # noqa: ARG002
        family: socket.AddressFamily = socket.AF_INET,  # noqa: ARG002
    ) -> list[ResolveResult]:
        self.asked.append(host)
        address = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        # Whoever is asked for 443 is here on a port of its own.
        return [
            {"hostname": host, "host": address, "port": self.port, "family": socket.AF_INET, "proto": 0, "flags": 0}
        ]

    async def close(self) -> None:
        pass


@dataclass(kw_only=True)
class Files:
    """A server by TLS, the names that lead to it, and what may be fetched of it."""

    downloads: Downloads
    names: Names
    served: list[str] = field(default_factory=list)

    async def fetch(self, url: str, dest: Path, **changes: object) -> str:
        try:
            return await replace(self.downloads, **changes).fetch(url, dest)  # type: ignore[arg-type]
        finally:
            assert [path.name for path in dest.parent.iterdir() if path.suffix == ".part"] == []


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    home = tmp_path_factory.mktemp("tls")
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "files.example")])
    names: list[x509.GeneralName] = [x509.DNSName(each) for each in ("files.example", "other.example")]
    names.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (home / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (home / "key.pem").write_bytes(private)
    return home / "cert.pem", home / "key.pem"


@pytest.fixture
async def files(certificate: tuple[Path, Path]) -> AsyncIterator[Files]:
    served: list[str] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        served.append(request.path)
        kind, _, rest = request.path[1:].partition("/")
        match kind:
            case "to":
                raise web.HTTPFound(request.query.get("url", "/to/"))
            case "status":
                return web.Response(status=int(rest))
            case "slow":
                await asyncio.sleep(30)
            case "endless" | "broken":
                response = web.StreamResponse()
                if kind == "broken":
                    response.content_length = 10_000
                await response.prepare(request)
                with suppress(ConnectionError):
                    await response.write(b"x" * 5000)
                    while kind == "endless":
                        await response.write(b"x" * 100_000)
                    assert request.transport is not None
                    request.transport.abort()
                return response
        # As a server may say that packs what is packed.
        return web.Response(body=CONTENT, headers={"Content-Encoding": "gzip"} if kind == "twice" else {})

    application = web.Application()
    application.router.add_get("/{path:.*}", handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    names = Names(runner.addresses[0][1])
    trusting = ssl.create_default_context(cafile=str(certificate[0]))
    downloads = Downloads(hosts=HOSTS, allowed=lambda _: True, names=lambda: names, tls=trusting)
    yield Files(downloads=downloads, names=names, served=served)
    await runner.cleanup()


@pytest.mark.parametrize("path", ["a.tar.gz", "twice/a.tar.gz", "to/other?url=https://other.example/b"])
async def test_a_source_is_fetched_as_it_is_wherever_a_listed_host_leads(
    files: Files, tmp_path: Path, path: str
) -> None:
    sha256 = await files.fetch(f"https://files.example/{path}", tmp_path / "dir/source")
    assert (tmp_path / "dir/source").read_bytes() == CONTENT
    assert sha256 == hashlib.sha256(CONTENT).hexdigest()


PUBLIC: Callable[[str], bool] = is_public
REFUSED: dict[str, tuple[str, dict[str, object], str]] = {
    "a host that is not listed": ("https://evil.example/x", {}, "evil.example is not a host"),
    "a redirect to one": ("https://files.example/to/?url=https://evil.example/x", {}, "evil.example is not a host"),
    "a redirect without TLS": ("https://files.example/to/?url=http://other.example/x", {}, "https alone"),
    "a redirect to another port": ("https://files.example/to/?url=https://other.example:22/", {}, "port 443 alone"),
    "redirects in a ring": ("https://files.example/to/?url=/to/?url=/to/", {}, "more than 5 times"),
    "a name of this machine": ("https://files.example/x", {"allowed": PUBLIC}, "not in the public internet"),
    "an address of this machine": ("https://127.0.0.1/x", {"allowed": PUBLIC}, "not in the public internet"),
    "a source that is not there": ("https://files.example/status/404", {}, "files.example answered 404"),
    "a source for others": (f"https://files.example/status/403?key={SECRET}", {}, "files.example answered 403"),
    "a size that is said": ("https://files.example/x", {"most": 1000}, "larger than"),
    "a size that is not said": ("https://files.example/endless/", {"most": 2 << 20}, "larger than 2 MB"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_may_not_be_fetched_is_refused_and_leaves_nothing(files: Files, tmp_path: Path, case: str) -> None:
    url, changes, words = REFUSED[case]
    with pytest.raises(Refused, match=words) as refused:
        await files.fetch(url, tmp_path / "dir/source", **changes)
    assert SECRET not in str(refused.value)
    assert list((tmp_path / "dir").iterdir()) == []
    if "allowed" in changes:
        assert files.served == []


async def test_a_name_that_changes_its_mind_leads_nowhere_else(files: Files, tmp_path: Path) -> None:
    """The address that was judged is the one that is connected to, and each redirect is judged anew."""
    files.names.answers = ["127.0.0.1", "10.0.0.1"]
    allowed = {"127.0.0.1"}.__contains__
    await files.fetch("https://files.example/a", tmp_path / "dir/first", allowed=allowed)
    assert files.names.asked == ["files.example"]
    files.names.answers = ["127.0.0.1", "10.0.0.1"]
    url = "https://files.example/to/?url=https://files.example/b"
    with pytest.raises(Refused, match="not in the public internet"):
        await files.fetch(url, tmp_path / "dir/second", allowed=allowed)
    assert files.served == ["/a", "/to/"]


PASSING: dict[str, tuple[str, dict[str, object], str]] = {
    "a server in trouble": (f"https://files.example/status/503?key={SECRET}", {}, "files.example answered 503"),
    "a server that is asked too much": ("https://files.example/status/429", {}, "answered 429"),
    "a server that is slow": (f"https://files.example/slow/?key={SECRET}", {"seconds": 0.3}, "did not come"),
    "an answer that breaks off": (f"https://files.example/broken/?key={SECRET}", {}, "could not be fetched"),
    "a server that nobody knows": (f"https://files.example/x?key={SECRET}", {"tls": ssl.create_default_context()}, "could not"),
}  # fmt: skip


@pytest.mark.parametrize("case", PASSING)
async def test_what_may_pass_is_tried_again_and_its_address_is_told_nobody(
    files: Files, tmp_path: Path, case: str
) -> None:
    url, changes, words = PASSING[case]
    with pytest.raises(Transient, match=words) as passing:
        await files.fetch(url, tmp_path / "dir/source", **changes)
    assert SECRET not in str(passing.value)
    assert list((tmp_path / "dir").iterdir()) == []
