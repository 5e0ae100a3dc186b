"""Text for GitHub: cut to its limits and harmless whatever an app, a branch or a log contains."""

import re
from collections.abc import Sequence
from typing import Final

LONGEST_DESCRIPTION: Final = 140
LONGEST_SUMMARY: Final = 65_535
_ANSI: Final = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_WEB: Final = re.compile(r"https?://[^\s<>()|]+")


def plain(text: str) -> str:
    """One line without control characters."""
    return " ".join(_CONTROL.sub("", _ANSI.sub("", text)).split())


def cut(text: str, longest: int) -> str:
    """One line of at most `longest` characters; GitHub refuses a longer description."""
    line = plain(text)
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def link(url: str) -> str:
    """The address if it is one that a browser may be sent to."""
    return url if _WEB.fullmatch(url) else ""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell(text: str) -> str:
    """Words of others in a table: no markup, no mention, no way out of the cell."""
    escaped = re.sub(r"([\\|`*_\[\]])", r"\\\1", plain(text)).replace("&", "&amp;").replace("<", "&lt;")
    return escaped.replace("@", "@\u200b")


def with_log(head: str, log: str) -> str:
    """A summary with the end of a log below it, together within GitHub's limit; the log's beginning is dropped."""
    head = _last_bytes(head, LONGEST_SUMMARY, keep_end=False)
    log = _CONTROL.sub("", _ANSI.sub("", log)).strip()
    if not log:
        return head
    longest_run = max((len(run) for run in re.findall(r"`+", log)), default=0)
    fence = "`" * max(3, longest_run + 1)
    opening, closing = f"\n\n{fence}text\n", f"\n{fence}\n"
    room = LONGEST_SUMMARY - len(f"{head}{opening}{closing}".encode())
    return f"{head}{opening}{_last_bytes(log, room, keep_end=True)}{closing}" if room > 0 else head


def _last_bytes(text: str, longest: int, *, keep_end: bool) -> str:
    """Cut by bytes, not characters: true for either way GitHub may count."""
    raw = text.encode(errors="replace")
    if len(raw) <= longest:
        return text
    return (raw[-longest:] if keep_end else raw[:longest]).decode(errors="ignore")
