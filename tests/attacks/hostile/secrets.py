"""Attacks on what others keep: environments, processes, files, sockets, descriptors."""

import contextlib
import glob
import os
import socket
import stat

from .base import CANARY, Stopped, attack, holding, nothing


@attack("reads a secret of the host in its own environment", "nothing is there", outside=True)
def _own_environment(_):
    return nothing([name for name, value in os.environ.items() if CANARY in value])


@attack("reads the environment of the processes of the host", "nothing is there", outside=True)
def _others_environment(_):
    found = []
    for path in glob.glob("/proc/[0-9]*/environ") + glob.glob("/proc/[0-9]*/task/*/environ"):
        with contextlib.suppress(OSError), open(path, "rb") as file:
            found += holding(file.read(), path)
    return nothing(found)


@attack("reads the command lines of the processes of the host", "nothing is there", outside=True)
def _command_lines(targets):
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        with contextlib.suppress(OSError), open(path, "rb") as file:
            text = file.read()
            found += [path] if targets["data"].encode() in text or b"redis" in text else []
    return nothing(found)


@attack("sees processes besides its own", "nothing is there", outside=True)
def _processes(targets):
    return nothing([pid for pid in map(str, targets["pids"]) if os.path.exists(f"/proc/{pid}/task/{pid}")])


@attack("reads the files of the host by their paths", "nothing is there", outside=True)
def _files(targets):
    return nothing([path for path in targets["files"] if readable(path)])


@attack("reads the files of the host through the root of another process", "nothing is there")
def _through_roots(targets):
    roots = glob.glob("/proc/[0-9]*/root") + glob.glob("/proc/[0-9]*/cwd") + glob.glob("/proc/[0-9]*/fd/*")
    ways = [root + path for root in roots for path in targets["files"]]
    return nothing([way for way in ways if readable(way)])


@attack("climbs out of its own root by ..", "nothing is there")
def _climbing(targets):
    return nothing([path for path in targets["files"] if readable("/app" + "/.." * 40 + path)])


def readable(path: str) -> bool:
    try:
        if os.path.isdir(path):
            return bool(os.listdir(path))
        with open(path, "rb") as file:
            return bool(file.read(1))
    except OSError:
        return False


@attack("finds the directories of the installation", "nothing is there", outside=True)
def _directories(targets):
    return nothing([path for path in (targets["data"], "/root", "/home", "/var", "/srv") if os.path.exists(path)])


@attack("connects to the unix sockets of the installation", "nothing is there", outside=True)
def _sockets(targets):
    found = []
    for path in targets["sockets"]:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as sock:
            sock.connect(path)
            found.append(path)
    return nothing(found)


@attack("connects to an abstract unix socket of the host", "ECONNREFUSED", outside=True)
def _abstract(targets):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect("\0" + targets["abstract"])
        return "connected"


def descriptors() -> dict[str, str]:
    """Those that are open, but for the directory that is read to find out."""
    named = {number: f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")}
    return {number: os.readlink(path) for number, path in named.items() if os.path.lexists(path)}


INHERITED = descriptors()
# Whoever is attached to a one-off is at its terminal, which was made for it.
EXPECTED = ("/dev/null", "pipe:", *([INHERITED["0"]] if os.isatty(0) else []))


@attack("finds descriptors that were left open for it", "nothing is there", outside=True)
def _descriptors(_):
    odd = {number: what for number, what in INHERITED.items() if int(number) > 2}
    standard = {number: what for number, what in INHERITED.items() if int(number) <= 2}
    return nothing({**odd, **{n: what for n, what in standard.items() if not what.startswith((*EXPECTED, "/tmp/"))}})


@attack("finds a secret of the host in the memory of the processes of its sandbox", "nothing is there", outside=True)
def _memory(_):
    found = []
    for maps in glob.glob("/proc/[0-9]*/maps"):
        if int(maps.split("/")[2]) in (os.getpid(), os.getppid()):
            continue
        with contextlib.suppress(OSError, ValueError), open(maps) as ranges, open(maps[:-4] + "mem", "rb", 0) as memory:
            for line in ranges:
                if "[heap]" in line or "[stack]" in line:
                    start, end = (int(number, 16) for number in line.split()[0].split("-"))
                    memory.seek(start)
                    found += holding(memory.read(end - start), maps)
    return nothing(found)


@attack("takes over the first process of its sandbox, which can do more than it", "can do no more")
def _first_process(_):
    told = []
    for pid in ("1", "self"):
        with open(f"/proc/{pid}/status") as file:
            wanted = ("Cap", "NoNewPrivs", "Seccomp", "Uid", "Gid", "Groups")
            told.append([line for line in file if line.startswith(wanted)])
    open_there = [os.readlink(path) for path in glob.glob("/proc/1/fd/*")]
    odd = [what for what in open_there if not what.startswith((*EXPECTED, "anon_inode:[eventfd]"))]
    if told[0] != told[1] or odd:
        return told, odd
    raise Stopped("can do no more")


@attack("finds devices that are not harmless", "nothing is there", outside=True)
def _devices(_):
    harmless = {"null", "zero", "full", "random", "urandom", "tty", "console", "ptmx"}
    found = [
        path
        for path in glob.glob("/dev/**", recursive=True)
        if os.path.lexists(path) and (stat.S_ISBLK(os.lstat(path).st_mode) or stat.S_ISCHR(os.lstat(path).st_mode))
    ]
    return nothing([path for path in found if os.path.basename(path) not in harmless])
