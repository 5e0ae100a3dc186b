"""A service is lent files by whatever path its settings name them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give services users of their own")

PLACES = {
    "where it is": "shut/keys/key.pem",
    "by a link beside it": "shut/beside.pem",
    "by a link in a place for all": "open/key.pem",
    "through a linked directory": "open/keys/key.pem",
}


@pytest.fixture
def place(short_tmp: Path) -> Path:
    for name, mode in (("shut", 0o700), ("shut/keys", 0o700), ("open", 0o755)):
        (short_tmp / name).mkdir(mode=mode)
    key = short_tmp / "shut/keys/key.pem"
    key.touch(mode=0o600)
    key.write_text("the key")
    (short_tmp / "shut/other.pem").write_text("not lent")
    (short_tmp / "shut/beside.pem").symlink_to("keys/key.pem")
    (short_tmp / "open/key.pem").symlink_to(key)
    (short_tmp / "open/keys").symlink_to(key.parent)
    return short_tmp


@pytest.mark.parametrize("name", PLACES.values(), ids=PLACES)
def test_a_service_reads_a_key_that_is_named(name: str, place: Path) -> None:
    lent = str(place / name)
    words = [sys.executable, "-m", "workers.confined", "--uid", "690999", "--lend", lent, "--", "/bin/cat", lent]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stdout) == (0, "the key"), done.stderr
    for other in ("shut/other.pem", "shut/keys"):
        done = subprocess.run([*words[:-1], str(place / other)], capture_output=True, text=True, check=False)
        assert done.returncode != 0
    assert (place / "shut/beside.pem").readlink() == Path("keys/key.pem")
