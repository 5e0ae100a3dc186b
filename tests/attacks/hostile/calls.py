"""System calls by their number: neither Python nor the C library has all of them."""

import ctypes
import errno
import os

libc = ctypes.CDLL(None, use_errno=True)
MACHINE = os.uname().machine
CALLS = {
    "x86_64": {"keyctl": 250, "add_key": 248, "request_key": 249, "bpf": 321, "perf_event_open": 298, "userfaultfd": 323,
               "io_uring_setup": 425, "clone3": 435, "kcmp": 312, "kexec_load": 246, "init_module": 175,
               "open_by_handle_at": 304, "process_vm_readv": 310, "syslog": 103, "pivot_root": 155, "iopl": 172,
               "acct": 163, "quotactl": 179, "settimeofday": 164, "sethostname": 170, "reboot": 169, "swapon": 167,
               "clone": 56},
    "aarch64": {"keyctl": 219, "add_key": 217, "request_key": 218, "bpf": 280, "perf_event_open": 241,
                "userfaultfd": 282, "io_uring_setup": 425, "clone3": 435, "kcmp": 272, "kexec_load": 104,
                "init_module": 105, "open_by_handle_at": 265, "process_vm_readv": 270, "syslog": 116, "pivot_root": 41,
                "acct": 89, "quotactl": 60, "settimeofday": 170, "sethostname": 161, "reboot": 142, "swapon": 224,
                "clone": 220},
}[MACHINE]  # fmt: skip
ANY = CALLS | {"open_tree": 428, "move_mount": 429, "fsopen": 430, "mount_setattr": 442}
NAMESPACES = {"user": 0x10000000, "mount": 0x20000, "pid": 0x20000000, "network": 0x40000000, "IPC": 0x8000000,
              "UTS": 0x4000000, "cgroup": 0x2000000}  # fmt: skip


def call(name: str, *args: object) -> int:
    """A system call by its number: libraries might not have it."""
    if name not in ANY:
        raise OSError(errno.ENOSYS, "not on this machine")
    words = [ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in args]
    result = libc.syscall(ctypes.c_long(ANY[name]), *words)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def needs(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
