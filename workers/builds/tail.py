"""The end of a build's output, kept while it streams by: where the cause of a failure stands."""

import re
from collections import deque
from dataclasses import dataclass, field

from service.domain.model import Position
from service.store.redaction import Redactor
from workers.platforms.base import KeepingLog, Log

_COLOR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")
_ENDS = re.compile(r"[\r\n]")
_SHOWN_LINES = 6
_SHOWN_OF_A_LINE = 300
_LONGEST_LINE = 16 * 1024


@dataclass(slots=True, kw_only=True)
class Tail:
    """A log that passes everything on and remembers the last lines, without secrets: they are shown on GitHub."""

    log: Log
    redactor: Redactor = field(default_factory=Redactor)
    _lines: deque[str] = field(default_factory=lambda: deque(maxlen=50))
    _rest: str = ""

    async def write(self, text: str) -> None:
        """Pass on; lines may come in parts."""
        await self.log.write(text)
        self._remember(text)

    async def position(self, source: str) -> Position | None:
        """Ask the log, if it is one that knows."""
        return await self.log.position(source) if isinstance(self.log, KeepingLog) else None

    async def write_from(self, text: str, *, source: str, position: Position) -> None:
        """Pass on, likewise."""
        if isinstance(self.log, KeepingLog):
            await self.log.write_from(text, source=source, position=position)
        else:
            await self.log.write(text)
        self._remember(text)

    async def settle(self) -> None:
        """Have the log keep all of it."""
        if isinstance(self.log, KeepingLog):
            await self.log.settle()

    def _remember(self, text: str) -> None:
        *lines, rest = _ENDS.split(self._rest + text)
        self._rest = rest[: _LONGEST_LINE + 1]
        clean = self.redactor.redact("".join(f"{_whole(line)}\n" for line in lines))
        self._lines.extend(line for line in clean.splitlines() if line.strip())

    def cause(self) -> str:
        """Return the last lines of the step that failed, without colors and markers; empty if nothing was said."""
        said: list[str] = []
        for line in reversed([*self._lines, self.redactor.redact(_whole(self._rest))]):
            clean = _COLOR.sub("", line).removeprefix(" !").strip()[:_SHOWN_OF_A_LINE]
            if clean.startswith("----->") or len(said) == _SHOWN_LINES:
                break
            if clean:
                said.append(clean)
        return "\n".join(reversed(said))


def _whole(line: str) -> str:
    """The line, unless it is too long to be kept: no secret can be recognized where a line is cut."""
    return line if len(line) <= _LONGEST_LINE else "[a line that is too long to be shown]"
