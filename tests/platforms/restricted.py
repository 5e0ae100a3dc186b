"""Run a program as where AppArmor lets only programs with a profile make user namespaces.

`python -m tests.platforms.restricted PROFILE PROGRAM ARGUMENT ...`

The kernel asks us at every such call, and we answer by AppArmor's rule: who has CAP_SYS_ADMIN may, and a program that
lies at a path of the profile, as the program itself sees paths.
"""

import contextlib
import errno
import re
import subprocess
import sys
import threading
from pathlib import Path

import pyseccomp

from tests.platforms.weak import NEW_USER

_GO_ON = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE
_SYS_ADMIN = 1 << 21


def attached(profile: str) -> list[str]:
    """The paths that a profile names in its variable."""
    lines = [line for line in profile.splitlines() if line.startswith("@{towpath_bwrap}")]
    return [path for line in lines for path in re.findall(r'"(/[^"]+)"|=\s+(/\S+)', line) for path in path if path]


def restrict(paths: list[str]) -> None:
    """For this thread and all it starts; there is no way back."""
    rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    rules.add_rule(pyseccomp.NOTIFY, "unshare", NEW_USER)
    rules.add_rule(pyseccomp.NOTIFY, "clone", NEW_USER)
    rules.add_rule(pyseccomp.ERRNO(errno.ENOSYS), "clone3")
    loaded = threading.Event()
    threading.Thread(target=_answer, args=(rules, paths, loaded), daemon=True).start()
    rules.load()
    loaded.set()


def _answer(rules: pyseccomp.SyscallFilter, paths: list[str], loaded: threading.Event) -> None:
    loaded.wait()
    while True:
        with contextlib.suppress(OSError):  # it has ended meanwhile
            asked = rules.receive_notify()
            error, flags = (0, _GO_ON) if _may(asked.pid, paths) else (-errno.EPERM, 0)
            rules.respond_notify(pyseccomp.NotificationResponse(error, flags, asked.id, 0))


def _may(pid: int, paths: list[str]) -> bool:
    process = Path("/proc", str(pid))
    (capabilities,) = re.findall(r"CapEff:\s+(\w+)", (process / "status").read_text())
    if int(capabilities, 16) & _SYS_ADMIN:
        return True
    with contextlib.suppress(OSError):
        return any((process / "exe").samefile(f"{process}/root{path}") for path in paths)
    return False


if __name__ == "__main__":
    restrict(attached(Path(sys.argv[1]).read_text()))
    sys.exit(subprocess.run(sys.argv[2:], check=False).returncode)
