"""Files that code of others wrote: opened without following links, read up to a limit, deleted by pattern."""

import os
import re
import shutil
import stat
from pathlib import Path

from service.domain.errors import Refused
from workers.builds.source import MANIFEST_LIMIT, as_text, check_size


def read_regular(directory: Path, name: str, *, limit: int = MANIFEST_LIMIT) -> str | None:
    """Return the text of the regular file `name` right in `directory`, None if there is none; else `Refused`."""
    try:
        # O_NONBLOCK: opening a named pipe must not wait for somebody to write into it.
        descriptor = os.open(directory / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError:
        what = (
            "is a symbolic link; it must be a file of its own" if (directory / name).is_symlink() else "cannot be read"
        )
        raise Refused(f"{name} {what}") from None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise Refused(f"{name} is not a file")
        check_size(name, status.st_size, limit)
        return as_text(name, file.read(limit + 1))


def drop_ignored(tree: Path) -> int:
    """Delete what `.slugignore` names, as on Heroku before anything is compiled; return how many entries went."""
    text = read_regular(tree, ".slugignore")
    patterns = [line.strip() for line in (text or "").splitlines()]
    rules = [_rule(pattern) for pattern in patterns if pattern and not pattern.startswith(("#", "!"))]
    return _drop(tree, tree, rules) if rules else 0


def _drop(tree: Path, directory: Path, rules: list[tuple[re.Pattern[str], bool]]) -> int:
    dropped = 0
    for entry in list(os.scandir(directory)):
        path, folder = Path(entry.path), entry.is_dir(follow_symlinks=False)
        name = path.relative_to(tree).as_posix()
        if any(rule.fullmatch(name) and (folder or not only_folders) for rule, only_folders in rules):
            if folder:
                shutil.rmtree(path)
            else:
                path.unlink()
            dropped += 1
        elif folder:
            dropped += _drop(tree, path, rules)
    return dropped


def _rule(pattern: str) -> tuple[re.Pattern[str], bool]:
    """Translate one gitignore-like line to an expression over the whole relative path, and whether it means folders."""
    only_folders = pattern.endswith("/")
    body = pattern.strip("/")
    anchored = pattern.startswith("/") or "/" in body
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    expression = "".join(parts.get(token) or re.escape(token) for token in re.findall(r"\*\*/|\*\*|\*|\?|[^*?]+", body))
    return re.compile(expression if anchored else f"(?:.*/)?{expression}"), only_folders
