"""What `make setup` says on a machine that lacks something: all of it at once, with the line that installs it."""

import shutil
import subprocess
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "deploy/setup.sh"


def setup(tmp_path: Path, **programs: str) -> subprocess.CompletedProcess[str]:
    """Run it with these programs and no other; where it would begin to install, it is at its end."""
    root, tools = tmp_path / "clone", tmp_path / "bin"
    (root / "deploy").mkdir(parents=True)
    tools.mkdir()
    shutil.copy(SCRIPT, root / "deploy")
    dirname = shutil.which("dirname")
    assert dirname is not None
    (tools / "dirname").symlink_to(dirname)
    for name, script in programs.items():
        (tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (tools / name).chmod(0o755)
    bash = shutil.which("bash")
    assert bash is not None
    return subprocess.run(
        [bash, root / "deploy/setup.sh"], env={"PATH": str(tools)}, capture_output=True, text=True, check=False
    )


def test_everything_that_is_missing_is_named_at_once_with_its_line(tmp_path: Path) -> None:
    done = setup(tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        "Missing on this machine: git curl tar python3 python3-venv\n"
        "  apt-get install -y git curl tar python3 python3-venv\n"
    )


def test_python_without_venv_or_seccomp_is_named_by_the_packages(tmp_path: Path) -> None:
    there = dict.fromkeys(("git", "curl", "tar"), "exit 0")
    done = setup(tmp_path, **there, python3="exit 1")
    assert "apt-get install -y python3-venv libseccomp2\n" in done.stderr


def test_another_python_is_named_with_the_way_to_give_one(tmp_path: Path) -> None:
    there = dict.fromkeys(("git", "curl", "tar"), "exit 0")
    other = 'case "$*" in *version_info*) exit 1 ;; -V) echo "Python 3.13.1" ;; *) exit 0 ;; esac'
    done = setup(tmp_path, **there, python3=other)
    assert done.returncode == 1
    assert "Towpath needs Python 3.11; python3 is Python 3.13.1. Name another: make setup PYTHON=" in done.stderr
