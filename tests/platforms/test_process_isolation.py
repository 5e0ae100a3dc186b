"""What an app on the embedded platform cannot see, reach or use up."""

import asyncio
import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from tests.platforms.conftest import FENCE, Engine
from workers.platforms.base import Limits, Network
from workers.platforms.process.stopping import stop_all

PROXY = "python3 - <<'END'\nimport socket\n{body}\nEND"


@pytest.fixture
def full(level: str) -> None:
    if level != "full":
        pytest.skip("needs root: only then apps have uids and limits of their own")


async def test_the_environment_holds_nothing_of_the_host(short_tmp, level):
    engine = Engine(data=short_tmp, environment={"HOST_SECRET": "s3cret"})
    await engine.start()
    try:
        code, output = await engine.run("env; cat /proc/*/environ | tr '\\0' '\\n'")
    finally:
        await engine.end()
        await stop_all(engine.data)
    assert code == 0
    assert "s3cret" not in output
    names = {line.partition("=")[0] for line in output.splitlines()}
    assert {"GREETING", "PATH", "HOME", "DYNO"} <= names
    assert not {"USER", "LOGNAME", "SSH_AUTH_SOCK", "TOWPATH_DATA"} & names


async def test_files_of_the_host_and_of_other_apps_are_out_of_sight(engine):
    other = engine.slug("other")
    (engine.data / "database").mkdir()
    (engine.data / "database/towpath.db").write_text("secret")
    places = [
        other / "app.py",
        engine.data / "database/towpath.db",
        Path("/root"),
        Path("/home"),
        Path("/etc/shadow"),
        Path("/var"),
    ]
    for place in [*places, engine.data / "run/runner.sock"]:
        code, output = await engine.run(f"ls {place}", name=f"look {place}")
        assert code == 2, output


async def test_other_processes_and_the_host_name_are_out_of_sight(engine):
    code, output = await engine.run("ls -d /proc/[0-9]* | wc -l; hostname; id -un")
    assert code == 0
    count, name, user = output.split()
    assert int(count) <= 6
    assert (name, user) == ("towpath", "app")


async def test_an_app_changes_its_own_files_but_never_the_slug(engine):
    code, output = await engine.run("echo more >> app.py && mkdir -p a/b && touch a/b/c && rm -f app.py; ls")
    assert code == 0, output
    assert "more" not in (engine.slug() / "app.py").read_text()
    assert not (engine.slug() / "a").exists()


@pytest.mark.parametrize(
    "attempt",
    [
        "unshare -U true",
        "unshare -n true",
        "mount -t tmpfs none /tmp",
        "python3 -c 'import ctypes; c = ctypes.CDLL(None, use_errno=True); exit(c.ptrace(16, 1, 0, 0) and 1)'",
        "python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)'",
        "python3 -c 'import socket; socket.socket(40, socket.SOCK_STREAM)'",
        "python3 -c 'import socket; socket.socket(17, socket.SOCK_DGRAM)'",
        "touch /usr/mine",
        "touch /etc/mine",
        "kill -9 1 && sleep 0.1 && [ ! -e /proc/1 ]",
    ],
    ids=[
        "a user namespace", "a network namespace", "a mount", "ptrace", "a raw socket", "a vsock", "a packet socket",
        "the system", "the configuration", "killing init",
    ],
)  # fmt: skip
async def test_dangerous_calls_fail(engine, attempt):
    code, _ = await engine.run(attempt)
    assert code != 0


async def test_each_app_has_a_host_uid_of_its_own_which_is_not_root(engine, full):
    tasks = {app: asyncio.create_task(engine.run("exec sleep 20", app=app, seconds=15)) for app in ("a", "b")}
    try:
        from tests.waiting import until

        uids = await until(lambda: _uids(engine), what="both run")
    finally:
        for app in tasks:
            await engine.platform.remove(app, fence=FENCE)
        await asyncio.gather(*tasks.values(), return_exceptions=True)
    assert len(uids) == 2
    assert min(uids) >= 700_000


def _uids(engine: Engine) -> set[int] | None:
    found = set()
    for group in engine.groups():
        for pid in Path(group, "cgroup.procs").read_text().split():
            status = Path(f"/proc/{pid}/status")
            if status.exists():
                text = status.read_text()
                if "Name:\tsleep" in text:
                    found.add(int(text.partition("Uid:\t")[2].split()[0]))
    return found if len(found) == 2 else None


async def test_memory_beyond_the_limit_kills_and_says_so(engine, full):
    code, output = await engine.run(
        "exec python3 -c 'x = bytearray(300 * 1024 * 1024); print(len(x))'", limits=Limits(memory_mb=64)
    )
    assert code == 137
    assert "exceeded its memory limit" in output


async def test_a_fork_bomb_is_bounded(engine):
    script = """
import os
for started in range(500):
    try:
        if os.fork() == 0:
            os.read(os.pipe()[0], 1)
    except OSError as error:
        raise SystemExit(f"{started} {error}")
"""
    (engine.slug() / "bomb.py").write_text(script)
    code, output = await engine.run("exec python3 bomb.py", limits=Limits(pids=40), seconds=20)
    assert code == 1
    assert int(output.split()[0]) <= 40
    assert "Resource temporarily unavailable" in output


async def test_a_disk_hog_is_bounded(engine):
    code, output = await engine.run("head -c 50M /dev/zero > /tmp/hog", limits=Limits(disk_mb=10))
    assert code != 0, output


async def test_without_network_nothing_is_reached(engine):
    code, output = await engine.build(
        "cat /proc/net/dev | tail -n +3 | cut -d: -f1; timeout 5 bash -c 'exec 3<>/dev/tcp/127.0.0.1/3128'; echo $?"
    )
    assert code == 0
    lines = output.split("\n")
    assert lines[0].strip() == "lo"
    assert lines[-2] != "0"


async def listening(address: str = "127.0.0.1") -> tuple[asyncio.Server, int]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\n\r\nhost server: " + head.partition(b"\r\n")[0])
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, address, 0)
    return server, server.sockets[0].getsockname()[1]


GET = "import urllib.request as r\ntry: print(r.urlopen('{url}', timeout=10).read().decode())\nexcept Exception as e: print(e)"


async def ask(engine: Engine, url: str, *, network: Network, name: str = "ask") -> str:
    script = "unset no_proxy NO_PROXY; python3 - <<'END'\n" + GET.format(url=url) + "\nEND"
    code, output = await engine.build(script, network=network, name=name)
    assert code == 0, output
    return output


async def test_builds_reach_the_configured_index_hosts_by_name_wherever_they_are(engine):
    server, port = await listening()
    async with server:
        assert "host server: GET /simple/" in await ask(
            engine, f"http://localhost:{port}/simple/", network=Network.INDEXES, name="named"
        )
        assert "Forbidden" in await ask(engine, f"http://127.0.0.1:{port}/", network=Network.INDEXES, name="address")
        assert "Forbidden" in await ask(engine, "http://example.com/", network=Network.INDEXES, name="other")


SOCKS = """
import socket, sys
def ask(kind, address, port, command=1):
    with socket.create_connection(("127.0.0.1", 3128), timeout=10) as proxy:
        proxy.sendall(b"\\5\\1\\0" + bytes([5, command, 0, kind]) + address + port.to_bytes(2, "big"))
        told = proxy.makefile("rb")
        assert told.read(2) == b"\\5\\0"
        code = told.read(10)[1]
        if code == 0:
            proxy.sendall(b"GET /by-socks HTTP/1.0\\r\\n\\r\\n")
            print(told.read().decode().rpartition("\\n")[2])
        else:
            print("refused", code)
port = int(sys.argv[1])
ask(3, b"\\x09localhost", port)
ask(1, socket.inet_aton("127.0.0.1"), port)
ask(4, socket.inet_pton(socket.AF_INET6, "::ffff:127.0.0.1"), port)
ask(3, b"\\x03a\\0b", port)
ask(3, b"\\x09localhost", port, command=2)
ask(9, b"", port)
"""


async def test_socks_leads_where_the_http_proxy_leads_and_nowhere_else(engine):
    server, port = await listening()
    async with server:
        script = f"python3 - {port} <<'END'{SOCKS}END"
        code, output = await engine.build(script, network=Network.INDEXES)
    assert code == 0, output
    lines = ["host server: GET /by-socks HTTP/1.0", *["refused 2"] * 3, "refused 7", "refused 8"]
    assert output.splitlines() == lines


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "169.254.169.254", "10.0.0.1", "192.168.1.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0",
     "2130706433", "100.64.0.1", "[fe80::1]", "[64:ff9b::7f00:1]", "224.0.0.1"],
)  # fmt: skip
async def test_apps_never_reach_loopback_link_local_or_private_addresses(engine, host):
    server, port = await listening()
    async with server:
        assert "Forbidden" in await ask(engine, f"http://{host}:{port}/", network=Network.PUBLIC)


async def test_the_hosts_own_addresses_are_refused_directly_and_through_the_proxy(engine):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        own = sock.getsockname()[0]
    server, port = await listening(own)
    async with server:
        assert "Forbidden" in await ask(engine, f"http://{own}:{port}/", network=Network.PUBLIC)
        code, output = await engine.build(
            f"exec 3<>/dev/tcp/{own}/{port} && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3",
            network=Network.PUBLIC, name="direct",
        )  # fmt: skip
    assert code != 0
    assert "host server" not in output


async def test_the_name_server_inside_answers_and_refuses(engine):
    script = "getent hosts localhost-is-not-public.invalid; echo $?; getent ahosts localhost | head -1"
    code, output = await engine.build(script, network=Network.PUBLIC)
    assert code == 0
    assert output.startswith("2\n")


async def test_a_limit_of_one_cpu_and_of_memory_is_set_before_the_app_runs(engine, full):
    spec = replace(engine.spec(), limits=Limits(memory_mb=99, pids=77))
    await engine.up(spec)
    texts = [
        path.read_text().strip()
        for group in engine.groups()
        if not group.endswith(".shim")  # what keeps it is limited apart from it
        for path in Path(group).iterdir()
        if path.name in {"memory.limit_in_bytes", "memory.max", "pids.max"}
    ]
    assert sorted(texts) == sorted([str(99 * 1024 * 1024), "77"])
    assert os.getuid() == 0
