"""Git's words on the wire: lines that say how long they are, and what a push asks for."""

import asyncio
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from aiohttp.streams import StreamReader

from service.domain.errors import Refused
from service.domain.model import NO_SHA, Sha
from service.domain.pushing import RefChange

FLUSH: Final = b"0000"
DATA, TEXT = 1, 2
"""The bands of an answer: what git reads, and what it shows as `remote:`."""
_MOST: Final = 65_520
_ROOM: Final = _MOST - 5
_COMMANDS: Final = 1000
_ASKED: Final = 1 << 19
"""How many bytes they may have: they are held until the last has come, and nobody has been given a place yet."""
_SHALLOW: Final = 100_000
"""Where a clone's history ends, in how many commits."""
_COMMAND: Final = re.compile(rb"([0-9a-f]{40}) ([0-9a-f]{40}) ([^\0\n]+)\n?")
_CAPABILITIES: Final = "report-status delete-refs side-band-64k ofs-delta object-format=sha1 agent=towpath"
_SIZE: Final = re.compile(rb"[0-9a-fA-F]{4}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PushRequest:
    """What a push asks for; `shallow` when the client has no whole history."""

    changes: tuple[RefChange, ...]
    capabilities: frozenset[str]
    shallow: bool

    @property
    def has_pack(self) -> bool:
        """Whether objects come behind it."""
        return not all(each.deletes for each in self.changes)


def line(content: bytes) -> bytes:
    """One line."""
    return b"%04x%b" % (len(content) + 4, content)


def bands(band: int, content: bytes) -> Iterator[bytes]:
    """Content for one band of an answer, in as many lines as it takes."""
    for start in range(0, len(content), _ROOM):
        yield line(bytes([band]) + content[start : start + _ROOM])


def advertised(refs: Mapping[str, Sha]) -> bytes:
    """What a client that wants to push is told: the refs that there are and what may be said."""
    known = dict(refs) or {"capabilities^{}": NO_SHA}
    lines = [f"{sha} {ref}" for ref, sha in known.items()]
    lines[0] += f"\0{_CAPABILITIES}"
    return line(b"# service=git-receive-pack\n") + FLUSH + b"".join(line(_raw(it)) for it in lines) + FLUSH


def report(unpacked: str, verdicts: Mapping[str, str]) -> bytes:
    """Tell what became of a push: of its objects, and of each ref; an empty verdict is a good one."""
    words = [f"unpack {unpacked}"]
    words += [f"ng {ref} {why}" if why else f"ok {ref}" for ref, why in verdicts.items()]
    return b"".join(line(_raw(each)) for each in words) + FLUSH


def _raw(text: str) -> bytes:
    # Names of refs need not be UTF-8: they go as they came.
    return f"{text}\n".encode(errors="surrogateescape")


async def read_push(body: StreamReader) -> PushRequest:
    """Read what a push asks for, up to its objects; raises `Refused` for what no git says."""
    commands: list[bytes] = []
    said, shallow, asked = b"", 0, 0
    while (content := await _next(body)) is not None:
        if content.startswith(b"shallow "):
            shallow += 1
            if shallow > _SHALLOW:
                raise Refused("The clone's history ends in too many places: git fetch --unshallow", code="bad_request")
            continue
        asked += len(content)
        if len(commands) == _COMMANDS or asked > _ASKED:
            raise Refused(f"A push may have {_COMMANDS} refs; send fewer at a time.", code="bad_request")
        command, _, capabilities = content.partition(b"\0")
        said = said or capabilities
        commands.append(command)
    return PushRequest(
        changes=tuple(_changes(commands)),
        capabilities=frozenset(said.decode(errors="replace").split()),
        shallow=shallow > 0,
    )


async def _next(body: StreamReader) -> bytes | None:
    """What the next line says; None for the end of a part."""
    with suppress(asyncio.IncompleteReadError):
        head = await body.readexactly(4)
        if head == FLUSH:
            return None
        if _SIZE.fullmatch(head) and 4 < int(head, 16) <= _MOST:
            return await body.readexactly(int(head, 16) - 4)
    raise Refused("This is no push of git: it is broken off, or its lines have no length.", code="bad_request")


def _changes(commands: Iterable[bytes]) -> Iterator[RefChange]:
    seen = set()
    for command in commands:
        found = _COMMAND.fullmatch(command)
        if found is None or found[3] in seen:
            raise Refused("This is no push of git: one of its lines cannot be read.", code="bad_request")
        seen.add(found[3])
        before, after, ref = (each.decode(errors="surrogateescape") for each in found.groups())
        yield RefChange(ref=ref, before=Sha(before), after=Sha(after))
