"""Logging: structlog everywhere, as JSON or for a console, never with a secret in it."""

import logging
import re
import sys
from typing import Any

import structlog

_SECRET = re.compile(
    r"gh[opsur]_[A-Za-z0-9._-]{20,}|github_pat_\w{20,}|towpath-[A-Za-z0-9_-]{20,}"
    r"|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{10,}|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----"
    r"|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)",
    re.DOTALL,
)


def redacted(text: str) -> str:
    """Return the text with everything that looks like a token, key or password blacked out."""
    return _SECRET.sub("[redacted]", text)


def _redact(_logger: Any, _method: str, event: Any) -> Any:
    return {key: redacted(value) if isinstance(value, str) else value for key, value in event.items()}


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
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(name)s: %(message)s")
