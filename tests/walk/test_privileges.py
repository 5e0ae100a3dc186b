"""Who may what when `towpath up` is started as root: only the runner is privileged, and each part sees what is its own."""

import json
import os
import stat
import tarfile
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio

from service.demo import remains
from tests.waiting import until
from tests.walk.acting import deployed
from tests.walk.stage import Stage, staged

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can give services users of their own"),
]
SERVICES = ("redis", "worker", "web", "router")
TOKEN = "ghp_canaryOfTheToken0123456789abcdefghij"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(runtimes: Path, octokit: Path) -> AsyncIterator[Stage]:
    async with staged(runtimes, {"TOWPATH_GITHUB_TOKEN": TOKEN}) as running:
        yield running


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def sees(stage: Stage, part: str, path: Path) -> bool:
    """Whether a path is there in the mount namespace of a part."""
    return Path(f"/proc/{stage.pid(part)}/root{path}").exists()


def may_read(stage: Stage, part: str, path: Path) -> bool:
    """Ask the kernel, as the part's user in the part's view of the disk."""
    pid, uid = stage.pid(part), int(status(stage.pid(part))["Uid"].split()[0])
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.chroot(f"/proc/{pid}/root")
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            with path.open("rb") as file:
                file.read(1)
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1] == 0


async def test_services_have_users_of_their_own_and_no_capability(stage: Stage) -> None:
    seen = {part: status(stage.pid(part)) for part in SERVICES}
    uids = {part: each["Uid"].split() for part, each in seen.items()}
    assert all(len(set(each)) == 1 and each[0] != "0" for each in uids.values()), uids
    assert len({each[0] for each in uids.values()}) == len(SERVICES)
    for part, each in seen.items():
        assert (int(each["CapEff"], 16), int(each["CapPrm"], 16), each["NoNewPrivs"], each["Groups"]) == (
            *(0, 0, "1", ""),
        ), part
    assert status(stage.pid("runner"))["Uid"].split()[0] == "0"


def _privileged(pid: int) -> bool:
    seen = status(pid)
    return "0" in seen["Uid"].split() or any(int(seen[each], 16) for each in ("CapEff", "CapPrm", "CapInh", "CapAmb"))


async def test_of_all_processes_there_are_only_up_and_the_runner_have_any_privilege(stage: Stage) -> None:
    """Each one is looked at: services, apps, one-offs, and what holds them and lets them out."""
    pipeline = await stage.pipeline(automatic=False)
    await deployed(stage, pipeline.staging)
    body = {"command": "echo begun; exec sleep 60", "attach": False}
    made = await stage.api("POST", f"/apps/{pipeline.staging}/dynos", body)

    async def is_up() -> bool:
        return bool((await stage.api("GET", f"/apps/{pipeline.staging}/dynos/{made['id']}"))["state"] == "up")

    await until(is_up, seconds=20, what="the one-off runs")
    assert stage.process is not None
    allowed = {stage.process.pid, stage.pid("runner")}
    others = dict[int, str]()

    def only_those() -> bool:
        """What was begun just now has its own user a moment later."""
        others.clear()
        for pid in remains.processes(stage.data):
            with suppress(OSError, KeyError):  # gone meanwhile
                others[pid] = status(pid)["Name"] if _privileged(pid) else ""
        return {pid for pid, name in others.items() if name} == allowed

    try:
        await until(only_those, seconds=20)
    except AssertionError:
        raise AssertionError({pid: name for pid, name in others.items() if name}) from None
    assert len(others) >= len(SERVICES) + len(allowed) + 2 * 4, (
        "an app and a one-off are a sandbox and its shim at least"
    )
    await stage.api("POST", f"/apps/{pipeline.staging}/dynos/{made['id']}/actions/stop")


@pytest.mark.parametrize(
    ("part", "keys", "database"),
    [("worker", True, True), ("web", True, True), ("router", False, True), ("redis", False, False)],
)
async def test_each_service_sees_only_what_it_works_on(part: str, keys: bool, database: bool, stage: Stage) -> None:
    github_key = stage.data.parent / "key.pem"
    assert may_read(stage, part, stage.data / "secret.keys") is keys
    assert may_read(stage, part, github_key) is keys
    assert may_read(stage, part, stage.data / "database/towpath.db") is database
    for private in ("ready.json", "api.token", "webhook.secret", "apps", "log"):
        assert not sees(stage, part, stage.data / private), private
    assert sees(stage, part, stage.data / "work") is (part == "worker")
    assert sees(stage, part, stage.data / "pushes") is (part in {"worker", "web"})
    assert sees(stage, part, stage.data / "sources") is (part in {"worker", "web"})
    for private in (Path("/etc/shadow"), Path(f"/proc/{stage.pid('runner')}/environ")):
        assert not may_read(stage, part, private)


async def test_secrets_are_in_the_environment_only_of_those_they_are_for(stage: Stage) -> None:
    def told(part: str, secret: str) -> bool:
        return secret.encode() in Path(f"/proc/{stage.pid(part)}/environ").read_bytes()

    webhook_secret = json.loads((stage.data / "ready.json").read_text())["webhook_secret"]
    parts = [*SERVICES, "runner"]
    assert {part for part in parts if told(part, TOKEN)} == {"worker", "web"}
    assert {part for part in parts if told(part, webhook_secret)} == {"web"}


async def test_what_services_keep_stays_root_s_on_disk(stage: Stage) -> None:
    pipeline = await stage.pipeline(automatic=False)
    await deployed(stage, pipeline.staging)
    for place in ("database/towpath.db", "work/mirrors", "work/slugs", "run/services/web.sock"):
        assert (stage.data / place).stat().st_uid == 0
    assert stat.S_IMODE((stage.data / "database").stat().st_mode) == 0o700


async def test_a_source_that_web_takes_is_built_by_the_worker(stage: Stage, tmp_path: Path) -> None:
    """Each as its own user: one file goes through the hands of both."""
    app, page = stage.name("sent"), tmp_path / "index.html"
    page.write_text("sent as it is")
    with tarfile.open(tmp_path / "site.tar.gz", "w:gz") as archive:
        archive.add(page, "site-1.0/index.html")
    await stage.api("POST", "/apps", {"name": app}, status=201)
    said = await stage.cli_says(
        "builds:create", "--source-tar", str(tmp_path / "site.tar.gz"), "--source-version", "1.0", "-a", app
    )
    assert "-----> Reading the source that was sent" in said
    await stage.says(app, "sent as it is")
    assert (await stage.api("GET", f"/apps/{app}/releases/current"))["description"] == "Deploy 1.0"
