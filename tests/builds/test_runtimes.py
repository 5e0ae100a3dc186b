"""Interpreters copied away from where they were installed."""

import asyncio
import subprocess
from pathlib import Path

import pytest

from service.domain.errors import Refused
from workers.builds import runtimes
from workers.builds.elf import is_elf, set_run_path

CODE = "import sys, ssl, sqlite3, ctypes; print(sys.base_prefix, [p for p in sys.path if 'site-packages' in p])"


def test_a_copied_interpreter_starts_wherever_it_is_moved(runtime_data: Path, tmp_path: Path) -> None:
    python = (runtime_data / "runtimes/python").resolve()
    moved = tmp_path / "elsewhere"
    subprocess.run(["cp", "-a", python, moved], check=True)
    done = subprocess.run([moved / "bin/python3", "-c", CODE], capture_output=True, text=True, check=True, env={})
    assert done.stdout.split()[0] == str(moved)
    maps = subprocess.run(
        [moved / "bin/python3", "-c", "print(open('/proc/self/maps').read())"],
        capture_output=True,
        text=True,
        check=True,
        env={},
    )
    libraries = {line.split()[-1] for line in maps.stdout.splitlines() if "libpython" in line}
    assert all(library.startswith(str(moved)) for library in libraries)


def test_nothing_installed_comes_along(runtime_data: Path) -> None:
    library = next((runtime_data / "runtimes/python/lib").glob("python3.*"))
    assert list((library / "site-packages").iterdir()) == []
    assert not (library / "test").exists()


def test_node_and_npm_start_from_the_copy(runtime_data: Path) -> None:
    node = runtime_data / "runtimes/node/bin"
    done = subprocess.run(
        ["npm", "--version"],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": f"{node}:/usr/bin:/bin", "HOME": "/nonexistent"},
    )
    assert done.stdout.strip()


async def test_many_at_once_make_one_copy_and_later_calls_none(tmp_path: Path) -> None:
    first, second = await asyncio.gather(runtimes.ensure(tmp_path), runtimes.ensure(tmp_path))
    assert first == second
    assert len(first.python) == 1
    python = tmp_path / f"runtimes/python-{first.python[0]}"
    made = python.stat().st_ino
    await runtimes.ensure(tmp_path)
    assert python.stat().st_ino == made
    assert not any(path.name.startswith(".") for path in (tmp_path / "runtimes").iterdir())


async def test_a_packaged_interpreter_under_usr_is_copied_too(tmp_path: Path) -> None:
    program = Path("/usr/bin/python3.11")
    if not program.exists():
        pytest.skip("this machine has no Python 3.11 under /usr")
    asked = [program, "-I", "-c", "import platform; print(platform.python_version())"]
    version = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    packaged = runtimes.Interpreter(
        version=version, program=program, library=Path("/usr/lib/python3.11"), include=Path("/usr/include/python3.11")
    )
    await runtimes.ensure(tmp_path, interpreter=packaged)
    done = subprocess.run(
        [tmp_path / "runtimes/python/bin/python3", "-c", CODE], capture_output=True, text=True, check=True, env={}
    )
    assert done.stdout.startswith(str(tmp_path))


async def test_an_interpreter_that_cannot_be_copied_leaves_nothing(tmp_path: Path) -> None:
    base = runtimes.base_interpreter()
    broken = runtimes.Interpreter(version="3.11.99", program=base.program, library=base.library, include=base.include)
    with pytest.raises(Refused, match=r"3\.11\.99"):
        await runtimes.ensure(tmp_path, interpreter=broken)
    assert list((tmp_path / "runtimes").iterdir()) == []


def test_a_run_path_that_is_too_short_is_said_to_be(tmp_path: Path) -> None:
    program = tmp_path / "python"
    program.write_bytes(runtimes.base_interpreter().program.read_bytes())
    assert is_elf(program)
    if b"RUNPATH" in subprocess.run(["readelf", "-d", program], capture_output=True, check=False).stdout:
        assert not set_run_path(program, "x" * 4000)
        assert set_run_path(program, "$ORIGIN/../lib")
