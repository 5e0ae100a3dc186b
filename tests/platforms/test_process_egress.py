"""What programs that know of no proxy reach from a sandbox, in an internet where every address would answer."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.platforms import internet
from tests.platforms.conftest import Engine
from tests.platforms.test_process_as_user import NOBODY, as_nobody, interpreter
from tests.waiting import until
from workers.platforms.base import Network
from workers.platforms.process import doctor, files, levels
from workers.platforms.process.procs import Process
from workers.platforms.process.stopping import stop_all

HOSTS = """
127.0.0.1 localhost
11.0.0.1 db.example.com both.example.com
2600::1 db6.example.com both.example.com
10.0.0.1 private.example.com mixed.example.com
11.0.0.2 mixed.example.com
10.0.0.7 index.test
"""
# What an app's own program does: ask for addresses, connect, read what the server says first, talk to it.
PROGRAM = """
import errno, socket, sys, time
def reach(address, port=5432):
    started = time.monotonic()
    try:
        with socket.create_connection((address, port), timeout=20) as connection:
            told = connection.makefile("rb")
            said = told.readline()
            connection.sendall(b"ping")
            if said:
                assert told.read(4) == b"ping"
            said = said.decode().strip() or "hung up"
    except OSError as error:
        said = errno.errorcode.get(error.errno, repr(error))
    print(address, "->", said if time.monotonic() - started < 5 else f"{said}, late", flush=True)
def addresses(name):
    try:
        return sorted({row[4][0] for row in socket.getaddrinfo(name, 5432, type=socket.SOCK_STREAM)})
    except socket.gaierror:
        return []
"""


@pytest.fixture(scope="module", autouse=True)
def nft() -> None:
    if lacking := levels.not_led():
        if os.environ.get("CI"):
            pytest.fail(lacking[0])
        pytest.skip(f"programs are not led to the egress here: {lacking[0]}")


@contextlib.asynccontextmanager
async def online(data: Path, **lacking: bool) -> AsyncIterator[Engine]:
    hosts = data / "hosts"
    hosts.write_text(HOSTS)
    prelude = "from pathlib import Path\nfrom tests.platforms import internet\n"
    engine = Engine(data=data, prelude=f"{prelude}internet.enter(Path({str(hosts)!r}), **{lacking})\n")
    await engine.start()
    try:
        yield engine
    finally:
        await engine.end()
        await stop_all(engine.data)
    assert engine.processes() == []


@pytest.fixture
async def engine(short_tmp: Path, level: str) -> AsyncIterator[Engine]:
    async with online(short_tmp) as made:
        yield made


async def tell(engine: Engine, script: str, *, network: Network = Network.PUBLIC) -> list[str]:
    code, output = await engine.build(f"python3 - <<'END'{PROGRAM}{script}\nEND", network=network)
    assert code == 0, output
    return output.splitlines()


async def test_an_app_that_just_connects_to_a_public_name_is_there(engine):
    (engine.slug() / "client.py").write_text(PROGRAM + "reach('db.example.com')\nreach('db6.example.com')\n")
    code, output = await engine.run("exec python3 client.py")
    assert (code, output.splitlines()) == (
        0, ["db.example.com -> 11.0.0.1 5432", "db6.example.com -> 2600::1 5432"],
    )  # fmt: skip


async def test_a_public_address_is_reached_without_a_name_and_by_ipv6(engine):
    script = "for one in ('11.0.0.1', '2600::1', '::ffff:11.0.0.1'): reach(one)\nreach('11.0.0.3', 80)"
    assert await tell(engine, script) == [
        "11.0.0.1 -> 11.0.0.1 5432",
        "2600::1 -> 2600::1 5432",
        "::ffff:11.0.0.1 -> 11.0.0.1 5432",
        "11.0.0.3 -> 11.0.0.3 80",
    ]


INNER = [
    "127.0.0.1", "127.0.0.53", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254",
    "198.18.0.1", "198.18.0.2", "192.0.2.1", "240.0.0.1", internet.OWN, "::1", "fc00::1", "fd74:6f77::1", "::ffff:10.0.0.1",
    "::ffff:127.0.0.1", "64:ff9b::a00:1", "2002:a00:1::1", "2001:db8::1",
]  # fmt: skip


async def test_no_address_that_is_not_public_is_reached_and_each_is_refused_at_once(engine):
    refusals = {"ECONNREFUSED", "ECONNRESET", "ENETUNREACH"}
    lines = await tell(engine, f"for one in {INNER}: reach(one)\nreach('127.0.0.1', 3129)\nreach('::1', 3129)")
    assert [line.partition(" -> ")[0] for line in lines] == [*INNER, "127.0.0.1", "::1"]
    assert {line.partition(" -> ")[2] for line in lines} <= refusals, lines


async def test_where_nobody_listens_the_connection_ends_at_once(engine):
    assert await tell(engine, "reach('11.0.0.1', 81)") == ["11.0.0.1 -> ECONNRESET"]


async def test_what_is_not_tcp_is_refused_at_once(engine):
    script = """
for family, address in ((socket.AF_INET, "11.0.0.1"), (socket.AF_INET6, "2600::1")):
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.sendto(b"?", (address, 53))
        except OSError as error:
            print(errno.errorcode[error.errno])
"""
    assert await tell(engine, script) == ["EPERM", "EPERM"]


async def test_a_name_is_told_with_its_public_addresses_only(engine):
    script = "for one in ('mixed', 'private', 'both'): print(addresses(one + '.example.com'))"
    assert await tell(engine, script) == ["['11.0.0.2']", "[]", "['11.0.0.1', '2600::1']"]


async def test_a_name_is_told_without_ipv6_where_the_machine_has_none(short_tmp, level):
    """A program would be connected to its own side at once and never try the address that leads somewhere."""
    async with online(short_tmp, ipv6=False) as engine:
        script = "print(addresses('both.example.com'))\nreach('both.example.com')\nreach('2600::1')"
        assert await tell(engine, script) == [
            "['11.0.0.1']", "both.example.com -> 11.0.0.1 5432", "2600::1 -> ECONNRESET",
        ]  # fmt: skip


async def test_a_name_that_changes_its_mind_leads_nowhere_else(engine):
    hosts = engine.data / "hosts"
    script = """
before = addresses("db.example.com")
print("changed?", flush=True)
while addresses("db.example.com") == before: time.sleep(0.05)
reach(before[0])
reach("db.example.com")
reach("10.0.0.1")
"""
    task = asyncio.create_task(tell(engine, script))
    await until(lambda: "changed?" in output_of(engine), what="the name has been looked up")
    hosts.write_text(HOSTS.replace("11.0.0.1 db.example.com", "10.0.0.1 db.example.com"))
    lines = await task
    assert lines[:2] == ["changed?", "11.0.0.1 -> 11.0.0.1 5432"]
    assert lines[2].startswith("db.example.com -> gaierror"), lines
    assert lines[3] == "10.0.0.1 -> ECONNREFUSED"


def output_of(engine: Engine) -> str:
    return "".join(path.read_text() for path in (engine.data / "run/x").glob("*/out"))


async def test_a_build_reaches_an_index_by_the_address_that_it_was_told_and_no_other(engine):
    script = """
reach("10.0.0.7", 80)
print(addresses("index.test"), addresses("db.example.com"))
reach("10.0.0.7", 80)
reach("index.test")
for one in ("10.0.0.1", "11.0.0.1", "2600::1", "169.254.169.254"): reach(one)
"""
    assert await tell(engine, script, network=Network.INDEXES) == [
        "10.0.0.7 -> ECONNRESET",
        "['10.0.0.7'] []",
        "10.0.0.7 -> 10.0.0.7 80",
        "index.test -> 10.0.0.7 5432",
        *(f"{one} -> ECONNRESET" for one in ("10.0.0.1", "11.0.0.1", "2600::1", "169.254.169.254")),
    ]


AS_A_USER = """
import asyncio, sys
from pathlib import Path
from tests.platforms.test_process_egress import online, tell

async def main():
    async with online(Path(sys.argv[1])) as engine:
        told = await tell(engine, "for one in ('db.example.com', '2600::1', '10.0.0.1', '2001:db8::1'): reach(one)")
    print("\\n".join(told))

asyncio.run(main())
"""


def test_the_same_is_so_for_an_ordinary_user(short_tmp):
    python = interpreter()
    data = short_tmp / "d"
    data.mkdir()
    if os.getuid() == 0:
        os.chown(data, NOBODY, NOBODY)
    if as_nobody([python, "-c", "import tests.waiting, msgspec"]).returncode:
        pytest.skip("this checkout cannot be read by an ordinary user")
    done = as_nobody([python, "-c", AS_A_USER, str(data)])
    lines = ["db.example.com -> 11.0.0.1 5432", "2600::1 -> 2600::1 5432", "10.0.0.1 -> ECONNREFUSED"]
    assert "\n".join([*lines, "2001:db8::1 -> ECONNRESET\n"]) in done.stdout, done.stdout


async def test_without_network_there_is_no_way_out(engine):
    script = "reach('11.0.0.1')\nreach('2600::1')\nprint(open('/proc/net/route').read().count('\\n'))"
    assert await tell(engine, script, network=Network.NONE) == [
        "11.0.0.1 -> ENETUNREACH", "2600::1 -> ENETUNREACH", "1",
    ]  # fmt: skip


async def test_without_nft_only_what_uses_the_proxy_gets_out(short_tmp, level):
    script = """
import os, urllib.error, urllib.request
reach("11.0.0.1")
with socket.create_connection(("127.0.0.1", 3128), timeout=5) as proxy:
    proxy.sendall(b"CONNECT 11.0.0.1:5432 HTTP/1.0\\r\\n\\r\\n")
    told = proxy.makefile("rb")
    assert b" 200 " in told.readline() and told.readline() == b"\\r\\n"
    print(told.readline().decode().strip())
"""
    async with online(short_tmp, nft=False) as engine:
        assert await tell(engine, script) == ["11.0.0.1 -> ENETUNREACH", "11.0.0.1 5432"]


async def test_a_connection_is_a_whole_one(engine):
    """Much both ways, and each side may end alone."""
    script = """
import threading
with socket.create_connection(("11.0.0.1", 5432), timeout=20) as connection:
    told = connection.makefile("rb")
    told.readline()
    sent = bytes(range(256)) * 20_000
    def send():
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
    threading.Thread(target=send).start()
    print(told.read() == sent)
"""
    assert await tell(engine, script) == ["True"]


async def test_after_its_egress_has_died_a_program_connects_as_before(engine):
    script = """
with socket.create_connection(("11.0.0.1", 5432), timeout=20) as connection:
    print(connection.recv(99).decode().strip(), flush=True)
    with contextlib.suppress(ConnectionResetError):
        assert connection.recv(99) == b""
for one in ("11.0.0.1", "2600::1"): reach(one)
"""
    task = asyncio.create_task(tell(engine, f"import contextlib{script}"))
    await until(lambda: "11.0.0.1 5432" in output_of(engine), what="the program is connected")
    (pids,) = (files.read_json(path) for path in (engine.data / "run/x").glob("*/pids"))
    for pid in Process(*pids["egress"]).descendants():
        os.kill(pid, signal.SIGKILL)
    assert (await task)[1:] == ["11.0.0.1 -> 11.0.0.1 5432", "2600::1 -> 2600::1 5432"]


WITHOUT_IPV6 = """
import errno, os, socket
from pathlib import Path
from workers.platforms.process import namespaces, redirect
namespaces.enter_network(maker=None)
Path("/proc/sys/net/ipv6/conf/lo/disable_ipv6").write_text("1")
made = redirect.lead(public_only=True)
print([one.family.name for one in made])
for address in ("11.0.0.1", "2600::1"):
    try:
        socket.create_connection((address, 5432), timeout=5)
        print("connected")
    except OSError as error:
        print(errno.errorcode[error.errno])
"""


def test_where_the_kernel_has_no_ipv6_programs_are_told_so_at_once_and_ipv4_is_led():
    if os.geteuid() or not Path("/proc/sys/net/ipv6").exists():
        pytest.skip("needs root and IPv6, to switch it off")
    done = subprocess.run([sys.executable, "-c", WITHOUT_IPV6], capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout.splitlines() == ["['AF_INET']", "connected", "EADDRNOTAVAIL"], done.stderr


async def test_nothing_is_set_on_the_machine_itself(engine):
    if os.geteuid() or not Path("/usr/sbin/nft").exists():
        pytest.skip("needs root and nft to list the machine's rules")
    assert await tell(engine, "reach('11.0.0.1')") == ["11.0.0.1 -> 11.0.0.1 5432"]
    listed = subprocess.run(["/usr/sbin/nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout
    assert "towpath" not in listed
    assert all(one not in Path("/proc/net/fib_trie").read_text() for one in ("198.18.0.1", internet.OWN))


def test_the_doctor_says_that_programs_without_a_proxy_get_out(tmp_path):
    (found,) = [one for one in doctor.checks(tmp_path) if one.name == "network"]
    assert found.ok
    assert "programs that know of no proxy" in found.why


async def test_connections_that_stay_inside_are_not_followed_by_the_kernel(engine):
    """It follows so many at most and then drops new ones: visitors, too, come to an app over loopback."""
    script = """
followed = lambda: int(open("/proc/sys/net/netfilter/nf_conntrack_count").read())
servers = [socket.create_server((one, 7000), family=family) for family, one in
           ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))]
for server in servers:
    for _ in range(50):
        socket.create_connection(server.getsockname()[:2], timeout=5).close()
print(followed())
reach("11.0.0.1")
print(followed())
"""
    lines = await tell(engine, script)
    assert (lines[0], lines[2]) == ("0", "1")
