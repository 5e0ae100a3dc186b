"""Take secrets out of text that people will read: values that are known, and whatever has a token's shape."""

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote, quote_plus

REDACTED: Final = "[redacted]"
_LEAST: Final = 6
"""Shorter values ("1", "true", "web") stand in every log and say nothing."""

_TOKENS: Final = re.compile(
    r"\b(?:gh[opsur]_[A-Za-z0-9_.-]{16,}"  # GitHub's tokens; newer ones hold a JWT
    r"|github_pat_[A-Za-z0-9_]{16,}"
    r"|towpath-[A-Za-z0-9_-]{40,}"
    r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,})"  # a JWT
)
_USERINFO: Final = re.compile(r"(?<=://)[^\s/@:'\"]{0,256}:[^\s/@'\"]{1,512}(?=@)|(?<=://)[A-Za-z0-9_.-]{20,256}(?=@)")
_AUTHORIZATION: Final = re.compile(r"(authorization:\s*(?:basic|bearer|token)\s+)[^\s'\"]+", re.IGNORECASE)
_PEM_BEGIN: Final = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----")
_PEM_END: Final = re.compile(r"-----END [A-Z0-9 ]*PRIVATE KEY-----")
_LONGEST_KEY: Final = 16 * 1024
"""In characters; a line that only looks like the beginning of a key must not hide everything behind it."""
_WRAPPED: Final = 76
"""Where `base64` and most libraries begin another line."""


class Redactor:
    """Redacts a stream of whole lines; remembers when it is inside a private key."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = {form.strip() for secret in secrets for form in _forms(secret.strip())}
        # The longest first, as one may hold another. One by one they are found faster than by one expression for all.
        self._known = sorted((form for form in known if len(form) >= _LEAST), key=lambda form: (-len(form), form))
        self._key_left = 0

    @property
    def longest(self) -> int:
        """How many characters of a secret may be at hand before it is recognized."""
        return len(self._known[0]) if self._known else 0

    @property
    def within_key(self) -> bool:
        """Whether what comes next is part of a private key."""
        return bool(self._key_left)

    def redact(self, text: str) -> str:
        """The text without its secrets."""
        for form in self._known:
            text = text.replace(form, REDACTED)
        text = _AUTHORIZATION.sub(rf"\g<1>{REDACTED}", _USERINFO.sub(REDACTED, _TOKENS.sub(REDACTED, text)))
        return self._without_keys(text)

    def _without_keys(self, text: str) -> str:
        kept = []
        while text:
            if self._key_left:
                end = _PEM_END.search(text, 0, self._key_left)
                taken = end.end() if end else min(len(text), self._key_left)
                self._key_left = 0 if end else self._key_left - taken
                text = text[taken:]
                continue
            begin = _PEM_BEGIN.search(text)
            if begin is None:
                kept.append(text)
                break
            kept += [text[: begin.start()], REDACTED]
            self._key_left = _LONGEST_KEY
            text = text[begin.end() :]
        return "".join(kept)


def _forms(secret: str) -> Iterator[str]:
    """A value as programs print it: as it is, a line at a time, quoted, in an address, in base64, in hexadecimal."""
    yield secret
    yield from secret.splitlines()
    if len(secret) < _LEAST:
        return
    raw = secret.encode(errors="surrogateescape")
    yield from (text[1:-1] for text in (json.dumps(secret), json.dumps(secret, ensure_ascii=False), repr(secret)))
    yield from (quote(raw, safe=safe) for safe in ("", "/", "!'()*"))
    yield quote_plus(raw)
    yield from (raw.hex(), raw.hex().upper())
    for digits in _base64(raw):
        yield from (digits, digits.translate(_URL_SAFE))


_URL_SAFE: Final = str.maketrans("+/", "-_")


def _base64(raw: bytes) -> Iterator[str]:
    """Its digits wherever in a longer text it begins, without those that depend on what stands beside it."""
    for before in range(3):
        digits = b64encode(bytes(before) + raw).decode()
        yield digits[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6]
    whole = b64encode(raw).decode().rstrip("=")
    if len(whole) > _WRAPPED:
        yield from (whole[start : start + _WRAPPED] for start in range(0, len(whole), _WRAPPED))
