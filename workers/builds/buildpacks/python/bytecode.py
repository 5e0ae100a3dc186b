"""Give every module of an environment its bytecode: what was made of equal source before, else a new one.

bytecode.py SITE PACK    PACK holds what was made last time, if anything, and then what was made now

Compiling takes far longer than installing, and a changed lock file changes few packages. Bytecode names the digest of
the source it came of, so that equal files are known by their content, whichever version they belong to. What comes out
does not depend on what was there before: the same sources give the same bytes, compiled together or one by one.
"""
# ruff: noqa: INP001  (a program of its own, run by the interpreter that the bytecode is for)

import marshal
import os
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import MAGIC_NUMBER, source_hash

UNCHECKED = MAGIC_NUMBER + (1).to_bytes(4, "little")
"""How bytecode begins that is used without a look at its source, which never changes in a slug."""

INDEX = 4
CHECKSUM = 4
_FAILURES = (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError)


Module = tuple[int, str, str]
"""The size of a source file, its path, and where its bytecode belongs."""


def main(site: str, pack: str) -> int:
    """Return 0 if every module that can be compiled is; code for other versions of Python is left as it is."""
    every = list(modules(site))
    bare = [module for module in every if not fits(module, there(module[2]))]
    # A tree that was grown from an older one has its bytecode with it.
    fresh = len(bare) == len(every)
    known = load(pack) if fresh else {}
    missing = []
    for module in bare:
        code = known.get(module[2][len(site) :], b"")
        if fits(module, code):
            write(module[2], code)
        else:
            missing.append(module)
    if not compile_all(sorted(missing, reverse=True)):
        return 1
    if missing and fresh:
        made = {path: there(path) for _, _, path in every}
        save(pack, {path[len(site) :]: code for path, code in made.items() if code})
    return 0


def there(path: str) -> bytes:
    """Return what is in a file; nothing if there is none."""
    try:
        return read(path)
    except FileNotFoundError:
        return b""


def load(pack: str) -> Mapping[str, bytes]:
    """Return bytecode by its path; that of a pack which is not whole is not used."""
    content = there(pack)
    if len(content) <= CHECKSUM or int.from_bytes(content[:CHECKSUM], "little") != zlib.crc32(content[CHECKSUM:]):
        return {}
    return dict(marshal.loads(content[CHECKSUM:]))  # noqa: S302  (as much code as what it holds)


def save(pack: str, codes: dict[str, bytes]) -> None:
    """Replace the pack."""
    content = marshal.dumps(codes)
    write(f"{pack}.new", zlib.crc32(content).to_bytes(CHECKSUM, "little") + content)
    os.replace(f"{pack}.new", pack)


def modules(site: str) -> Iterator[Module]:
    """Find the modules."""
    tag = sys.implementation.cache_tag
    for folder, folders, files in os.walk(site):
        if "__pycache__" in folders:
            folders.remove("__pycache__")
        for name in files:
            source = f"{folder}/{name}"
            if name.endswith(".py") and not os.path.islink(source):
                yield os.path.getsize(source), source, f"{folder}/__pycache__/{name[:-3]}.{tag}.pyc"


def fits(module: Module, code: bytes) -> bool:
    """Whether bytecode came of the same source by the same interpreter."""
    return len(code) > len(UNCHECKED) and code.startswith(UNCHECKED + source_hash(read(module[1])))


def compile_all(missing: Sequence[Module]) -> bool:
    """Compile on all processors, the largest first; whoever is free takes the next. False if one of them died."""
    reading, writing = os.pipe()
    workers = [_forked(missing, reading, writing) for _ in range(min(len(os.sched_getaffinity(0)), len(missing)))]
    os.close(reading)
    with open(writing, "wb") as queue:
        queue.writelines(number.to_bytes(INDEX, "little") for number in range(len(missing)))
    return not sum(os.waitpid(worker, 0)[1] for worker in workers)


def _forked(missing: Sequence[Module], reading: int, writing: int) -> int:
    """Start a process that compiles what it reads the numbers of."""
    worker = os.fork()
    if worker:
        return worker
    code = 1
    try:
        os.close(writing)
        while number := os.read(reading, INDEX):
            compile_one(missing[int.from_bytes(number, "little")])
        code = 0
    finally:
        os._exit(code)


def compile_one(module: Module) -> None:
    """Write the bytecode of a module, or none if it is not for this Python."""
    _, path, bytecode = module
    source = read(path)
    if b"coding" in b"".join(source.split(b"\n", 2)[:2]):
        _apart(path, source, bytecode)
    else:
        _compile(path, source, bytecode)


def _apart(path: str, source: bytes, bytecode: str) -> None:
    """Compile where nothing follows: a codec that this one loads would show in the bytecode of all later ones."""
    child = os.fork()
    if not child:
        code = 1
        try:
            _compile(path, source, bytecode)
            code = 0
        finally:
            os._exit(code)
    if os.waitpid(child, 0)[1]:
        raise OSError(f"{path} could not be compiled")


def _compile(path: str, source: bytes, bytecode: str) -> None:
    try:
        code = compile(source, path, "exec", dont_inherit=True)
    except _FAILURES:
        return
    write(bytecode, UNCHECKED + source_hash(source) + marshal.dumps(code))


def read(path: str) -> bytes:
    """Return what is in a file."""
    with open(path, "rb") as file:
        return file.read()


def write(path: str, content: bytes) -> None:
    """Write a file, and its folder if that is missing."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
