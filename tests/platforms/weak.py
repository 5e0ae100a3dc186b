"""Run a program as on a machine without user namespaces: the kernel refuses them, as AppArmor or Docker would.

`python -m tests.platforms.weak PROGRAM ARGUMENT ...`
"""

import errno
import os
import sys

import pyseccomp


def forbid_namespaces() -> None:
    """For this process and all it starts; there is no way back."""
    rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    rules.add_rule(pyseccomp.ERRNO(errno.EPERM), "unshare")
    rules.load()


if __name__ == "__main__":
    forbid_namespaces()
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606
