"""Attacks on the system around: other users, limits, settings, files that are for reading."""

import contextlib
import glob
import os
import resource
import subprocess
import tempfile

from .base import Stopped, attack, nothing


@attack("becomes another user by a program that may", "stays itself")
def _setuid(_):
    for words in (
        ("su", "-c", "id -u"),
        ("sudo", "-n", "id", "-u"),
        ("mount", "-t", "tmpfs", "x", "/tmp"),
        ("newgrp", "root"),
    ):
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            done = subprocess.run(words, capture_output=True, stdin=subprocess.DEVNULL, timeout=0.5, check=False)
            if (done.returncode == 0 and words[0] == "mount") or done.stdout.strip() == b"0":
                return words
    raise Stopped("stays itself")


@attack("becomes root by a set-user-id program of its own", "stays itself")
def _own_setuid(_):
    place = os.path.join(tempfile.mkdtemp(), "id")
    with open("/usr/bin/id", "rb") as source, open(place, "wb") as target:
        target.write(source.read())
    os.chmod(place, 0o6755)
    got = subprocess.run([place, "-u"], capture_output=True, check=True).stdout.strip()
    if got != str(os.getuid()).encode():
        return got
    raise Stopped("stays itself")


@attack("has capabilities or may gain some", "has none")
def _capabilities(_):
    with open("/proc/self/status") as file:
        status = dict(line.split(":\t", 1) for line in file.read().splitlines() if ":\t" in line)
    held = [name for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb") if int(status[name], 16)]
    if held or status["NoNewPrivs"] != "1" or status["Seccomp"] != "2":
        return held, status["NoNewPrivs"], status["Seccomp"]
    raise Stopped("has none")


@attack("is root by number, in its sandbox or by groups", "is not")
def _identity(_):
    numbers = {os.getuid(), os.geteuid(), os.getgid(), os.getegid(), *os.getgroups()} - {1000, 65534}
    if numbers:
        return sorted(numbers)
    raise Stopped("is not")


@attack("changes the settings of the kernel", "nothing is there")
def _settings(_):
    places = ["/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/sys/net/ipv4/ip_forward",
              "/proc/sys/vm/overcommit_memory", "/proc/sysrq-trigger", "/proc/sys/kernel/modprobe",
              "/sys/kernel/uevent_helper", "/proc/1/oom_score_adj", "/proc/sys/fs/binfmt_misc/register"]  # fmt: skip
    found = []
    for place in places:
        with contextlib.suppress(OSError), open(place, "r+b", buffering=0) as file:
            found.append((place, file.write(b"")))
    return nothing([place for place, _ in found])


@attack("changes its limits by the files of its group", "nothing is there", outside=True)
def _groups(_):
    return nothing(glob.glob("/sys/fs/cgroup/**/cgroup.procs", recursive=True)[:3])


@attack("raises its own limits", "nothing is there")
def _limits(_):
    raised = []
    for name in ("RLIMIT_NOFILE", "RLIMIT_FSIZE", "RLIMIT_CORE", "RLIMIT_NPROC"):
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        if hard == resource.RLIM_INFINITY:
            raised.append(name)
            continue
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (hard + 1, hard + 1))
            raised.append(name)
    return nothing(raised)


@attack("takes the processor for itself", "EPERM", outside=True)
def _realtime(_):
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    return "taken"


@attack("kills the processes of the host", "nothing is there")
def _kill(targets):
    killed = []
    for pid in targets["pids"]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 0)
            killed.append(pid)
    return nothing(killed)


@attack("writes into the system, the runtimes or the buildpacks", "nothing is there", outside=True)
def _write(_):
    made = []
    for place in (
        "/",
        "/usr",
        "/usr/bin",
        "/etc",
        "/opt/towpath/runtimes",
        "/opt/towpath",
        "/proc",
        "/opt/towpath/buildpacks",
        "/env",
    ):
        path = os.path.join(place, "towpath-attack")
        with contextlib.suppress(OSError):
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
            os.unlink(path)
            made.append(place)
    return nothing(made)


@attack("makes a hard link to a file of the system", "EXDEV", "EPERM", "EROFS")
def _hard_link(_):
    os.link("/usr/bin/id", "/app/linked")
    return "linked"
