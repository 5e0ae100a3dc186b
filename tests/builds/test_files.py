"""What `.slugignore` names and what it does not, and that nobody can stop a worker with it."""

import subprocess
import time
from pathlib import Path

import pytest

from service.domain.errors import Refused
from workers.builds.files import drop_ignored, scatter

CASES = {
    "a name is meant in every folder": ("x.log", {"x.log", "a/x.log", "a/b/x.log"}),
    "a star stands for a part of a name": ("*.log", {"x.log", "a/x.log", "a/b/x.log"}),
    "a slash in front means the top only": ("/x.log", {"x.log"}),
    "a slash inside means the top, too": ("a/x.log", {"a/x.log"}),
    "a star does not cross folders": ("a/*.log", {"a/x.log"}),
    "two stars cross folders": ("a/**/x.log", {"a/x.log", "a/b/x.log"}),
    "two stars in front": ("**/b", {"a/b/x.log", "a/b/y"}),
    "two stars behind mean all within": ("a/**", {"a/x.log", "a/b/x.log", "a/b/y"}),
    "a slash behind means folders only": ("y/", set()),
    "a folder goes with all it holds": ("b/", {"a/b/x.log", "a/b/y"}),
    "one character": ("?", {"a/x.log", "a/b/x.log", "a/b/y", "y"}),
    "a choice of characters": ("[xz].log", {"x.log", "a/x.log", "a/b/x.log"}),
    "a comment, an exception and nothing": ("# y\n!y\n\n", set()),
}
FILES = {"x.log", "y", "a/x.log", "a/b/x.log", "a/b/y"}


@pytest.mark.parametrize("case", list(CASES))
def test_slugignore(tmp_path: Path, case: str) -> None:
    patterns, gone = CASES[case]
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / ".slugignore").write_text(patterns)
    drop_ignored(tmp_path)
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert FILES - left == gone


@pytest.mark.parametrize("pattern", ["*a" * 60 + "b", "**/" * 60 + "b", "a/**/" * 20 + "b"])
def test_no_pattern_takes_long(tmp_path: Path, pattern: str) -> None:
    folder = tmp_path / "/".join("a" * 40)
    folder.mkdir(parents=True)
    (folder / ("a" * 200)).touch()
    (tmp_path / ".slugignore").write_text(pattern)
    begun = time.process_time()
    assert drop_ignored(tmp_path) == 0
    assert time.process_time() - begun < 2.0


def test_links_are_deleted_and_never_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x").touch()
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "link").symlink_to(outside)
    (tree / ".slugignore").write_text("link\nx\n")
    assert drop_ignored(tree) == 1
    assert (outside / "x").exists()


def test_more_patterns_than_anyone_writes_are_refused(tmp_path: Path) -> None:
    (tmp_path / ".slugignore").write_text("x\n" * 501)
    with pytest.raises(Refused, match="501 patterns; the limit is 500"):
        drop_ignored(tmp_path)


def test_a_directory_whose_folders_are_scattered_over_the_disk_stays_so(tmp_path: Path) -> None:
    kind = subprocess.run(["stat", "-f", "-c", "%T", tmp_path], capture_output=True, text=True, check=True).stdout
    for _ in range(2):
        scatter(tmp_path)
        (tmp_path / "in").mkdir(exist_ok=True)
    if not kind.startswith("ext"):
        pytest.skip("only ext4 places folders by this flag")
    listed = subprocess.run(["lsattr", "-d", tmp_path], capture_output=True, text=True, check=True).stdout
    assert "T" in listed.split()[0]


def test_a_file_system_that_cannot_scatter_is_fine() -> None:
    scatter(Path("/proc"))
