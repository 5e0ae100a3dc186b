"""Fixtures that every part shares."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def short_tmp() -> Iterator[Path]:
    """A directory with a short path: a unix socket's path holds at most 108 bytes."""
    path = Path(tempfile.mkdtemp(prefix="tp-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)
