"""Who may speak to the simulated GitHub: the App's JWT, installation tokens of one hour, personal tokens."""

import base64
import hmac
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from service.demo.simulator.state import Account, Caller, Installation

HOUR = timedelta(hours=1)
OF_FINE_GRAINED = {
    *("actions", "administration", "contents", "deployments", "issues", "merge_queues", "metadata", "pull_requests"),
    *("repository_hooks", "statuses"),
}
"""What the form for fine-grained tokens offers of what is used here: "The 'Checks' permission is not available for
fine-grained personal access tokens" (community discussion 179545)."""


class BadCredentials(Exception):
    """401; the text is GitHub's."""


@dataclass(slots=True)
class _Issued:
    installation: Installation
    repository_ids: frozenset[int] | None
    permissions: dict[str, str]
    expires_at: datetime


@dataclass(slots=True)
class Keys:
    """The App's key pair and every token that is valid now."""

    app_id: int
    private_key_pem: str = ""
    admin_token: str = field(default_factory=lambda: "ghp_" + secrets.token_urlsafe(27))
    _public: rsa.RSAPublicKey | None = None
    _issued: dict[str, _Issued] = field(default_factory=dict)
    _personal: dict[str, Caller] = field(default_factory=dict)

    @classmethod
    def create(cls, app_id: int, *, kept: Path | None = None) -> "Keys":
        """A fresh key pair, or the one kept in a file by an earlier start."""
        if kept is not None and kept.exists():
            pem = kept.read_bytes()
            return cls(app_id, pem.decode(), _public=_public_key(pem))
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        return cls(app_id, pem.decode(), _public=key.public_key())

    def renew(self, app_id: int) -> None:
        """Another App with a key of its own; what the former one's key was good for is over."""
        fresh = Keys.create(app_id)
        self.app_id, self.private_key_pem, self._public = app_id, fresh.private_key_pem, fresh._public  # noqa: SLF001
        self._issued.clear()

    def issue(
        self,
        installation: Installation,
        *,
        repository_ids: frozenset[int] | None,
        permissions: dict[str, str],
        now: datetime,
    ) -> tuple[str, datetime]:
        """A new installation token, in the long form that GitHub uses since April 2026."""
        parts = [base64.urlsafe_b64encode(secrets.token_bytes(size)).decode().rstrip("=") for size in (30, 90, 256)]
        token = f"ghs_{self.app_id}_" + ".".join(parts)
        expires = now + HOUR
        self._issued[token] = _Issued(installation, repository_ids, permissions, expires)
        return token, expires

    def revoke(self, token: str) -> None:
        """`DELETE /installation/token`."""
        self._issued.pop(token, None)

    def revoke_installation(self, installation: Installation) -> None:
        """An uninstalled App's tokens are worth nothing."""
        self._issued = {text: one for text, one in self._issued.items() if one.installation is not installation}

    def personal(self, account: Account) -> str:
        """A classic personal access token, with what the person may do."""
        token = "ghp_" + secrets.token_urlsafe(27)
        self._personal[token] = Caller(kind="user", account=account, key=token)
        return token

    def fine_grained(
        self, account: Account, *, repository_ids: frozenset[int] | None, permissions: dict[str, str]
    ) -> str:
        """A fine-grained personal access token; raises `ValueError` for a permission that GitHub's form lacks."""
        if unknown := permissions.keys() - OF_FINE_GRAINED:
            raise ValueError(f"no fine-grained token can have {', '.join(sorted(unknown))}")
        token = "github_pat_" + secrets.token_urlsafe(60)
        self._personal[token] = Caller(
            kind="user", account=account, key=token, fine_grained=True, repository_ids=repository_ids,
            permissions=dict(permissions),
        )  # fmt: skip
        return token

    def of_user(self, account: Account) -> str:
        """A token by which our App speaks for a person."""
        token = "ghu_" + secrets.token_urlsafe(27)
        self._personal[token] = Caller(kind="user", account=account, key=token)
        return token

    def end_of_user(self, token: str) -> bool:
        """`DELETE /applications/{client_id}/token`; whether there was such a token."""
        return token.startswith("ghu_") and self._personal.pop(token, None) is not None

    @property
    def of_users(self) -> list[str]:
        """The tokens by which our App speaks for people now."""
        return [token for token in self._personal if token.startswith("ghu_")]

    def is_admin(self, token: str) -> bool:
        """Whether this is the demo's own key to everything."""
        return hmac.compare_digest(token.encode(errors="replace"), self.admin_token.encode())

    def caller(self, authorization: str, now: datetime) -> Caller:
        """Who presents this Authorization header; raises `BadCredentials`."""
        if not authorization:
            return Caller(kind="anonymous")
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() == "basic":
            token = password(authorization)
        if token.count(".") == 2 and not token.startswith("ghs_"):
            return self._app(token, now)
        return self.token(token, now)

    def token(self, token: str, now: datetime) -> Caller:
        """Who presents this installation or personal token; raises `BadCredentials`."""
        if token in self._personal:
            return self._personal[token]
        issued = self._issued.get(token)
        if issued is None or issued.expires_at <= now:
            raise BadCredentials("Bad credentials")
        return Caller(
            kind="installation",
            installation=issued.installation,
            repository_ids=issued.repository_ids,
            permissions=issued.permissions,
            key=token,
        )

    def _app(self, token: str, now: datetime) -> Caller:
        assert self._public is not None
        # The clock is the simulation's, so the times are checked here and not by the library.
        options = {"verify_exp": False, "verify_iat": False, "verify_nbf": False, "require": ["exp", "iat", "iss"]}
        try:
            claims = jwt.decode(token, self._public, algorithms=["RS256"], options=options)  # type: ignore[arg-type]
        except jwt.InvalidTokenError:
            raise BadCredentials("A JSON web token could not be decoded") from None
        issued, expires, moment = float(claims["iat"]), float(claims["exp"]), now.timestamp()
        if str(claims["iss"]) not in {str(self.app_id), f"Iv23li{self.app_id}"}:
            raise BadCredentials("'Issuer' claim ('iss') must be an Integer")
        if issued > moment + 5:
            raise BadCredentials("'Issued at' claim ('iat') must be an Integer representing the time in the past")
        if expires <= moment:
            raise BadCredentials("'Expiration time' claim ('exp') must be a numeric value representing the future time")
        if expires > moment + 605:
            raise BadCredentials("'Expiration time' claim ('exp') is too far in the future")
        return Caller(kind="app", key="app")


def password(authorization: str) -> str:
    """The password of a Basic header; raises `BadCredentials`."""
    try:
        text = base64.b64decode(authorization.partition(" ")[2], validate=True).decode()
    except (ValueError, UnicodeDecodeError):
        raise BadCredentials("Bad credentials") from None
    return text.partition(":")[2] or text.partition(":")[0]


@lru_cache(maxsize=4)
def _public_key(pem: bytes) -> rsa.RSAPublicKey:
    """What belongs to a private key. To read that takes a tenth of a second, for it is checked: once is enough."""
    loaded = serialization.load_pem_private_key(pem, None)
    assert isinstance(loaded, rsa.RSAPrivateKey)
    return loaded.public_key()
