"""Stays with one sandbox from start to end: its network, output, exit code and hand-over socket.

The runner starts it in the instance's directory, in a session of its own, with a spec on stdin; it then lives without
the runner. It starts as the runner's user, executes bubblewrap as the app's user and becomes a third, powerless one.
Standard library only, so that it starts in a few milliseconds with `python -I -S`. Everything must be imported and
opened before the change of user: afterwards the interpreter's own files may be out of reach.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
import threading
import time

from workers.platforms.process import namespaces, outlet, output, redirect

TYPE_CHECKING = False  # `typing` would cost 5 ms at every start; type checkers know this name
if TYPE_CHECKING:
    from workers.platforms.process.attached import Attachment
    from workers.platforms.process.spec import ShimSpec

_OUTPUT_MOST = 10 * 1024 * 1024
_PEER = struct.Struct("3i")
_FIRST_TO_GO = "500"  # when the machine runs out of memory, before what keeps it
_FULL_QUEUE, _TRY_AGAIN = 5.0, 0.02
_PIECE, _PIPE_PIECES = 65536, 16  # a pipe holds at most 1 MiB
# The one by us, the other by every Python; a program that is executed would go on ignoring them.
_IGNORED_HERE = (signal.SIGHUP, signal.SIGPIPE)
_NOT_BEGUN = 129  # as of a command that its terminal's end has ended


def identity(pid: int) -> list[int]:
    """The pid with its start time, which together name a process for as long as the machine is up."""
    with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123
        return [pid, int(file.read().rpartition(b")")[2].split()[19])]


def replace(name: str, value: object, *, durable: bool = True) -> None:
    """Write JSON to a file of this directory: whole or not at all, and if `durable` even after a power cut."""
    file = os.open(f"{name}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(file, json.dumps(value).encode())
        if durable:
            os.fsync(file)
    finally:
        os.close(file)
    os.rename(f"{name}.new", name)  # noqa: PTH104
    if not durable:
        return
    directory = os.open(".", os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def main() -> None:
    """Read the spec and stay until the sandbox has ended."""
    spec: ShimSpec = json.load(sys.stdin)
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    os.set_inheritable(int(sys.argv[1]), False)  # the lock on this directory says that the shim lives
    os.umask(0o077)
    pids: dict[str, list[int]] = {"shim": identity(os.getpid())}
    log = _open_log(spec)
    if spec["bare"]:
        namespaces.adopt_orphans()
    else:
        _open_network(spec, pids)
    attachment = _open_attachment(spec)
    reader, writer = os.pipe2(os.O_CLOEXEC)
    info_reader, info_writer = os.pipe2(os.O_CLOEXEC)
    go, told = os.pipe2(os.O_CLOEXEC)
    sandbox = os.fork()
    if sandbox == 0:
        os.close(told)
        if os.read(go, 1):
            _execute(spec, writer, info_writer, attachment)
        os._exit(_NOT_BEGUN)
    for number in (writer, info_writer, go):
        os.close(number)
    ended = os.pidfd_open(sandbox)
    pids["sandbox"] = identity(sandbox)
    if spec["bare"]:
        pids["init"] = pids["sandbox"]
    namespaces.join(spec["own_cgroups"])  # not earlier: starting takes much CPU at once, and is no work of the app's
    if spec["keeper"] is not None:
        namespaces.become(spec["keeper"])
    replace("pids", pids, durable=False)
    _let_go(told, ended, attachment)  # only a sandbox that can be found again may start
    if spec["port"]:
        threading.Thread(target=_hand_over, args=(spec["port"], frozenset(spec["peers"])), daemon=True).start()
    code = _follow(sandbox, (ended, reader, info_reader), log, pids, attachment)
    if spec["bare"]:
        _end_strays()
    replace("exit", {"code": code, "at": time.time()})
    if attachment:
        attachment.finish(code)


def _let_go(told: int, ended: int, attachment: Attachment | None) -> None:
    """Have the sandbox start: one that is to have a client only once that has come."""
    if attachment:
        attachment.be_outside()
    if attachment is None or attachment.wait(ended):
        os.write(told, b"+")
    os.close(told)


def _open_attachment(spec: ShimSpec) -> Attachment | None:
    if spec["attach"] is None:
        return None
    from workers.platforms.process import attached  # most shims are nobody's terminal

    return attached.Attachment(spec["attach"], peers=frozenset(spec["peers"]), owner=spec["uid"])


def _open_network(spec: ShimSpec, pids: dict[str, list[int]]) -> None:
    """Enter a network of the sandbox's own; if it may reach out, its egress stays outside and gets the listeners."""
    if spec["network"] == "none":
        namespaces.enter_network(maker=spec["bwrap"] if spec["uid"] is None else None)
        return
    watcher, outside = outlet.fork(spec)
    pids["egress"] = identity(watcher)
    namespaces.enter_network(maker=spec["bwrap"] if spec["uid"] is None else None)
    made = [*namespaces.listeners()]
    with contextlib.suppress(OSError):  # without nftables: `towpath doctor` says so
        made += redirect.lead(public_only=not spec["names"])  # a named host may be anywhere
    outlet.hand(outside, made)


def _open_log(spec: ShimSpec) -> output.AppLog | output.RunOutput:
    if spec["log_directory"] is None:
        return output.RunOutput(most=_OUTPUT_MOST)
    directory = os.open(spec["log_directory"], os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    return output.AppLog(directory, spec["label"], most=_OUTPUT_MOST)


def _execute(spec: ShimSpec, writer: int, info: int, attachment: Attachment | None) -> None:
    """In the child: limits first, then the view of the disk, then the app's uid, then bubblewrap. Never returns."""
    try:
        for ignored in _IGNORED_HERE:
            signal.signal(ignored, signal.SIG_DFL)
        namespaces.join(spec["cgroups"])
        if attachment:
            attachment.take_inside()
        else:
            os.dup2(writer, 1)
            os.dup2(writer, 2)
        for name, most in spec["limits"].items():
            namespaces.limit(getattr(resource, name), most)
        with open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123
            file.write(_FIRST_TO_GO)
        if spec["bare"]:
            os.umask(0o022)
            os.chdir(spec["bare"]["cwd"])
            os.setsid()
            if attachment:
                attachment.take_terminal()
            os.execve(spec["command"][0], spec["command"], spec["bare"]["env"])  # noqa: S606
        program, handed = _prepare_bwrap(spec, info)
        if spec["uid"] is not None:
            namespaces.stage(spec["stage"])
            namespaces.become(spec["uid"])
        elif spec["room"]:
            _make_room(*spec["room"])
        os.umask(0o022)
        os.chdir("/")
        os.setsid()
        for number in handed:
            os.set_inheritable(number, True)
        os.execve(program[0], program, {})  # noqa: S606
    except OSError as error:
        os.write(2, f"towpath: the sandbox could not be started: {error}\n".encode())
    finally:
        os._exit(126)


def _make_room(path: str, most: int) -> None:
    os.makedirs(path, exist_ok=True)  # noqa: PTH103
    namespaces.own_mounts()
    namespaces.bounded_room(path, most)
    for name in ("upper", "work"):
        os.mkdir(f"{path}/{name}", 0o755)  # noqa: PTH102


def _prepare_bwrap(spec: ShimSpec, info: int) -> tuple[list[str], list[int]]:
    arguments = os.memfd_create("arguments")
    seccomp = os.open(spec["seccomp"], os.O_RDONLY)
    first = ["--info-fd", str(info), "--seccomp", str(seccomp)]
    with open(arguments, "wb", closefd=False) as file:
        file.write("".join(f"{one}\0" for one in first + spec["arguments"]).encode())
    os.lseek(arguments, 0, os.SEEK_SET)
    program = [spec["bwrap"], "--args", str(arguments), "--", *spec["command"]]
    return program, [info, arguments, seccomp]


def _follow(
    sandbox: int, of: tuple[int, int, int], log: output.AppLog | output.RunOutput, pids: dict[str, list[int]],
    attachment: Attachment | None,
) -> int:  # fmt: skip
    """Copy output until the sandbox ends; what a leftover background process would still print is not waited for.

    `of` are descriptors: of its process, of its output and of what bubblewrap tells about it.
    """
    ended, reader, info = of
    watched = {ended, reader, info}
    while True:
        ready = attachment.pass_on(watched) if attachment else _ready(watched)
        if info in ready:
            watched.remove(info)
            _note_init(info, pids)
        if ended in ready:
            code = os.waitstatus_to_exitcode(os.waitpid(sandbox, 0)[1])
            _drain(reader, log)
            if attachment:
                attachment.drain()
            return code if code >= 0 else 128 - code
        if reader in ready:
            data = os.read(reader, _PIECE)
            log.write(data)
            if not data:
                watched.remove(reader)


def _ready(watched: set[int]) -> set[int]:
    poll = select.poll()
    for number in watched:
        poll.register(number, select.POLLIN)
    return {number for number, _ in poll.poll()}


def _drain(reader: int, log: output.AppLog | output.RunOutput) -> None:
    """Take what is in the pipe, and no more: a leftover process may go on filling it."""
    os.set_blocking(reader, False)
    with contextlib.suppress(BlockingIOError):
        for _ in range(_PIPE_PIECES):
            log.write(os.read(reader, _PIECE))
    log.close()
    if log.tail:
        replace("tail", b"\n".join(log.tail).decode("utf-8", "replace"), durable=False)


def _note_init(info: int, pids: dict[str, list[int]]) -> None:
    """Bubblewrap tells the pid of the namespace's init: killing that one ends everything inside, at once."""
    text = b""
    while data := os.read(info, 4096):
        text += data
    with contextlib.suppress(ValueError, KeyError, OSError):
        pids["init"] = identity(json.loads(text)["child-pid"])
        replace("pids", pids, durable=False)


def _end_strays() -> None:
    """Without a pid namespace, what the command left behind became our child: end it, and what that leaves in turn."""
    with contextlib.suppress(ChildProcessError):
        while True:
            for task in os.listdir("/proc/self/task"):  # noqa: PTH208
                with open(f"/proc/self/task/{task}/children", "rb") as file:  # noqa: PTH123
                    for pid in file.read().split():
                        os.kill(int(pid), signal.SIGKILL)
            os.waitpid(-1, 0)


def _hand_over(port: int, peers: frozenset[int]) -> None:
    """Answer each connection with a TCP socket that is connected to the app, made in the app's own network."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with contextlib.suppress(FileNotFoundError):
        os.unlink("s")  # noqa: PTH108
    server.bind("s")
    os.chmod("s", 0o666)  # noqa: PTH101, S103  (the peer's uid, below, tells who may connect)
    server.listen(512)
    while True:
        with contextlib.suppress(OSError), server.accept()[0] as client:
            uid = _PEER.unpack(client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))[1]
            if uid in peers:
                _answer(client, port)


def _answer(client: socket.socket, port: int) -> None:
    try:
        connection = _connect(port, client)
    except OSError as error:
        client.sendall((b"?" if isinstance(error, ConnectionRefusedError) else b"-") + str(error).encode())
        return
    with connection:
        socket.send_fds(client, [b"+"], [connection.fileno()])


def _connect(port: int, client: socket.socket) -> socket.socket:
    """Connect to the app, waiting while its queue is full and the client still wants it.

    The kernel drops what does not fit into an app's queue and would try again only after a second; asking anew every
    few milliseconds makes our own, longer queue work instead, in the order of arrival.
    """
    hung_up = select.poll()
    hung_up.register(client, select.POLLRDHUP)
    patience = time.monotonic() + _FULL_QUEUE
    while time.monotonic() < patience and not hung_up.poll(0):
        with contextlib.suppress(TimeoutError):
            return _try_both(port)
    raise TimeoutError("the app does not take connections")


def _try_both(port: int) -> socket.socket:
    """Most apps listen on IPv4; some only on IPv6's loopback."""
    refused = OSError()
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.settimeout(_TRY_AGAIN)
        try:
            sock.connect((address, port))
            sock.settimeout(None)
        except TimeoutError:
            sock.close()
            raise
        except OSError as error:
            sock.close()
            refused = error
        else:
            return sock
    raise refused


if __name__ == "__main__":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    main()
