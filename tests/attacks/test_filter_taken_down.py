"""The sandbox without its filter of system calls: what gets through then is what the filter is there for."""

import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pyseccomp
import pytest
import pytest_asyncio

from tests.attacks import hostile
from tests.attacks.hostile import ATTACKS
from tests.platforms.conftest import Engine
from workers.platforms.process.stopping import stop_all

pytestmark = pytest.mark.asyncio(loop_scope="module")

# By name, as far as it is the same on every kernel whether the call would work.
FILTERED = (
    "makes a user namespace of its own",
    "starts a process in a user namespace of its own",
    "hides the flags of a new namespace from the filter",
    "traces another process",
    "keeps a key in the kernel's keyring",
    "looks a key up in the kernel's keyring",
    "does the system call kcmp",
    "types into the terminal of its starter",
    "types into the terminal by a request the filter sees as another number",
    "does system calls by a ring that no filter sees",
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def unfiltered(level: str) -> AsyncIterator[dict[str, dict[str, str]]]:
    """What stops each attack when the filter lets everything through."""
    data = Path(tempfile.mkdtemp(prefix="tp-", dir="/tmp"))
    data.chmod(0o755)
    engine = Engine(data=data)
    await engine.start()
    try:
        with (data / "run/seccomp.bpf").open("wb") as file:
            pyseccomp.SyscallFilter(pyseccomp.ALLOW).export_bpf(file)
        slug = engine.slug("hostile")
        shutil.copytree(Path(hostile.__file__).parent, slug / "hostile")
        (slug / "targets.json").write_text("{}")
        words = " ".join(f'"{name}"' for name in FILTERED)
        code, output = await engine.run(f"python3 -m hostile targets.json {words}", slug_dir=slug)
        assert code == 0, output
        told = [json.loads(line.removeprefix("ATTACK ")) for line in output.splitlines()]
        yield {each["attack"]: each for each in told}
    finally:
        await engine.end()
        await stop_all(data)
        shutil.rmtree(data, ignore_errors=True)


@pytest.mark.parametrize("name", FILTERED, ids=FILTERED)
async def test_without_the_filter_an_app(name: str, unfiltered: dict[str, dict[str, str]]) -> None:
    result = unfiltered[name]
    assert "got" in result or result["wall"] not in ATTACKS[name].walls, result
