"""Logging: structlog everywhere, as JSON or for a console, never with a secret in it."""

import logging
import re
import sys
from typing import Any

import structlog

_SECRET = re.compile(
    r"gh[opsur]_[A-Za-z0-9._-]{20,}|github_pat_\w{20,}|towpath-[A-Za-z0-9_-]{20,}"
    r"|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{10,}|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----"
    r"|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)",
    re.DOTALL,
)


def redacted(text: str) -> str:
    """Return the text with everything that looks like a token, key or password blacked out."""
    return _SECRET.sub("[redacted]", text)


def _shown(value: Any) -> Any:
    """A value as it may be logged: what is neither text nor number is known by its text alone."""
    match value:
        case str():
            return redacted(value)
        case None | bool() | int() | float():
            return value
        case dict():
            return {redacted(str(key)): _shown(each) for key, each in value.items()}
        case list() | tuple():
            return [_shown(each) for each in value]
        case _:
            return redacted(repr(value))


def _redact(_logger: Any, _method: str, event: Any) -> Any:
    return _shown(dict(event))


class _Redacted(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))


def configure(form: str) -> None:
    """Set up logging of this process: `json` for machines, anything else for people."""
    last = structlog.processors.JSONRenderer() if form == "json" else structlog.dev.ConsoleRenderer(colors=False)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _redact,
            last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    # Libraries log through the standard library; their warnings matter, their chatter does not.
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Redacted("%(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
