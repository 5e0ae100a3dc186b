"""Looking for secrets in everything that an installation keeps, shows, sends or runs, as they are and encoded."""

import asyncio
import base64
import os
import sqlite3
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import zstandard
from aiohttp import web
from aiohttp.typedefs import Handler
from redis.asyncio import Redis

from tests.walk.stage import Stage

_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_SELDOM: Final = 0.01


def needles(value: str) -> list[bytes]:
    """What a value looks like wherever it stands within a longer text; written apart from what takes secrets out."""
    raw = value.encode()
    forms = [raw, raw.hex().encode(), raw.hex().upper().encode()]
    for before, start in ((0, 0), (1, 2), (2, 3)):
        digits = base64.b64encode(bytes(before) + raw).rstrip(b"=")[start:-1]
        forms += [digits, digits.replace(b"+", b"-").replace(b"/", b"_")]
    return list(dict.fromkeys(forms))


@dataclass(frozen=True, slots=True)
class Search:
    """Secrets by name, each with the forms that give it away."""

    forms: Mapping[str, list[bytes]]

    @classmethod
    def of(cls, values: Iterable[tuple[str, str]]) -> "Search":
        """Several values may go by one name."""
        forms: dict[str, list[bytes]] = {}
        for name, value in values:
            assert len(value) >= 16, f"{name} is found by chance"
            forms.setdefault(name, []).extend(needles(value))
        return cls(forms)

    def __call__(self, data: bytes) -> set[str]:
        """Which of them are in there."""
        return {name for name, forms in self.forms.items() if any(form in data for form in forms)}

    def at(self, where: object, data: bytes) -> list[str]:
        """The same in words."""
        return [f"{name} in {where}" for name in sorted(self(data))]


# On disk --------------------------------------------------------------------------------------------


def in_files(search: Search, root: Path, *, without: Iterable[str]) -> dict[Path, set[str]]:
    """Every file below `root` but for directories of those names; what is packed is looked at unpacked, too."""
    found: dict[Path, set[str]] = {}
    for place, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in without]
        for path in (Path(place, name) for name in names):
            with suppress(FileNotFoundError):  # a part was renamed meanwhile
                if (
                    path.is_file()
                    and not path.is_symlink()
                    and (hits := search(path.read_bytes()) | _packed(search, path))
                ):
                    found[path] = hits
    for mirror in root.rglob("*.git"):
        if (mirror / "objects").is_dir() and not set(without) & set(mirror.parts):
            command = ["git", "-C", mirror, "cat-file", "--batch-all-objects", "--batch", "--buffer"]
            if hits := search(subprocess.run(command, check=True, capture_output=True).stdout):
                found[mirror / "objects"] = hits
    return found


def is_of_runner(path: Path, root: Path) -> bool:
    """Whether the runner alone has it: what it starts apps by without the database, and what commands printed."""
    printed = path.name == "out" and path.relative_to(root).parts[1:3] == ("run", "x")
    return (path.name == "wanted.json" or printed) and path.stat().st_mode & 0o077 == 0


def _packed(search: Search, path: Path) -> set[str]:
    with path.open("rb") as file:
        if file.read(4) != _ZSTD:
            return set()
        file.seek(0)
        return search(zstandard.ZstdDecompressor().stream_reader(file).read())


def in_database(search: Search, path: Path) -> list[str]:
    """Every value of every row, unpacked: bodies of webhooks are compressed. The file itself is one of the files."""
    found = []
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as conn:
        tables = [name for (name,) in conn.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for row in conn.execute(f'SELECT * FROM "{table}"'):  # noqa: S608
                found += search.at(f"table {table}", b"\0".join(_values(row)))
    return found


def _values(row: tuple[Any, ...]) -> Iterator[bytes]:
    for value in row:
        raw = value if isinstance(value, bytes) else str(value).encode(errors="surrogatepass")
        yield zstandard.decompress(raw) if raw.startswith(_ZSTD) else raw


# In Redis -------------------------------------------------------------------------------------------


async def in_redis(search: Search, redis: Redis) -> list[str]:
    """Every key with all it holds; a dump of it may be compressed."""
    found = []
    for key in await redis.keys("*"):
        match await redis.type(key):
            case b"string":
                held: Any = await redis.get(key)
            case b"list":
                held = await redis.lrange(key, 0, -1)  # type: ignore[misc]
            case b"zset":
                held = await redis.zrange(key, 0, -1)
            case b"set":
                held = list(await redis.smembers(key))  # type: ignore[misc]
            case b"hash":
                held = [each for pair in (await redis.hgetall(key)).items() for each in pair]  # type: ignore[misc]
            case b"none":
                continue  # it is gone meanwhile
            case kind:
                raise AssertionError(f"nobody looks into {kind!r}")
        found += search.at(f"Redis, {key!r}", b"\0".join([key, *(held if isinstance(held, list) else [held])]))
    return found


# In /proc -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A process that has a secret among its words or in its environment."""

    secret: str
    where: str
    pid: int
    uid: int
    program: str


@dataclass(slots=True, kw_only=True)
class Watch:
    """Looks at all processes of the machine again and again: git and other helpers live for moments only."""

    seen: dict[tuple[str, str, int, int], set[bytes]] = field(default_factory=dict)
    _last: dict[tuple[int, str], bytes] = field(default_factory=dict)
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, beside the event loop."""
        self._thread = threading.Thread(target=self._go_on, name="watch")
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._over.set()
        assert self._thread is not None
        self._thread.join()

    def _go_on(self) -> None:
        while not self._over.wait(_SELDOM):
            self.look()

    def look(self) -> None:
        """Look once."""
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                with suppress(OSError):
                    self._look_at(entry)

    def _look_at(self, entry: Path) -> None:
        pid, words = int(entry.name), (entry / "cmdline").read_bytes()
        if not words:
            return  # it is about to become another program, or has ended
        for where, text in (("command line", words), ("environment", (entry / "environ").read_bytes())):
            if self._last.get((pid, where)) == text:
                continue
            self._last[pid, where] = text
            program = Path(os.fsdecode(words.partition(b"\0")[0])).name
            uid = int((entry / "status").read_text().partition("\nUid:")[2].split()[0])
            # Which tokens there were is known only afterwards.
            self.seen.setdefault((where, program, pid, uid), set()).add(text)

    def holders(self, search: Search) -> list[Holder]:
        """Who had what."""
        return [
            Holder(secret=secret, where=where, pid=pid, uid=uid, program=program)
            for (where, program, pid, uid), texts in self.seen.items()
            for secret in sorted(search(b"\0".join(texts)))
        ]


# At GitHub ------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Recorder:
    """What the simulated GitHub was asked, but for who said to ask; a middleware of it."""

    asked: list[bytes] = field(default_factory=list)

    @web.middleware
    async def record(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Keep it and go on. git's own requests are kept without their bodies, which are streams."""
        headers = [f"{name}: {value}" for name, value in request.headers.items() if name.lower() != "authorization"]
        body = await request.read() if request.path.startswith("/api/") else b""
        self.asked.append("\n".join([f"{request.method} {request.path_qs}", *headers]).encode() + b"\n" + body)
        return await handler(request)


# All of it ------------------------------------------------------------------------------------------

_APPS: Final = 700_000
"""The first user that is one of an app or a build, where an installation runs as root."""


@asynccontextmanager
async def kept(stage: Stage, secrets: Callable[[], Iterable[tuple[str, str]]]) -> AsyncIterator[None]:
    """Let an installation do what it does, and find none of these secrets anywhere at the end.

    Neither on disk, in the database, in Redis, among the words of a process, with an app, nor told by the command line.
    """
    watch = Watch()
    watch.start()
    try:
        yield
    finally:
        await asyncio.to_thread(watch.stop)
    search, redis = Search.of(secrets()), stage.redis()
    try:
        found = await in_redis(search, redis)
    finally:
        await redis.aclose()
    files = await asyncio.to_thread(in_files, search, stage.data.parent, without=("runtimes", "github"))
    # The key lies where an operator put it for the App of the environment, unused or not.
    found += [f"{name} in {path}" for path, names in files.items() if path.name != "key.pem" for name in names]
    found += in_database(search, stage.data / "database/towpath.db")
    for words in (("deliveries",), ("pipelines",)):
        found += search.at(f"towpath {words[0]}", (await stage.cli_says(*words)).encode())
    found += [
        f"{each.secret} in the {each.where} of {each.program}"
        for each in watch.holders(search)
        if each.where == "command line" or each.uid >= _APPS
    ]
    assert found == [], found
