"""Making a copied interpreter find its libraries: the run path inside an ELF file, replaced in place.

Interpreters built into a prefix (pyenv, /opt) name that prefix as the place of libpython. `$ORIGIN`, "beside this
file", is what a copy needs; it fits because the string it replaces is longer. Doing this here spares a dependency on
patchelf, which may not be installed.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

_MAGIC = b"\x7fELF\x02\x01"  # 64 bit, little endian: x86-64 and arm64
_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_STRTAB, _DT_RPATH, _DT_RUNPATH = 5, 15, 29


def is_elf(path: Path) -> bool:
    """Whether `path` is a program or library of the kind this machine runs."""
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def set_run_path(path: Path, run_path: str) -> bool:
    """Replace the run path of `path`; False if there is one and it is too short to hold the new one."""
    image = bytearray(path.read_bytes())
    segments = list(_segments(image))
    tags = [pair for kind, offset, _, size in segments if kind == _PT_DYNAMIC for pair in _tags(image, offset, size)]
    strings = next((value for tag, value in tags if tag == _DT_STRTAB), None)
    new = run_path.encode()
    for tag, value in tags:
        if tag not in {_DT_RPATH, _DT_RUNPATH} or strings is None:
            continue
        start = _offset(segments, strings) + value
        room = image.index(b"\0", start) - start
        if len(new) > room:
            return False
        image[start : start + room] = new.ljust(room, b"\0")
    path.write_bytes(image)
    return True


def _segments(image: bytearray) -> Iterator[tuple[int, int, int, int]]:
    """Yield (type, file offset, address, size in the file) of every program header."""
    (table,) = struct.unpack_from("<Q", image, 32)
    size, count = struct.unpack_from("<HH", image, 54)
    for number in range(count):
        kind, _, offset, address, _, length = struct.unpack_from("<IIQQQQ", image, table + number * size)
        yield kind, offset, address, length


def _tags(image: bytearray, offset: int, size: int) -> Iterator[tuple[int, int]]:
    for place in range(offset, offset + size, 16):
        tag, value = struct.unpack_from("<QQ", image, place)
        yield tag, value


def _offset(segments: list[tuple[int, int, int, int]], address: int) -> int:
    for kind, offset, start, length in segments:
        if kind == _PT_LOAD and start <= address < start + length:
            return offset + address - start
    raise ValueError("the string table lies in no segment")
