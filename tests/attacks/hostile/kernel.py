"""Attacks on the kernel: its rarer system calls, and calls that the filter sees as others."""

import ctypes
import fcntl
import mmap
import os
import signal
import socket
import stat
import struct
import tempfile

from .base import Stopped, attack
from .calls import MACHINE, NAMESPACES, call, libc, needs

for kind, flag in NAMESPACES.items():

    @attack(f"makes a {kind} namespace of its own", "EPERM", outside=kind != "pid")
    def _unshare(_, flag=flag):
        return needs(libc.unshare(flag)) == 0

    @attack(f"starts a process in a {kind} namespace of its own", "EPERM", outside=True)
    def _clone(_, flag=flag):
        pid = call("clone", flag | signal.SIGCHLD, 0, 0, 0, 0)
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        return pid


@attack("hides the flags of a new namespace from the filter", "ENOSYS", outside=True)
def _clone3(_):
    arguments = ctypes.create_string_buffer(struct.pack("8Q", 0x10000000, 0, 0, 0, signal.SIGCHLD, 0, 0, 0))
    pid = call("clone3", arguments, 64)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return pid


@attack("enters the namespaces of another process", "EPERM", "EACCES")
def _setns(_):
    with open("/proc/1/ns/mnt") as file:
        return needs(libc.setns(file.fileno(), 0)) == 0


@attack("mounts a file system", "EPERM")
def _mount(_):
    return needs(libc.mount(b"none", b"/tmp", b"tmpfs", 0, None)) == 0


@attack("makes its read-only system writable by mounting it again", "EPERM")
def _remount(_):
    return needs(libc.mount(None, b"/usr", None, 32 | 4096, None)) == 0


@attack("takes a mount away to see what is below", "EPERM")
def _umount(_):
    return needs(libc.umount2(b"/proc", 2)) == 0


@attack("opens a mount by the new calls", "EPERM", outside=True)
def _open_tree(_):
    return call("open_tree", -100, ctypes.c_char_p(b"/usr"), 1)


@attack("makes a file system by the new calls", "EPERM", outside=True)
def _fsopen(_):
    return call("fsopen", ctypes.c_char_p(b"tmpfs"), 0)


@attack("changes its root directory", "EPERM", outside=True)
def _chroot(_):
    os.chroot("/usr")
    return "changed"


@attack("makes a device", "EPERM", outside=True)
def _mknod(_):
    path = os.path.join(tempfile.mkdtemp(), "disk")
    os.mknod(path, 0o666 | stat.S_IFBLK, os.makedev(8, 0))
    os.unlink(path)
    return path


@attack("traces another process", "EPERM", outside=True)
def _ptrace(_):
    child = os.fork()
    if child == 0:
        signal.pause()
    try:
        return needs(libc.ptrace(16, child, 0, 0)) == 0
    finally:
        os.kill(child, signal.SIGKILL)


@attack("traces the first process of its sandbox", "EPERM")
def _ptrace_first(_):
    return needs(libc.ptrace(16, 1, 0, 0)) == 0


@attack("reads the memory of its parent by a system call", "EPERM")
def _vm_read(_):
    return call("process_vm_readv", os.getppid(), None, 0, None, 0, 0) == 0


@attack("keeps a key in the kernel's keyring", "EPERM", outside=True)
def _add_key(_):
    return call("add_key", ctypes.c_char_p(b"user"), ctypes.c_char_p(b"x"), ctypes.c_char_p(b"y"), 1, -2)


@attack("looks a key up in the kernel's keyring", "EPERM", outside=True)
def _keyctl(_):
    return call("keyctl", 0, -3, 1)


@attack("requests a key from the kernel", "EPERM")
def _request_key(_):
    return call("request_key", ctypes.c_char_p(b"user"), ctypes.c_char_p(b"x"), None, 0)


@attack("loads a program into the kernel", "EPERM")
def _bpf(_):
    return call("bpf", 0, None, 0)


@attack("watches the processor's counters", "EPERM")
def _perf(_):
    event = ctypes.create_string_buffer(struct.pack("IIQ", 1, 64, 0) + b"\0" * 48)
    return call("perf_event_open", event, 0, -1, -1, 0)


@attack("handles page faults itself", "EPERM", outside=True)
def _userfaultfd(_):
    return call("userfaultfd", 0)


@attack("does system calls by a ring that no filter sees", "ENOSYS")
def _io_uring(_):
    return call("io_uring_setup", 4, ctypes.create_string_buffer(120))


for unwanted in ("kcmp", "kexec_load", "init_module", "open_by_handle_at", "syslog", "pivot_root", "acct", "quotactl",
                 "settimeofday", "sethostname", "reboot", "swapon", "iopl"):  # fmt: skip

    @attack(f"does the system call {unwanted}", "EPERM", *(["ENOSYS"] if unwanted == "iopl" else []))
    def _unwanted(_, unwanted=unwanted):
        return call(unwanted, 0, 0, 0, 0, 0) == 0


for family, number in {"IPv4": socket.AF_INET, "IPv6": socket.AF_INET6}.items():

    @attack(f"opens a raw {family} socket", "EPERM", outside=True)
    def _raw(_, number=number):
        return socket.socket(number, socket.SOCK_RAW, 1).fileno()


@attack("opens a raw socket by a family the filter sees as another number", "EPERM", "EAFNOSUPPORT")
def _raw_hidden(_):
    call_number = {"x86_64": 41, "aarch64": 198}[MACHINE]
    return needs(
        libc.syscall(ctypes.c_long(call_number), ctypes.c_long(2 | 1 << 32), ctypes.c_long(3), ctypes.c_long(1))
    )


for family, number in {"packet": 17, "vsock": 40, "bluetooth": 31, "CAN": 29, "crypto": 38, "RDS": 21, "TIPC": 30,
                       "key management": 15, "XDP": 44}.items():  # fmt: skip

    @attack(f"opens a {family} socket", "EAFNOSUPPORT", outside=family == "packet")
    def _family(_, number=number):
        return socket.socket(number, socket.SOCK_RAW if number in {17, 29, 15} else socket.SOCK_STREAM).fileno()


@attack("types into the terminal of its starter", "EPERM")
def _tiocsti(_):
    with open("/dev/null") as file:
        return fcntl.ioctl(file, 0x5412, b"x")


@attack("types into the terminal by a request the filter sees as another number", "EPERM")
def _tiocsti_hidden(_):
    number = {"x86_64": 16, "aarch64": 29}[MACHINE]
    return needs(libc.syscall(ctypes.c_long(number), ctypes.c_long(0), ctypes.c_long(0x5412 | 1 << 32), b"x"))


@attack("has a terminal that controls it", "ENXIO", "EPERM")
def _terminal(_):
    return os.open("/dev/tty", os.O_RDWR)


@attack("does a system call of the 32-bit world that the filter was not written for", "SIGSYS", "nothing is there")
def _other_abi(_):
    if MACHINE != "x86_64":
        raise Stopped("nothing is there")
    code = mmap.mmap(-1, 4096, prot=7)
    code.write(b"\xb8\x14\0\0\0\xcd\x80\xc3")  # mov eax, 20 (getpid); int 0x80; ret
    return ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()


@attack("does a system call of the x32 world that the filter was not written for", "SIGSYS", "nothing is there")
def _x32(_):
    if MACHINE != "x86_64":
        raise Stopped("nothing is there")
    return libc.syscall(ctypes.c_long(0x40000000 | 310), 1, 0, 0, 0, 0)
