"""Secrets at rest: sealed with the newest key of a file that may hold several, opened with the key they name.

A sealed value is format (1 byte), key id (4), nonce (12), AES-256-GCM ciphertext; its context (what it is and whose) is
authenticated, so that a value copied to another row does not open there.
"""

import base64
import binascii
import hmac
import os
import secrets
import stat
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Final, Self

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection, insert, select, update

from service.domain.errors import Refused
from service.store.tables import meta

_FORMAT: Final = b"\x01"
_CANARY: Final = "canary"
_HEAD: Final = """\
# The keys that encrypt secrets in Towpath's database, one per line; the last one encrypts, all of them decrypt.
# Without this file config vars cannot be read: keep a copy apart from the database.
"""


class Vault:
    """The keys of one installation."""

    def __init__(self, keys: tuple[bytes, ...], *, path: Path) -> None:
        self._ciphers = {sha256(key).digest()[:4]: AESGCM(key) for key in keys}
        self._signers = [sha256(b"signer\0" + key).digest() for key in keys]
        self._newest = list(self._ciphers)[-1]
        self._path = path

    def __repr__(self) -> str:
        """Name the keys, never show them."""
        return f"Vault({self._names()})"

    @classmethod
    def open(cls, path: Path, *, create: bool) -> Self:
        """Read the keys file, made with a first key if it is missing and `create` says so."""
        if create and not path.exists():
            _create(path)
        try:
            text = path.read_text(encoding="ascii")
            mode = path.stat().st_mode
        except FileNotFoundError:
            raise Refused(
                f"The keys file {path} is missing: restore it, or name it by TOWPATH_SECRET_KEY_FILE"
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise Refused(f"The keys file {path} cannot be read: {error}") from error
        if mode & (stat.S_IRWXO | stat.S_IWGRP):
            raise Refused(f"The keys file {path} can be read or changed by others: chmod 600 {path}")
        lines = [line.strip() for line in text.splitlines()]
        keys = tuple(_key(line, path) for line in lines if line and not line.startswith("#"))
        if not keys:
            raise Refused(f"The keys file {path} holds no key: restore it from a copy")
        return cls(keys, path=path)

    def seal(self, plain: bytes, context: str) -> bytes:
        """Encrypt with the newest key."""
        nonce = secrets.token_bytes(12)
        return _FORMAT + self._newest + nonce + self._ciphers[self._newest].encrypt(nonce, plain, context.encode())

    def unseal(self, sealed: bytes, context: str) -> bytes:
        """Decrypt what was sealed under the same context; refuses when its key is not in the file."""
        if sealed[:1] != _FORMAT:
            raise Refused("A secret in the database has an unknown format: it was written by a newer Towpath")
        key_id, nonce, body = sealed[1:5], sealed[5:17], sealed[17:]
        if key_id not in self._ciphers:
            raise Refused(f"data needs key {key_id.hex()}, file {self._path} holds {self._names()}")
        try:
            return self._ciphers[key_id].decrypt(nonce, body, context.encode())
        except InvalidTag:
            raise Refused(f"A secret in the database is damaged or was moved ({context})") from None

    def seal_vars(self, variables: Mapping[str, str], context: str) -> bytes:
        """Encrypt config vars."""
        return self.seal(msgspec.json.encode(dict(variables)), context)

    def unseal_vars(self, sealed: bytes, context: str) -> dict[str, str]:
        """Decrypt config vars."""
        return msgspec.json.decode(self.unseal(sealed, context), type=dict[str, str])

    def sign(self, text: str, context: str) -> str:
        """Make a key for an address that nobody can guess, the same one each time; `context` says what it opens."""
        return _signature(self._signers[-1], text, context)

    def has_signed(self, signature: str, text: str, context: str) -> bool:
        """Whether that is the key, made with any of the keys of the file."""
        given = signature.encode(errors="replace")
        made = (_signature(signer, text, context).encode() for signer in self._signers)
        return any(hmac.compare_digest(each, given) for each in made)

    def is_current(self, sealed: bytes) -> bool:
        """Whether a value is sealed with the newest key."""
        return sealed[1:5] == self._newest

    def check_canary(self, conn: Connection) -> None:
        """Refuse a database whose secrets these keys cannot open; a new database gets its canary here."""
        sealed = conn.execute(select(meta.c.value).where(meta.c.name == _CANARY)).scalar()
        if sealed is None:
            conn.execute(insert(meta).values(name=_CANARY, value=self.seal(b"towpath", _CANARY)))
        else:
            self.unseal(sealed, _CANARY)

    def renew_canary(self, conn: Connection) -> None:
        """Seal the canary with the newest key: the last step of a rotation."""
        conn.execute(update(meta).where(meta.c.name == _CANARY).values(value=self.seal(b"towpath", _CANARY)))

    def _names(self) -> str:
        return ", ".join(key_id.hex() for key_id in self._ciphers)


def _signature(signer: bytes, text: str, context: str) -> str:
    return hmac.digest(signer, f"{context}\0{text}".encode(), "sha256").hex()


def request_context(app_id: str) -> str:
    """What the sealed part of a queued request is bound to."""
    return f"config:{app_id}"


def new_key_line() -> str:
    """A fresh key as a line of the keys file."""
    return base64.b64encode(secrets.token_bytes(32)).decode() + "\n"


def _create(path: Path) -> None:
    # Linked into place whole: of several processes that start at once one makes the file and all read the same key.
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(_HEAD + new_key_line())
            file.flush()
            os.fsync(file.fileno())
        os.link(fresh, path)
    except FileExistsError:
        pass
    finally:
        fresh.unlink()


def _key(line: str, path: Path) -> bytes:
    try:
        key = base64.b64decode(line, validate=True)
    except binascii.Error:
        key = b""
    if len(key) != 32:
        raise Refused(f"The keys file {path} has a line that is not a key (32 bytes in base64)")
    return key
