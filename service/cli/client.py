"""The Platform API over `http.client`: light to import, so that every command starts at once."""

import http.client
import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any
from urllib.parse import quote, urlsplit

from service.cli import trouble
from service.cli.errors import ApiError, ExitCode, Stop
from service.cli.profile import Profile, reached_at

Json = dict[str, Any]
_ACCEPT = "application/vnd.heroku+json; version=3"
_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the server said."""

    status: int
    headers: Mapping[str, str]
    data: Any

    @property
    def request_id(self) -> str | None:
        """The queued request that the change became, if it became one."""
        return self.headers.get("towpath-request")


def path(*parts: str) -> str:
    """Build a path of the API from words of the user; stops at one that can be nobody's name."""
    for part in parts:
        if not part.strip():
            raise Stop("A name is empty. Was a variable meant that is not set?", code=ExitCode.USAGE)
        if part in {".", ".."}:
            raise Stop(f"Nothing is named {part!r}.", code=ExitCode.USAGE)
    # What a terminal sent that is no UTF-8 goes as it is; nothing has such a name.
    return "".join(f"/{quote(part, safe='', errors='surrogateescape')}" for part in parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Calls to one server. Every call is its own connection: commands make few."""

    profile: Profile
    seconds: float = _SECONDS

    def get(self, target: str) -> Any:
        """Read one thing."""
        return self.call("GET", target).data

    def get_if_any(self, target: str) -> Json | None:
        """Read one thing; None when there is none of that name, or none that one may see."""
        try:
            found: Json = self.get(target)
        except ApiError as error:
            if error.id == "not_found":
                return None
            raise
        return found

    def everything(self, target: str) -> list[Json]:
        """Read a list to its end, however many parts it comes in."""
        return [it for part in self._parts(target) for it in part]

    def newest(self, target: str, *, by: str, limit: int) -> list[Json]:
        """Read the newest of a list, in as few parts as there are enough in."""
        found: list[Json] = []
        for part in self._parts(target, {"Range": f"{by} ..; order=desc,max={limit}"}):
            found += part
            if len(found) >= limit:
                break
        return found[:limit]

    def _parts(self, target: str, headers: Mapping[str, str] | None = None) -> Iterator[list[Json]]:
        answer = self.call("GET", target, headers=headers)
        yield answer.data
        while following := answer.headers.get("next-range"):
            answer = self.call("GET", target, headers={"Range": following})
            yield answer.data

    def call(
        self,
        method: str,
        target: str,
        body: Mapping[str, Any] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Make one call; raises `ApiError` with the server's words when it is refused."""
        with self._exchange(method, target, body, headers or {}) as response:
            raw = response.read()
            self._check(response, raw, target)
            return Answer(
                status=response.status,
                headers={name.lower(): value for name, value in response.getheaders()},
                data=self._read(raw) if raw else None,
            )

    def send(self, target: str, content: IO[bytes], *, size: int) -> None:
        """Send a file to an address of this server; raises `ApiError` when it is refused."""
        headers = {"Content-Type": "application/gzip", "Content-Length": str(size)}
        with self._exchange("PUT", _path_of(target), content, headers) as response:
            self._check(response, response.read(), target)

    def _read(self, raw: bytes) -> Any:
        try:
            return json.loads(raw)
        except ValueError:
            raise trouble.not_json(self.profile) from None

    def _check(self, response: http.client.HTTPResponse, raw: bytes, target: str) -> None:
        if (refused := trouble.refusal(self.profile, response, raw, target)) is not None:
            raise refused

    def stream(self, target: str) -> Iterator[str]:
        """Read plain text while it is being written; `target` is a path or an address of this server."""
        with self._exchange("GET", _path_of(target), None, {"Accept": "text/plain"}, follow=True) as response:
            if response.status != http.client.OK:
                self._check(response, response.read(), target)
            rest = b""
            while chunk := response.read1(65536):
                # A character may be cut in two by a chunk's end.
                whole, rest = _whole_characters(rest + chunk)
                yield whole
            if rest:
                yield rest.decode(errors="replace")

    @contextmanager
    def _exchange(
        self,
        method: str,
        target: str,
        body: Mapping[str, Any] | IO[bytes] | None,
        headers: Mapping[str, str],
        *,
        follow: bool = False,
    ) -> Iterator[http.client.HTTPResponse]:
        """Send a request and hold its answer open; what breaks on the way becomes one sentence."""
        connection = self._connection(None if follow else self.seconds)
        try:
            connection.request(
                method,
                urlsplit(self.profile.url).path.rstrip("/") + target,
                body=json.dumps(body) if isinstance(body, Mapping) else body,
                headers={
                    "Host": self.profile.host,
                    "Authorization": f"Bearer {self.profile.token}",
                    "Accept": _ACCEPT,
                    "User-Agent": "towpath-cli",
                    "Content-Type": "application/json",
                    **headers,
                },
            )
            yield connection.getresponse()
        except TimeoutError:
            raise trouble.too_slow(self.profile, self.seconds) from None
        except (OSError, http.client.HTTPException) as error:
            raise trouble.broken(self.profile, error) from None
        finally:
            connection.close()

    def _connection(self, seconds: float | None) -> http.client.HTTPConnection:
        parts = urlsplit(self.profile.url)
        name = parts.hostname or ""
        host = reached_at(name)
        if parts.scheme == "https":
            return _Secure(host, parts.port, seconds=seconds, name=name)
        return http.client.HTTPConnection(host, parts.port, timeout=seconds)


class _Secure(http.client.HTTPSConnection):
    """A connection whose certificate has to be for the name that was asked for, wherever that leads."""

    def __init__(self, host: str, port: int | None, *, seconds: float | None, name: str) -> None:
        super().__init__(host, port, timeout=seconds)
        self._name = name

    def connect(self) -> None:
        """Connect, and see who answers before anything is sent."""
        http.client.HTTPConnection.connect(self)
        self.sock = ssl.create_default_context().wrap_socket(self.sock, server_hostname=self._name)


def _path_of(target: str) -> str:
    parts = urlsplit(target)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def _whole_characters(raw: bytes) -> tuple[str, bytes]:
    for cut in range(4):
        end = len(raw) - cut
        try:
            return raw[:end].decode(), raw[end:]
        except UnicodeDecodeError:
            continue
    return raw.decode(errors="replace"), b""
