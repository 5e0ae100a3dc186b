"""Hostile archives: none writes a file, each is named."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from service.domain.errors import Refused
from workers.builds.archive import check_link, unpack


def member(
    name: str, kind: bytes = tarfile.REGTYPE, link: str = "", content: bytes = b""
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(content)
    return info, content


def _realpath_overflow() -> list[tuple[tarfile.TarInfo, bytes]]:
    """CVE-2025-4517: links so deep that `os.path.realpath` gives up, so that the last one leads outside."""
    members, path, step = [], "", "d" * 247
    for letter in "abcdefghijklmnop":
        members.append(member(f"{path}{step}", tarfile.DIRTYPE))
        members.append(member(f"{path}{letter}", tarfile.SYMTYPE, step))
        path += f"{step}/"
    letters = "/".join("abcdefghijklmnop")
    members.append(member(f"{letters}/{'l' * 254}", tarfile.SYMTYPE, "../" * 16))
    members.append(member("escape", tarfile.SYMTYPE, f"{letters}/{'l' * 254}/../../outside"))
    members.append(member("escape/file", content=b"evil"))
    return members


HOSTILE: dict[str, tuple[Callable[[], list[tuple[tarfile.TarInfo, bytes]]], str]] = {
    "a name with dots": (lambda: [member("../evil")], "outside of it"),
    "dots inside": (lambda: [member("a/../../evil")], "outside of it"),
    "an absolute name": (lambda: [member("/tmp/evil")], "outside of it"),
    "an absolute link": (lambda: [member("link", tarfile.SYMTYPE, "/etc/passwd")], "absolute path"),
    "a link out": (lambda: [member("a/link", tarfile.SYMTYPE, "../../x")], "outside of the source"),
    "a hard link": (lambda: [member("a"), member("b", tarfile.LNKTYPE, "a")], "hard link"),
    "a device": (lambda: [member("null", tarfile.CHRTYPE)], "a device"),
    "a block device": (lambda: [member("sda", tarfile.BLKTYPE)], "a device"),
    "a pipe": (lambda: [member("pipe", tarfile.FIFOTYPE)], "named pipe"),
    "a file through a link": (
        lambda: [member("d", tarfile.DIRTYPE), member("l", tarfile.SYMTYPE, "d"), member("l/x")],
        "in the place of the symbolic link",
    ),
    "a file over a link": (lambda: [member("l", tarfile.SYMTYPE, "x"), member("l")], "in the place of"),
    "the realpath overflow": (_realpath_overflow, "a path of 22"),
    "a path without end": (lambda: [member("/".join("d" * 2000))], "a path of 3999 characters: d/d"),
    "too much": (lambda: [member("a", content=b"x" * 5000)], "larger than"),
}


@pytest.mark.parametrize("case", list(HOSTILE))
async def test_a_hostile_archive_writes_nothing(tmp_path: Path, case: str) -> None:
    members, message = HOSTILE[case]
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for info, content in members():
            archive.addfile(info, io.BytesIO(content))
    with pytest.raises(Refused, match=message):
        await unpack(tmp_path / "x.tar", tmp_path / "deep/dest", max_bytes=4096)
    assert [path.name for path in tmp_path.iterdir()] == ["x.tar"]


async def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(b"not a tar" * 100)
    with pytest.raises(Refused, match="damaged"):
        await unpack(tmp_path / "x.tar", tmp_path / "dest", max_bytes=1 << 20)


@pytest.mark.parametrize(
    "name",
    [
        "x: Wrote only 1 of 2 bytes",
        "No space left on device",
        "x: Cannot write: Disk quota exceeded",
        "x: Cannot write: No space left on device\n",
        "x: Cannot write: No space left on device\r\x0b\x85",
    ],
)
async def test_a_name_that_speaks_of_a_full_disk_is_not_taken_for_one(tmp_path: Path, name: str) -> None:
    """A full disk is waited for, however long; this can never be unpacked."""
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for info, content in (member("y" * 200 + name + "/" + name + "z" * 300, content=b"x"),):
            archive.addfile(info, io.BytesIO(content))
    with pytest.raises(Refused, match="could not be unpacked"):
        await unpack(tmp_path / "x.tar", tmp_path / "out", max_bytes=1000)


async def test_an_honest_archive_is_written(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for info, content in [member("./a/b", content=b"hello"), member("a/link", tarfile.SYMTYPE, "../a/b")]:
            archive.addfile(info, io.BytesIO(content))
    await unpack(tmp_path / "x.tar", tmp_path / "dest", max_bytes=1 << 20)
    assert (tmp_path / "dest/a/link").read_text() == "hello"


@pytest.mark.parametrize("target", ["x", "./x", "../other/x", "../a/../b"])
def test_links_that_stay_inside_are_fine(target: str) -> None:
    check_link("dir/link", target)
