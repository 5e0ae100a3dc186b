"""Who we are to GitHub: a GitHub App with short-lived tokens, each for one repository and one purpose, or one token.

An installation token lives an hour and is asked for with no more than its purpose needs, so that one that leaks opens
one repository for one thing. Tokens are variable in length and form since 2026; nothing here depends on either.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final, Protocol

import jwt as pyjwt
import msgspec
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from jwt.algorithms import RSAAlgorithm

from service.domain.errors import Refused, Transient
from service.domain.model import Repository
from service.github.hints import InstallationState
from service.github.purposes import Purpose
from service.github.transport import Reply, Transport
from service.settings import Settings

TOKEN_SECONDS: Final = 50 * 60.0
log = structlog.get_logger()

NO_ACCESS: Final = "github_access"
"""The code of a refusal that is about what our App may do where."""
_JWT_SECONDS: Final = 7 * 60.0
_JWT_LIFE: Final = 9 * 60
"""GitHub allows ten minutes; one is left for its clock."""
_BEFORE: Final = 60
"""GitHub takes none that is signed in its future; so far its clock may be behind."""
_SKEW: Final = 30.0
"""By so much clocks may differ without anybody's minding."""


class Stranger(Transient):
    """GitHub does not know who we are: a key, a token or a clock is wrong. Once people put that right, all goes on.

    GitHub shuts out for a while who goes on presenting what is wrong, so that it is not tried again at once.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message, retry_after=60.0)


class Credentials(Protocol):
    """Whence tokens come. `app_id` is 0 without a GitHub App."""

    @property
    def app_id(self) -> int:
        """Our GitHub App's id, by which its own checks are known."""

    async def installation_id(self, repository: Repository) -> int:
        """The installation that covers the repository, 0 without a GitHub App."""

    async def installed_on(self, repository: Repository) -> int | None:
        """The installation that covers the repository now, 0 for none, whatever was told; None without an App."""

    async def is_suspended(self, repository: Repository) -> bool:
        """Whether GitHub says so of the installation that covers the repository."""

    async def token(self, repository: Repository, purpose: Purpose) -> str:
        """A token that is good for this. The repository's id may be 0 while only its name is known."""

    async def git_token(self, repository: Repository) -> str:
        """The password of user `x-access-token` for git."""

    def drop(self, token: str) -> bool:
        """GitHub refused the token; whether another one may be had."""

    async def ask(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        params: Mapping[str, str] | None = None,
        etag: str = "",
        raw: bool = False,
    ) -> Reply:
        """Ask as the App itself; raises `Refused` without a GitHub App."""

    async def installation_state(self, installation_id: int) -> InstallationState | None:
        """What an installation is now, whatever events have said; None without a GitHub App."""


class FixedToken:
    """One token for everything: a personal access token, or none for public repositories."""

    def __init__(self, token: str) -> None:
        self._token = token

    @property
    def app_id(self) -> int:
        """There is no App."""
        return 0

    async def installation_id(self, repository: Repository) -> int:  # noqa: ARG002
        """There is no App."""
        return 0

    async def installed_on(self, repository: Repository) -> int | None:  # noqa: ARG002
        """There is no App."""
        return None

    async def is_suspended(self, repository: Repository) -> bool:  # noqa: ARG002
        """There is no App."""
        return False

    async def token(self, repository: Repository, purpose: Purpose) -> str:  # noqa: ARG002
        """Always the same."""
        return self._token

    async def git_token(self, repository: Repository) -> str:  # noqa: ARG002
        """Always the same."""
        return self._token

    def drop(self, token: str) -> bool:  # noqa: ARG002
        """There is no other."""
        return False

    async def ask(self, *_: Any, **__: Any) -> Reply:
        """There is no App."""
        raise Refused("there is no GitHub App", code=NO_ACCESS)

    async def installation_state(self, installation_id: int) -> InstallationState | None:  # noqa: ARG002
        """There is no App."""
        return None


class _Issued(msgspec.Struct, frozen=True):
    token: str


class _Installation(msgspec.Struct, frozen=True):
    id: int
    suspended_at: str | None = None


_Slot = tuple[int, str, Purpose]


@dataclass(slots=True)
class _Kept:
    token: str = field(default="", repr=False)
    refresh_at: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class AppTokens:
    """A GitHub App's tokens, kept until shortly before they end; at most one request at a time for each."""

    def __init__(
        self,
        *,
        transport: Transport,
        app_id: str,
        private_key: str,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        key_file: Path | None = None,
    ) -> None:
        self._transport = transport
        self._app_id = app_id
        self._private_key = private_key
        self._clock = clock
        self._wall_clock = wall_clock
        self._key_file = key_file
        self.skew = 0.0
        self._jwt = ""
        self._jwt_refresh_at = 0.0
        self._kept: dict[_Slot, _Kept] = {}
        self._installations: dict[str, int] = {}
        if not app_id.isdigit():
            raise Refused(f"TOWPATH_GITHUB_APP_ID={app_id!r} is not a number: the App's settings page shows it")
        self.jwt()

    def __repr__(self) -> str:
        """Name the App, never show its key."""
        return f"AppTokens({self._app_id})"

    @classmethod
    def load(cls, *, transport: Transport, app_id: str, key_file: Path) -> "AppTokens":
        """With the key in a file; raises `Refused` when it cannot be used."""
        return cls(transport=transport, app_id=app_id, private_key=_read(key_file), key_file=key_file)

    @property
    def app_id(self) -> int:
        """Our App."""
        return int(self._app_id)

    def jwt(self) -> str:
        """What the App itself speaks with; its times are by GitHub's clock, as far as that is known to differ."""
        if not self._jwt or self._clock() >= self._jwt_refresh_at:
            issued = int(self._wall_clock() + self.skew) - _BEFORE
            claims = {"iat": issued, "exp": issued + _BEFORE + _JWT_LIFE, "iss": self._app_id}
            try:
                self._jwt = pyjwt.encode(claims, _signing_key(self._private_key), algorithm="RS256")
            except (ValueError, TypeError, pyjwt.PyJWTError):
                named = f"TOWPATH_GITHUB_PRIVATE_KEY_FILE={self._key_file}" if self._key_file else "the App's key"
                raise Refused(f"{named} is no RSA private key in PEM form") from None
            self._jwt_refresh_at = self._clock() + _JWT_SECONDS
        return self._jwt

    async def ask(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        params: Mapping[str, str] | None = None,
        etag: str = "",
        raw: bool = False,
    ) -> Reply:
        """Ask as the App itself; raises `Stranger` when GitHub does not know it, be it by GitHub's own clock.

        `skew` is then by how many seconds GitHub's clock is ahead of this machine's, 0 while they agree.
        """
        send = partial(self._transport.send, method, path, body=body, params=params, etag=etag, raw=raw)
        used = self._jwt
        reply = await send(jwt=self.jwt())
        if reply.status == 401:
            corrected = self._correct(reply)
            if corrected or used:  # what was signed some time ago may be of another time than this
                reply = await send(jwt=self.jwt())
        if reply.status == 401:
            self._jwt = ""
            clock = f"; this machine's clock differs from GitHub's by {abs(self.skew):.0f} s" if self.skew else ""
            raise Stranger(f"GitHub does not accept the App's id and key: {reply.message}{clock}")
        return reply

    def _correct(self, refused: Reply) -> bool:
        """Take GitHub's time, and a key that was put in place since; whether either is another than before."""
        key, skew = self._private_key, self.skew
        ahead = 0.0 if refused.said_at is None else refused.said_at - self._wall_clock()
        self.skew = ahead if abs(ahead) > _SKEW else 0.0
        if self._key_file is not None:
            with suppress(Refused):
                self._private_key = _read(self._key_file)
        self._jwt = ""
        changed = key != self._private_key or abs(skew - self.skew) > _SKEW
        if changed:
            anew = key != self._private_key
            log.warning("github app signs anew", clock_differs_seconds=round(self.skew), new_key=anew)
        return changed

    async def installation_id(self, repository: Repository) -> int:
        """As events named it, or looked up where none has, or where the one that was named covers it no more."""
        return (
            self._installations.get(_name(repository)) or repository.installation_id or await self._look_up(repository)
        )

    async def installed_on(self, repository: Repository) -> int | None:
        """By the repository's number, if that is known: its name may be another one's by now."""
        place = f"/repositories/{repository.id}" if repository.id else f"/repos/{repository.full_name}"
        reply = await self.ask("GET", f"{place}/installation")
        return reply.read(_Installation).id if reply.ok else 0

    async def _look_up(self, repository: Repository) -> int:
        name = _name(repository)
        if name not in self._installations:
            found = await self.installed_on(repository)
            if not found:
                raise Refused(
                    f"the GitHub App is not installed on {repository.full_name}: install it there", code=NO_ACCESS
                )
            self._installations[name] = found
        return self._installations[name]

    async def is_suspended(self, repository: Repository) -> bool:
        """By its own record, which the App may read whatever became of the installation's tokens."""
        if not repository.installation_id:
            return False
        address = f"/app/installations/{repository.installation_id}"
        reply = await self._transport.send("GET", address, jwt=self.jwt())
        return reply.ok and reply.read(_Installation).suspended_at is not None

    async def token(self, repository: Repository, purpose: Purpose) -> str:
        """From what is kept, or a new one."""
        installation = await self.installation_id(repository)
        kept = self._kept.setdefault((installation, _name(repository), purpose), _Kept())
        async with kept.lock:
            if not kept.token or self._clock() >= kept.refresh_at:
                asked_at = self._clock()
                kept.token = await self._issue(installation, repository, purpose)
                kept.refresh_at = asked_at + TOKEN_SECONDS
            return kept.token

    async def git_token(self, repository: Repository) -> str:
        """May read the repository's content, nothing else."""
        return await self.token(repository, Purpose.GIT)

    def drop(self, token: str) -> bool:
        """Forget it, so that the next one asks anew."""
        for kept in self._kept.values():
            if kept.token == token:
                kept.token = ""
        return True

    async def installation_state(self, installation_id: int) -> InstallationState | None:
        """Ask GitHub; tokens of an installation that is not active or not found are forgotten."""
        reply = await self.ask("GET", f"/app/installations/{installation_id}")
        if not reply.ok and reply.status != 404:
            raise Refused(f"GitHub does not tell of installation {installation_id}: {reply.message}", code="github")
        suspended = reply.ok and reply.read(_Installation).suspended_at is not None
        if reply.ok and not suspended:
            return InstallationState.ACTIVE
        self._kept = {slot: kept for slot, kept in self._kept.items() if slot[0] != installation_id}
        self._installations = {name: each for name, each in self._installations.items() if each != installation_id}
        return InstallationState.SUSPENDED if suspended else InstallationState.DELETED

    async def _issue(self, installation: int, repository: Repository, purpose: Purpose) -> str:
        reply = await self._ask(installation, repository, purpose)
        if _is_elsewhere(reply) and repository.installation_id:
            # Perhaps the App was installed anew, or the repository has another owner; the event that told was lost.
            self._installations.pop(_name(repository), None)
            reply = await self._ask(await self._look_up(repository), repository, purpose)
        if not reply.ok:
            self._installations.pop(_name(repository), None)
            raise Refused(
                f"GitHub gives no access to {repository.full_name} for {purpose.value}: {reply.message}",
                code=NO_ACCESS,
            )
        return reply.read(_Issued).token

    async def _ask(self, installation: int, repository: Repository, purpose: Purpose) -> Reply:
        return await self.ask(
            "POST",
            f"/app/installations/{installation}/access_tokens",
            body={**_only(repository), "permissions": dict(purpose.permissions)},
        )


def credentials(settings: Settings, transport: Transport) -> Credentials:
    """As configured: a GitHub App, a token, or nothing but public repositories."""
    if settings.github_app_id and settings.github_private_key_file:
        return AppTokens.load(
            transport=transport, app_id=settings.github_app_id, key_file=settings.github_private_key_file
        )
    if settings.github_app_id or settings.github_private_key_file:
        raise Refused("a GitHub App needs both TOWPATH_GITHUB_APP_ID and TOWPATH_GITHUB_PRIVATE_KEY_FILE")
    return FixedToken(settings.github_token)


def _read(key_file: Path) -> str:
    try:
        return key_file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise Refused(f"TOWPATH_GITHUB_PRIVATE_KEY_FILE={key_file} cannot be read: {reason}") from None


def _name(repository: Repository) -> str:
    return str(repository.id or repository.full_name)


def _is_elsewhere(reply: Reply) -> bool:
    """Whether the installation is gone, or has that repository no more; that it lacks a permission is 422 as well."""
    return reply.status == 404 or (reply.status == 422 and "repositor" in reply.message)


def _only(repository: Repository) -> Mapping[str, Sequence[int | str]]:
    """What narrows a token to one repository."""
    if repository.id:
        return {"repository_ids": [repository.id]}
    return {"repositories": [repository.full_name.partition("/")[2]]}


@lru_cache(maxsize=4)
def _signing_key(pem: str) -> RSAPrivateKey:
    """The key to sign with. To read it takes a tenth of a second, for it is checked: once is enough."""
    key = RSAAlgorithm(RSAAlgorithm.SHA256).prepare_key(pem)
    if not isinstance(key, RSAPrivateKey):
        raise TypeError("a public key signs nothing")
    return key
