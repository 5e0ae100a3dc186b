"""Parts of the embedded platform that can be looked at alone: egress rules, indexes, processes, logs."""

import asyncio
import json
import os
import re
import shlex
import signal
import struct
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from service.domain.errors import Refused, Transient
from tests.waiting import until
from workers.platforms.process import doctor, files, indexes, levels, nameserver, output, reach
from workers.platforms.process.driver import ProcessPlatform
from workers.platforms.process.host import Host, Level, Paths, boot_id
from workers.platforms.process.procs import Process, pinned
from workers.platforms.process.reading import log_lines
from workers.platforms.process.stopping import stop_all
from workers.platforms.process.uids import Uids


@pytest.mark.parametrize(
    ("address", "reachable"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("255.255.255.255", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::a00:1", False),
        ("2002:7f00:1::", False),
        ("fec0::1", False),
        ("ff02::1", False),
    ],
)
def test_only_public_addresses_are_public(address, reachable):
    assert reach.public(address) is reachable


def query(name: str, kind: int) -> bytes:
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)


def test_the_name_server_answers_allowed_names_and_refuses_others():
    policy = reach.Policy(public=False, names=frozenset({"localhost"}))
    told = reach.Told()
    answer = nameserver.answer_to(query("localhost", 1), policy, told)
    assert answer[:2] == b"\0\7"
    assert answer.endswith(b"\x7f\0\0\1")
    assert nameserver.answer_to(query("elsewhere.test", 1), policy, told)[3] & 0xF == 5
    assert struct.unpack_from("!H", nameserver.answer_to(query("localhost", 16), policy, told), 6)[0] == 0
    for broken in (b"", b"\0" * 12, query("localhost", 1)[:-3], b"\0\7\1\0\0\1\0\0\0\0\0\0\xff"):
        assert nameserver.answer_to(broken, policy, told) == b""


SHORT_OF_DESCRIPTORS = """
import os, resource, socket
from workers.platforms.process import egress, reach
proxy, dns = socket.create_server(("127.0.0.1", 0), backlog=64), socket.socket(type=socket.SOCK_DGRAM)
dns.bind(("127.0.0.1", 0))
if os.fork() == 0:
    resource.setrlimit(resource.RLIMIT_NOFILE, (12, 12))
    egress.serve(proxy, dns, [], reach.Policy(public=False, names=frozenset()))
address = proxy.getsockname()
many = [socket.create_connection(address, timeout=5) for _ in range(20)]
many[0].sendall(b"GET http://elsewhere.test/ HTTP/1.0\\r\\n\\r\\n")
many[0].recv(99)
for one in many:
    one.close()
last = socket.create_connection(address, timeout=5)
last.sendall(b"GET http://elsewhere.test/ HTTP/1.0\\r\\n\\r\\n")
print(last.recv(99))
"""


def test_the_way_out_stays_open_after_more_connections_than_it_has_descriptors_for():
    process = subprocess.Popen(
        [sys.executable, "-c", SHORT_OF_DESCRIPTORS], stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"b'HTTP/1.1 403 ")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_indexes_are_read_from_the_tools_own_settings(tmp_path):
    (tmp_path / ".config/pip").mkdir(parents=True)
    (tmp_path / ".config/pip/pip.conf").write_text(
        "[global]\nindex-url = https://u:p@pip.test/simple\nextra-index-url = file:///opt/x\n    https://more.test/s\n"
    )
    (tmp_path / ".npmrc").write_text("registry=https://npm.test/\n@team:registry=https://team.test/\n")
    found = indexes.find({"UV_INDEX_URL": "https://uv.test/simple"}, home=tmp_path)
    assert {"pip.test", "more.test", "npm.test", "team.test", "uv.test"} <= found.hosts
    assert found.env["PIP_INDEX_URL"] == "https://u:p@pip.test/simple"
    assert found.env["PIP_EXTRA_INDEX_URL"] == "https://more.test/s"
    assert "u:p" not in repr(found)
    env = indexes.sandbox_env(found, proxy_port=3128, builds=True)
    assert env["HTTPS_PROXY"] == "http://127.0.0.1:3128"
    assert "PIP_INDEX_URL" not in indexes.sandbox_env(found, proxy_port=3128, builds=False)


def test_what_logs_in_to_an_index_is_kept_from_code_of_forks(tmp_path):
    settings = {"PIP_INDEX_URL": "https://ada:s3cret@pip.test/simple", "PIP_EXTRA_INDEX_URL": "https://open.test/a@b"}
    found = indexes.for_strangers(indexes.find(settings, home=tmp_path))
    env = indexes.sandbox_env(found, proxy_port=3128, builds=True)
    assert env["PIP_INDEX_URL"] == "https://pip.test/simple"
    assert env["PIP_EXTRA_INDEX_URL"] == "https://open.test/a@b"
    assert "s3cret" not in str(found)
    assert "pip.test" in found.hosts


def test_without_settings_the_tools_defaults_are_allowed(tmp_path):
    assert len(indexes.find({}, home=tmp_path).hosts) >= 2


def test_a_reused_pid_is_never_mistaken():
    child = subprocess.Popen(["sleep", "60"])
    process = Process.of(child.pid)
    assert process is not None
    assert process.alive
    impostor = Process(child.pid, process.start - 1)
    assert not impostor.alive
    impostor.send(9)
    assert process.alive
    process.send(9)
    child.wait()
    assert not process.alive


async def test_after_a_reboot_a_process_with_the_same_pid_and_start_time_is_left_alone(short_tmp):
    instance = short_tmp / "run/i/abc"
    instance.mkdir(parents=True)
    (short_tmp / "run/boot").write_text("another boot")
    bystander = subprocess.Popen(["sleep", "60"])
    process = Process.of(bystander.pid)
    assert process is not None
    (instance / "pids").write_text(
        json.dumps({name: [process.pid, process.start] for name in ("shim", "sandbox", "init")})
    )
    await stop_all(short_tmp)
    assert process.alive
    assert not instance.exists()
    bystander.kill()
    bystander.wait()


def test_the_log_of_an_app_is_bounded_and_every_instance_follows_the_turn(tmp_path):
    directory = os.open(tmp_path, os.O_RDONLY)
    logs = [output.AppLog(directory, f"web.{number}", most=20_000) for number in (1, 2)]
    for number in range(2000):
        logs[number % 2].write(f"line {number}\n".encode())
    os.close(directory)
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert len(sizes) == 2
    assert sum(sizes) < 21_000
    text = (tmp_path / "app.log.1").read_text() + (tmp_path / "app.log").read_text()
    numbers = [int(line.rpartition(" ")[2]) for line in text.splitlines()]
    assert numbers == list(range(numbers[0], 2000))


@pytest.mark.parametrize("known", [True, False], ids=["while it is there", "before it is there"])
async def test_who_follows_a_log_hears_on_in_whole_lines_however_fast_it_is_turned_over(
    tmp_path: Path, known: bool
) -> None:
    """A file of ours may get the number that one before it had, which is no more."""
    directory = os.open(tmp_path, os.O_RDONLY)
    log, seen = output.AppLog(directory, "web.1", most=20_000), list[str]()
    if known:
        log.write(b"line 0\n")

    async def follow() -> None:
        async for line in log_lines(tmp_path / "app.log", follow=True, lines=10):
            seen.append(line)

    following = asyncio.create_task(follow())
    if known:
        await until(lambda: seen)
    written = 1
    for many in (1, 700, 1, 1500, 1, 350, 700, 1):  # some are more than a file, or than both
        for number in range(written, written + many):
            log.write(f"line {number}\n".encode())
        written += many
        last = f": line {written - 1}"
        await until(lambda last=last: seen and seen[-1].endswith(last), what=last)
    following.cancel()
    await asyncio.wait({following})
    os.close(directory)
    wholes = [re.fullmatch(r"\S+ app\[web\.1\]: line (\d+)", line) for line in seen]
    assert all(wholes), [line for line, whole in zip(seen, wholes, strict=True) if whole is None]
    numbers = [int(whole[1]) for whole in wholes if whole]
    assert numbers == sorted(set(numbers))


async def test_who_stops_to_follow_a_log_that_cannot_be_read_just_then_keeps_nobody_waiting(tmp_path: Path) -> None:
    """A disk that stands still, here a pipe into which nobody writes."""
    log, pipe = tmp_path / "app.log", tmp_path / "pipe"
    log.write_text("a line\n")
    os.mkfifo(pipe)
    lines = log_lines(log, follow=True, lines=10)
    assert await anext(lines) == "a line"
    following = asyncio.ensure_future(anext(lines))
    pipe.replace(log)
    stands = await until(lambda: _opened(log), what="the log to be read on")
    moves = threading.Event()
    at_last = threading.Timer(20, lambda: (moves.set(), os.close(stands)))
    at_last.start()
    following.cancel()
    await asyncio.wait({following})
    kept = moves.is_set()
    at_last.cancel()
    assert not kept, "the loop stood still with the disk"
    os.close(stands)
    await until(lambda: log not in _open_files(), what="the log to be let go")


def _opened(pipe: Path) -> int:
    """The end for writing of a pipe that somebody reads; 0 while nobody does."""
    try:
        return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return 0


def _open_files() -> set[Path]:
    found = set()
    for each in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found.add(each.readlink())
    return found


async def test_a_log_in_which_nothing_stands_has_no_line(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    assert [line async for line in log_lines(log, follow=False, lines=10)] == []
    log.touch()
    assert [line async for line in log_lines(log, follow=False, lines=10)] == []
    log.write_text("\n")
    assert [line async for line in log_lines(log, follow=False, lines=10)] == [""]


def test_a_full_disk_costs_output_and_not_the_process(tmp_path, monkeypatch):
    for name in ("app.log", "out"):
        (tmp_path / name).symlink_to("/dev/full")
    monkeypatch.chdir(tmp_path)
    directory = os.open(tmp_path, os.O_RDONLY)
    logs = [output.AppLog(directory, "web.1", most=20_000), output.RunOutput(most=3)]
    for log in logs:
        log.write(b"lost\n")
        log.close()
    os.close(directory)
    assert list(logs[0].tail) == [b"lost"]


def test_uids_are_kept_per_owner_and_used_again_only_when_released(tmp_path):
    uids = Uids(tmp_path / "uids.json")
    first, second = uids.take("app:a"), uids.take("app:b")
    assert abs(first - second) == 2
    assert Uids(tmp_path / "uids.json").take("app:a") == first
    uids.release("app:a")
    assert uids.take("app:c") == first


def test_when_all_uids_are_taken_it_is_said_and_one_that_is_released_is_given_again(tmp_path, monkeypatch):
    monkeypatch.setattr("workers.platforms.process.uids._PER_INSTALLATION", 4)
    uids = Uids(tmp_path / "uids.json")
    for owner in "ab":
        uids.take(owner)
    with pytest.raises(OSError, match="all 2 pairs"):
        uids.take("c")
    uids.release("a")
    uids.take("c")


def test_giving_files_away_never_follows_a_link(tmp_path):
    if os.getuid() != 0:
        pytest.skip("needs root")
    outside = tmp_path / "outside"
    outside.write_text("")
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "link").symlink_to(outside)
    files.give_away(tree, 700_123)
    assert (outside.stat().st_uid, (tree / "link").lstat().st_uid) == (0, 700_123)


def test_a_machine_without_sandboxes_refuses_and_says_what_to_do(tmp_path):
    nothing = indexes.Indexes(hosts=frozenset(), env={}, ca_bundle=None)
    level = Level(name="none", why="user namespaces are switched off", advice="sudo sysctl -w x=1")
    host = Host(Paths(data=tmp_path), level=level, cgroups=None, found=nothing, peers=frozenset())
    with pytest.raises(Refused, match=r"switched off.*sudo sysctl"):
        host.check()


async def test_without_a_runner_the_driver_says_that_it_may_pass(tmp_path):
    with pytest.raises(Transient, match="does not answer"):
        await ProcessPlatform(tmp_path / "runner.sock").observe()


def test_what_is_advised_for_each_kind_of_machine_is_a_command_of_its_own():
    """Not a file to be loaded that nobody ships."""
    for name, (_, why, advice) in levels._SYSCTLS.items():
        sudo, program, *words = shlex.split(advice)
        assert (sudo, program in {"sysctl", "sh"}) == ("sudo", True), why
        assert words[:-1] == ["-w"] if program == "sysctl" else all(Path(word).is_file() for word in words), why
        assert program == "sh" or words[-1].startswith(f"{name}="), why


def test_the_doctor_names_every_check_and_an_advice_for_what_fails(tmp_path):
    found = doctor.checks(tmp_path)
    assert [one.name for one in found] == [
        "isolation",
        "network",
        "limits",
        "seccomp",
        "git",
        "bash",
        "python runtime",
        "disk",
    ]
    assert all(one.why for one in found)
    assert all(one.advice for one in found if not one.ok)


def test_a_tree_of_any_depth_is_given_away(tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can give files away")
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=here)
        deeper = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    files.give_away(tmp_path, 700_123)
    assert os.fstat(here).st_uid == 700_123
    os.close(here)
    subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)


async def test_an_app_that_cannot_be_ended_keeps_no_other_from_its_end(tmp_path: Path) -> None:
    broken, fine = tmp_path / "run/i/broken", tmp_path / "run/i/fine"
    (broken / "pids").mkdir(parents=True)
    fine.mkdir()
    (tmp_path / "run/boot").write_text(boot_id())
    with pytest.raises(ExceptionGroup, match="1 of 2"):
        await stop_all(tmp_path)
    assert broken.exists()
    assert not fine.exists()


def test_a_pid_that_has_become_a_thread_s_is_no_process_of_ours() -> None:
    """Pids are used again, for threads too, and what a command left on disk may name one."""
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    try:
        assert thread.native_id is not None
        assert pinned(thread.native_id) is None
        Process(thread.native_id, start=1).send(signal.SIGKILL)
    finally:
        over.set()
        thread.join()
