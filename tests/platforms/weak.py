"""Run a program as on a machine without user namespaces: the kernel refuses them, as AppArmor or Docker would.

`python -m tests.platforms.weak PROGRAM ARGUMENT ...`
"""

import errno
import os
import sys

import pyseccomp

from workers.platforms.process.namespaces import CLONE_NEWUSER

NEW_USER = pyseccomp.Arg(0, pyseccomp.MASKED_EQ, CLONE_NEWUSER, CLONE_NEWUSER)


def forbid_namespaces() -> None:
    """For this process and all it starts; there is no way back."""
    rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    rules.add_rule(pyseccomp.ERRNO(errno.EPERM), "unshare")
    rules.add_rule(pyseccomp.ERRNO(errno.EPERM), "clone", NEW_USER)
    rules.add_rule(pyseccomp.ERRNO(errno.ENOSYS), "clone3")
    rules.load()


if __name__ == "__main__":
    forbid_namespaces()
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606
