"""State on disk: written whole and durable, read back or absent."""

import json
import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def write_json(path: Path, value: Any) -> None:
    """Replace the file at once and for good: fsync of the file, rename, fsync of the directory."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, new = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            json.dump(value, file)
            file.flush()
            os.fsync(file.fileno())
        Path(new).replace(path)
    except OSError:
        Path(new).unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def read_json(path: Path) -> Any | None:
    """The value, or None if there is no such file or it is not whole."""
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None


def give_away(root: Path, uid: int) -> None:
    """Make everything below `root` belong to `uid`; links are changed themselves, never followed.

    By the program, which comes to the bottom of trees that are too deep for Python. Raises `OSError`.
    """
    argv = ["chown", "--recursive", "--no-dereference", "-P", "--", f"{uid}:{uid}", str(root)]
    done = subprocess.run(argv, check=False, capture_output=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise OSError(f"{root} could not be given to {uid}: {done.stderr.decode(errors='replace').strip()[:300]}")


def walk(root: Path) -> Iterator[Path]:
    """Everything below `root`, following no link. A directory that is closed to us, its owner, is opened on the way."""
    folders = [root]
    while folders:  # no recursion: code of others decides how deep the tree is
        with os.scandir(folders.pop()) as entries:
            found = [(Path(entry.path), entry.is_dir(follow_symlinks=False)) for entry in entries]
        for path, folder in found:
            if folder and not os.access(path, os.R_OK | os.W_OK | os.X_OK):
                path.chmod(path.stat().st_mode | stat.S_IRWXU)
            yield path
        folders += [path for path, folder in found if folder]


def delete(root: Path) -> None:
    """Delete a tree, whatever modes a process of ours has left in it; gone already is fine.

    By the programs, as above: a tree that is too deep for Python would stay for ever.
    """
    for words in (["chmod", "--recursive", "u+rwX"], ["rm", "--recursive", "--force"]):
        subprocess.run([*words, "--", str(root)], check=False, capture_output=True, stdin=subprocess.DEVNULL)


def write_plain(path: Path, value: Any) -> None:
    """Replace the file at once, without waiting for the disk: for what is worthless after a reboot."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(json.dumps(value))
    new.replace(path)


def append(path: Path, text: str) -> None:
    """Append to a file that exists; a log that nobody has written yet is not begun."""
    if path.exists():
        with path.open("a") as file:
            file.write(text)
