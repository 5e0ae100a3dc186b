"""The system calls no app needs and a kernel exploit would: denied in every sandbox.

A deny list, because apps are any language's runtime; the namespaces and the missing capabilities are the wall, this
takes away what has often led around it.
"""

import errno
import os
import socket
from pathlib import Path

import pyseccomp

_DENIED = """
    acct add_key bpf clock_adjtime clock_settime delete_module finit_module fsconfig fsmount fsopen fspick
    get_mempolicy init_module ioperm iopl kcmp kexec_file_load kexec_load keyctl lookup_dcookie mbind migrate_pages
    mount mount_setattr move_mount move_pages name_to_handle_at nfsservctl open_by_handle_at open_tree
    perf_event_open pivot_root process_vm_readv process_vm_writev ptrace quotactl quotactl_fd
    reboot request_key set_mempolicy setdomainname setns sethostname settimeofday stime swapoff swapon syslog
    umount umount2 unshare userfaultfd uselib vhangup vm86 vm86old
""".split()  # noqa: SIM905
# ENOSYS makes libraries take their older way: clone instead of clone3 (whose flags no filter can see), epoll
# instead of io_uring (which does system calls that no filter sees).
_UNKNOWN = ("clone3", "io_uring_setup", "io_uring_enter", "io_uring_register")
_NAMESPACES = 0x7E020080  # every CLONE_NEW*
_TYPE_MASK = 0xF
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C


def write_filter(path: Path) -> None:
    """Compile the filter to `path` in the form that bubblewrap loads."""
    rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    denied, unknown = pyseccomp.ERRNO(errno.EPERM), pyseccomp.ERRNO(errno.ENOSYS)
    for action, names in ((denied, _DENIED), (unknown, _UNKNOWN)):
        for name in names:
            if pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name) > 0:
                rules.add_rule(action, name)
    for bit in (1 << shift for shift in range(32)):
        if bit & _NAMESPACES:
            rules.add_rule(denied, "clone", pyseccomp.Arg(0, pyseccomp.MASKED_EQ, bit, bit))
    for internet in (socket.AF_INET, socket.AF_INET6):  # glibc itself uses raw netlink sockets
        raw = pyseccomp.Arg(1, pyseccomp.MASKED_EQ, _TYPE_MASK, int(socket.SOCK_RAW))
        rules.add_rule(denied, "socket", pyseccomp.Arg(0, pyseccomp.EQ, int(internet)), raw)
    # Unix, IPv4, IPv6 and netlink remain; vsock reaches the hypervisor past any network namespace.
    unsupported = pyseccomp.ERRNO(errno.EAFNOSUPPORT)
    kept = {socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK}
    for family in set(range(1, socket.AF_NETLINK)) - kept:
        rules.add_rule(unsupported, "socket", pyseccomp.Arg(0, pyseccomp.EQ, family))
    rules.add_rule(unsupported, "socket", pyseccomp.Arg(0, pyseccomp.GT, int(socket.AF_NETLINK)))
    for request in (_TIOCSTI, _TIOCLINUX):
        rules.add_rule(denied, "ioctl", pyseccomp.Arg(1, pyseccomp.MASKED_EQ, 0xFFFFFFFF, request))
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    with new.open("wb") as file:
        rules.export_bpf(file)
        file.flush()
        os.fchmod(file.fileno(), 0o644)
    new.replace(path)
