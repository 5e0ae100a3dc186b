"""Become a service's own user: no capability, and of the host's private files only what the service needs.

`python -m workers.confined --uid N [--hide DIR] [--lend PATH] [--keep PATH] [--show PATH] -- PROGRAM ARGUMENT ...`

Started as root, it executes the program as that uid in a mount namespace of its own. What the program is lent (to
read) or keeps (to read and write) appears to be its own there, though on disk all of it stays with whom it belongs to:
so root and the service work on the same files, and no file has to change hands. Directories that the uid could not
enter, like a home, are covered; only what was named is seen in them. What is shown stays as it is. Paths that do not
exist are left out.
"""

import argparse
import os
import stat
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from workers.platforms.process import namespaces


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a service sees of the host's private files; all paths are absolute."""

    uid: int
    hidden: tuple[Path, ...] = ()
    lent: tuple[Path, ...] = ()
    kept: tuple[Path, ...] = ()
    shown: tuple[Path, ...] = ()


def enter(view: View) -> None:
    """See only that from now on; raises `OSError` where the kernel or a file system has no idmapped mounts."""
    named = [path for path in (*view.lent, *view.kept, *view.shown) if path.exists()]
    links = {path: path.resolve() for path in named if path != path.resolve()}
    lent, kept, shown = (
        list(dict.fromkeys(path.resolve() for path in paths if path.exists()))
        for paths in (view.lent, view.kept, view.shown)
    )
    namespaces.own_mounts()
    trees = {path: _tree(path, view.uid, read_only=True) for path in lent}
    trees |= {path: _tree(path, view.uid, read_only=False) for path in kept}
    trees |= {path: namespaces.clone_tree(str(path)) for path in shown}
    directories = {path: path.is_dir() for path in trees}
    covers = {*view.hidden, *_closed(trees)}
    # The outer before the inner; what is hidden or lent lies over what it is in.
    for path in sorted({*covers, *trees}, key=lambda each: len(each.parts)):
        if path in covers:
            path.mkdir(parents=True, exist_ok=True)
            namespaces.cover(str(path))
        if path in trees:
            namespaces.put_tree(trees[path], str(path), directory=directories[path])
    for path, real in links.items():  # a link that is covered as well
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(real)


def _tree(path: Path, uid: int, *, read_only: bool) -> int:
    tree = namespaces.clone_tree(str(path), recursive=False)
    status = path.stat()
    namespaces.show_as_owned_by(tree, uid, kept_as=(status.st_uid, status.st_gid), read_only=read_only)
    return tree


def _closed(paths: Iterable[Path]) -> set[Path]:
    """The outermost directories above `paths` that not everybody may enter."""
    found = set()
    for path in paths:
        above = reversed(path.parents)
        closed = next((each for each in above if not each.stat().st_mode & stat.S_IXOTH), None)
        if closed is not None:
            found.add(closed)
    return found


def main() -> None:
    """Enter the view, give up root, execute the program."""
    parser = argparse.ArgumentParser(description="Execute a program as a service's own user.")
    parser.add_argument("--uid", type=int, required=True)
    for name in ("hide", "lend", "keep", "show"):
        parser.add_argument(f"--{name}", type=Path, action="append", default=[])
    parser.add_argument("program", nargs="+")
    given = parser.parse_args()
    view = View(
        uid=given.uid,
        hidden=tuple(given.hide),
        lent=tuple(given.lend),
        kept=tuple(given.keep),
        shown=tuple(given.show),
    )
    mask = os.umask(0o022)
    enter(view)
    os.umask(mask)
    namespaces.forbid_new_privileges()
    namespaces.become(view.uid)
    os.chdir("/")
    os.execv(given.program[0], given.program)  # noqa: S606


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        sys.exit(f"the service could not be confined: {error}")
