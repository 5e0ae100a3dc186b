"""Take secrets out of text that people will read: values that are known, and whatever has a token's shape."""

import re
from collections.abc import Iterable
from typing import Final

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


class Redactor:
    """Redacts a stream of whole lines; remembers when it is inside a private key."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # A value of several lines is printed a line at a time; the longest first, as one may hold another.
        lines = {line.strip() for secret in secrets for line in [secret, *secret.splitlines()]}
        known = sorted((line for line in lines if len(line) >= _LEAST), key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None
        self._key_left = 0

    def redact(self, text: str) -> str:
        """The text without its secrets."""
        if self._known is not None:
            text = self._known.sub(REDACTED, text)
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
