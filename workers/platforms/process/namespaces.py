"""The few Linux calls Python 3.11 lacks, for the shim: namespaces, mounts, identity. Standard library only."""

import ctypes
import errno
import fcntl
import os
import resource
import socket
import struct
from collections.abc import Sequence

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
PROXY_PORT = 3128
# Exists everywhere, and only root can make anything in it: an AppArmor profile trusts what is found at this path. What
# we put there is seen only in the sandbox's own mount namespace.
STAGE = "/run"

_MS_REC_PRIVATE = 0x4000 | 0x40000
_MS_NOSUID_NODEV = 0x2 | 0x4
_MOUNT_ATTR_RDONLY, _MOUNT_ATTR_NOSUID, _MOUNT_ATTR_NODEV = 0x1, 0x2, 0x4
_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_AT_RECURSIVE = 0x8000
_OPEN_TREE_CLONE = 1
_MOVE_MOUNT_F_EMPTY_PATH = 4
_MOUNT_ATTR_IDMAP = 0x100000
# Newer than most libcs; the numbers are the same on every architecture since 5.1.
_SYS_OPEN_TREE, _SYS_MOVE_MOUNT, _SYS_MOUNT_SETATTR = 428, 429, 442
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 36, 38
_DNS_PORT = 53
_MAKE = ("--unshare-user", "--unshare-net", "--dev-bind", "/", "/", "--")
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1

# A host directory that the sandbox's uid could not reach by its path, and the name it gets below STAGE. With an owner,
# files of root are shown as that uid's (an idmapped mount), so that an app can change its own slug's files in its
# overlay, as on Heroku, while the slug itself stays root's.
Stage = tuple[str, str, int | None]

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def unshare(flags: int) -> None:
    """Leave the namespaces named by `flags`."""
    _check(_libc.unshare(flags), "unshare")


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent ends; call it after the last change of uid, which clears it."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0), "prctl")
    if os.getppid() != parent:
        os._exit(0)


def adopt_orphans() -> None:
    """Become the parent of every process below this one that loses its own."""
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")


def forbid_new_privileges() -> None:
    """From here on no program that is executed gains any, whatever its file says."""
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")


def limit(kind: int, most: int) -> None:
    """Set both of a resource's limits, as far as they are not lower already."""
    hard = resource.getrlimit(kind)[1]
    value = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (value, value))


def join(cgroups: Sequence[str]) -> None:
    """Enter the groups that these files are for."""
    for path in cgroups:
        _write(path, "0")


def become(uid: int) -> None:
    """Give up root for good: no groups, no capabilities, all three ids."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def enter_network(*, maker: str | None) -> None:
    """Enter a new network namespace with only `lo`; `maker` is None for root.

    An ordinary user may only in a user namespace of their own. Where AppArmor forbids those to programs without a
    profile, one for our interpreter would be one for every script on the machine: so bubblewrap, the `maker`, makes
    both, and we enter them, which is nothing that a profile has to allow.
    """
    if maker is None:
        unshare(CLONE_NEWNET)
    else:
        _enter_namespaces_of(maker)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sh14x", b"lo", 0)
        flags: int = struct.unpack("16sh14x", fcntl.ioctl(sock, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))


def _enter_namespaces_of(bwrap: str) -> None:
    """Bubblewrap's child says its pid when all is made, and stays until we hang up."""
    stay, hang_up = os.pipe2(os.O_CLOEXEC)
    pid_reader, pid_writer = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        try:
            os.dup2(stay, 0)
            os.dup2(pid_writer, 1)
            os.execve(bwrap, [bwrap, *_MAKE, "/bin/sh", "-c", "echo $$; read _"], {})  # noqa: S606
        finally:
            os._exit(126)
    os.close(stay)
    os.close(pid_writer)
    try:
        with open(pid_reader) as said:  # noqa: PTH123
            pid = said.readline().strip()
        if not pid:
            raise OSError(errno.EPERM, "bubblewrap could not make a network namespace")
        for name, kind in (("user", CLONE_NEWUSER), ("net", CLONE_NEWNET)):
            descriptor = os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)
            _check(_libc.setns(descriptor, kind), f"setns {name}")
            os.close(descriptor)
    finally:
        os.close(hang_up)
        os.waitpid(child, 0)


def listeners() -> tuple[socket.socket, socket.socket]:
    """The sockets of the sandbox's proxy and name server, made inside and served from outside."""
    proxy = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    proxy.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    proxy.bind(("127.0.0.1", PROXY_PORT))
    proxy.listen(128)
    dns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    dns.bind(("127.0.0.1", _DNS_PORT))
    return proxy, dns


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:  # noqa: PTH123
        file.write(text)


def stage(mounts: Sequence[Stage]) -> None:
    """In a mount namespace of our own, show `mounts` under `STAGE`. Nothing of it is seen on the host."""
    own_mounts()
    trees = [(_owned_tree(source, owner), os.path.isdir(source)) for source, _, owner in mounts]  # noqa: PTH112
    cover(STAGE)
    for (_, name, _), (tree, directory) in zip(mounts, trees, strict=True):
        put_tree(tree, f"{STAGE}/{name}", directory=directory)


def own_mounts() -> None:
    """Enter a mount namespace in which nothing that is mounted reaches the host."""
    unshare(CLONE_NEWNS)
    _check(_libc.mount(None, b"/", None, _MS_REC_PRIVATE, None), "mount private")


def cover(path: str) -> None:
    """Hide what is in a directory under an empty one that everybody may enter."""
    options = b"mode=755,size=64k"
    _check(_libc.mount(b"towpath", path.encode(), b"tmpfs", _MS_NOSUID_NODEV, options), f"mount tmpfs {path}")


def bounded_room(path: str, most: int) -> None:
    """Put an empty directory in memory over one, for at most `most` bytes, files without content counted as 4 KiB."""
    options = f"mode=755,size={most},nr_inodes={most // 4096}".encode()
    _check(_libc.mount(b"towpath", path.encode(), b"tmpfs", _MS_NOSUID_NODEV, options), f"mount tmpfs {path}")


def clone_tree(source: str, *, recursive: bool = True) -> int:
    """A descriptor of the mount at `source`, to be put somewhere else."""
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | (_AT_RECURSIVE if recursive else 0)
    return _check(_libc.syscall(_SYS_OPEN_TREE, _AT_FDCWD, source.encode(), flags), f"open_tree {source}")


def put_tree(tree: int, target: str, *, directory: bool) -> None:
    """Mount what `clone_tree` gave, and close it."""
    if directory:
        os.makedirs(target, exist_ok=True)  # noqa: PTH103
    elif not os.path.exists(target):  # noqa: PTH110
        os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    moved = _libc.syscall(_SYS_MOVE_MOUNT, tree, b"", _AT_FDCWD, target.encode(), _MOVE_MOUNT_F_EMPTY_PATH)
    _check(moved, f"move_mount {target}")
    os.close(tree)


def show_as_owned_by(tree: int, owner: int, *, kept_as: tuple[int, int] = (0, 0), read_only: bool = False) -> None:
    """Show files of `kept_as` (uid, gid) as `owner`'s, and keep what `owner` makes as theirs: an idmapped mount."""
    userns = _user_namespace(owner, *kept_as)
    try:
        wanted = _MOUNT_ATTR_IDMAP | _MOUNT_ATTR_NOSUID | _MOUNT_ATTR_NODEV | (_MOUNT_ATTR_RDONLY if read_only else 0)
        attributes = struct.pack("QQQQ", wanted, 0, 0, userns)
        result = _libc.syscall(_SYS_MOUNT_SETATTR, tree, b"", _AT_EMPTY_PATH, attributes, len(attributes))
        _check(result, "mount_setattr")
    finally:
        os.close(userns)


def _owned_tree(source: str, owner: int | None) -> int:
    tree = clone_tree(source)
    if owner is not None:
        try:
            show_as_owned_by(tree, owner)
        except OSError as error:
            # File systems without idmapped mounts (some network ones): the files then just stay root's.
            if error.errno not in {errno.EINVAL, errno.ENOSYS, errno.EPERM}:
                raise
    return tree


def _user_namespace(owner: int, uid: int, gid: int) -> int:
    """A descriptor of a user namespace that maps `uid` and `gid` to `owner`; a child makes it and is gone at return."""
    ready, done = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.close(done[1])
        try:
            unshare(CLONE_NEWUSER)
            os.write(ready[1], b"+")
            os.read(done[0], 1)
        finally:
            os._exit(0)
    os.close(ready[1])
    os.close(done[0])
    try:
        if os.read(ready[0], 1) != b"+":
            raise OSError(errno.EPERM, "no user namespace for an idmapped mount")
        _write(f"/proc/{child}/uid_map", f"{uid} {owner} 1")
        _write(f"/proc/{child}/gid_map", f"{gid} {owner} 1")
        return os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(ready[0])
        os.close(done[1])
        os.waitpid(child, 0)
