"""What stands between the command line and Towpath, each told in a sentence of its own with what to do."""

import asyncio
import datetime as dt
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.cli.conftest import Inside


@asynccontextmanager
async def answering(raw: bytes, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server that answers everything with the same."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read(65536)
            writer.write(raw)
            await writer.drain()
        except ConnectionError:
            pass
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context) as server:
        yield int(server.sockets[0].getsockname()[1])


def http(status: str, body: str, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body.encode())}", "Connection: close", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


HTML, JSON = "Content-Type: text/html", "Content-Type: application/json"
PAGE = "<html><h1>502 Bad Gateway</h1></html>"
ANSWERS = [
    ("a proxy that Towpath does not answer", http("502 Bad Gateway", PAGE, HTML, "Server: nginx/1.24"), 6, "A proxy before Towpath at <> got no answer from it (HTTP 502, nginx/1.24)"),
    ("a proxy's page to log in", http("200 OK", "<html>log in</html>", HTML), 6, "or a proxy in between wants something first. Open the address in a browser"),
    ("a proxy that lets nobody through", http("403 Forbidden", "<html>no</html>", HTML, "Server: cloud"), 6, "what answers there is not Towpath (HTTP 403, cloud). Check the address in TOWPATH_URL"),
    ("an address that moved", http("301 Moved", "", "Location: https://new.example.com/apps"), 6, "<> sends us on to https://new.example.com: use that address in TOWPATH_URL."),
    ("another API", http("404 Not Found", '{"error": "no"}', JSON), 6, "what answers there is not Towpath (HTTP 404)"),
    ("an older server", http("404 Not Found", '{"id": "not_found", "message": "Couldn\'t find that resource: GET /apps"}', JSON), 1, "The server at <> does not know this yet (404 for /apps): it is older than this command line. Update it."),
    ("an older server with other methods", http("405 No", '{"id": "method_not_allowed", "message": "PUT is"}', JSON), 1, "it is older than this command line"),
    ("the router while Towpath starts", http("503 Service Unavailable", "Towpath is starting. Try again.\n", "Towpath-Router: web-away"), 6, "Towpath is starting. Try again. (<>)"),
    ("a bug of ours", http("500 Internal Server Error", "500: Internal Server Error", "Content-Type: text/plain"), 1, "The server had an error; its log says which"),
    ("a token that is not good", http("401 Unauthorized", '{"id": "unauthorized", "message": "Invalid credentials provided."}', JSON), 1, "Invalid credentials provided. Set TOWPATH_TOKEN"),
    ("no answer at all", b"", 6, "The connection to Towpath at <> broke off"),
    ("half an answer", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[", 6, "The connection to Towpath at <> broke off"),
    ("something that is no HTTP", b"SSH-2.0-OpenSSH_9.6\r\n", 6, "what answers there is not Towpath"),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "code", "words"), [row[1:] for row in ANSWERS], ids=[row[0] for row in ANSWERS])
async def test_an_answer_that_is_none_is_told_by_whose_it_is(
    stranger: Inside, raw: bytes, code: int, words: str
) -> None:
    async with answering(raw) as port:
        url = f"http://127.0.0.1:{port}"
        done = await stranger("apps", code=code, TOWPATH_URL=url, TOWPATH_TOKEN="hush")
    assert words.replace("<>", url) in done.err
    assert done.err.count("\n") == 1
    assert "hush" not in done.err


def certificate(place: Path, name: str, *, days: int) -> ssl.SSLContext:
    """The context of a server with a certificate of its own making."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=30))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    (place / "ca.pem").write_bytes(pem)
    plain = serialization.NoEncryption()
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (place / "both.pem").write_bytes(secret + pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(place / "both.pem")
    return context


CERTIFICATES = [
    ("of nobody whom we trust", "localhost", 30, False, "is signed by nobody whom this machine trusts"),
    ("of an authority that we name", "localhost", 30, True, ""),
    ("that has expired", "localhost", -1, True, "has expired: it has to be renewed there"),
    ("for another name", "other.example.com", 30, True, "is for another name than localhost"),
]


@pytest.mark.parametrize(
    ("name", "days", "trusted", "words"), [row[1:] for row in CERTIFICATES], ids=[row[0] for row in CERTIFICATES]
)
async def test_a_certificate_is_told_by_what_is_wrong_with_it(
    stranger: Inside, tmp_path: Path, name: str, days: int, trusted: bool, words: str
) -> None:
    context = certificate(tmp_path, name, days=days)
    env = {"SSL_CERT_FILE": str(tmp_path / "ca.pem")} if trusted else {}
    async with answering(http("200 OK", "[]", JSON), context) as port:
        url = f"https://localhost:{port}"
        code = 6 if words else 0
        done = await stranger("apps", "--json", code=code, TOWPATH_URL=url, TOWPATH_TOKEN="x", **env)
    assert words in done.err
    assert not words or "Nothing was sent" in done.err


async def test_what_speaks_no_tls_is_said_to_speak_none(stranger: Inside) -> None:
    async with answering(http("400 Bad Request", "no")) as port:
        done = await stranger("apps", code=6, TOWPATH_URL=f"https://127.0.0.1:{port}", TOWPATH_TOKEN="x")
    assert "does not speak TLS. Is it http:// there?" in done.err
