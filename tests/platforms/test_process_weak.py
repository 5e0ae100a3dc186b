"""Level `none`: refused unless wanted, and then apps and builds run all the same, without a sandbox."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from service.domain.errors import Refused
from service.domain.model import Trust
from tests.platforms.test_process_as_user import NOBODY, ROOT, as_nobody, interpreter
from workers.platforms.process import bare, indexes
from workers.platforms.process.host import Host, Level, Paths

STORY = """
import asyncio, sys
from dataclasses import replace
from pathlib import Path
import pytest
from service.domain.errors import Refused
from service.domain.model import Trust
from tests.platforms.conftest import FENCE, Engine, fetch
from tests.platforms.test_process_apps import answers
from tests.platforms.weak import forbid_namespaces
from tests.platforms.test_process_one_offs import a_terminal_and_pipes
from tests.waiting import until
from workers.platforms.base import Bind, ProcessSpec
from workers.platforms.process.stopping import stop_all

async def main():
    engine = Engine(data=Path(sys.argv[1]))
    await engine.start()
    with pytest.raises(Refused, match="no sandbox could be started.*To change that"):
        await engine.up(engine.spec())
    await engine.end()
    engine = Engine(data=Path(sys.argv[1]), weak=True)
    await engine.start()
    try:
        slug = engine.slug()
        slug.joinpath("fixed").write_text("as built")
        slug.joinpath("fixed").chmod(0o444)
        slug.joinpath(".profile.d").mkdir()
        slug.joinpath(".profile.d/x.sh").write_text('export WHERE="/app/bin:$PATH"')
        a = await engine.up(engine.spec(greeting="one"))
        b = await engine.up(engine.spec(app="app-2", greeting="two"))
        assert (await a.get(), await b.get()) == ("one", "two")
        await engine.restart()
        assert (await a.get(), await b.get()) == ("one", "two")
        code, output = await engine.run('echo $WHERE; echo x > fixed; [ "$WHERE" = "$HOME/bin:$PATH" ]; echo $?; env')
        lines = output.splitlines()
        assert lines[1] == "0", output
        assert "HOME" in output and "PYTHONPATH" not in output and "TOWPATH" not in output, output
        assert slug.joinpath("fixed").read_text() == "as built"
        code, output = await engine.run("(setsid sleep 300 &) ; exit 5", name="strays")
        assert code == 5, output
        assert (await engine.run("exec sleep 60", name="late", seconds=0.3))[0] == 124
        await a_terminal_and_pipes(engine)
        kept = engine.data / "work/builds/kept"
        kept.mkdir(parents=True)
        script = "printf '#!/app/bin/python\\\\n' > /app/run; ln -s /opt/towpath/runtimes/python/bin/python3 /app/python;"
        step = script + " test -d /app && echo made > /app/made && cat /app/run"
        code, output = await engine.build(step, Bind(host=kept, inside="/app", writable=True))
        assert (code, output) == (0, f"#!{kept}/bin/python\\n"), output
        assert (kept / "run").read_text() == "#!/app/bin/python\\n"
        assert str((kept / "python").readlink()) == "/opt/towpath/runtimes/python/bin/python3"
        shut = "mkdir -p {0}/shut/in && echo '#!/app/bin/python' > {0}/shut/run && chmod 500 {0}/shut"
        code, output = await engine.build(shut.format("/app"), Bind(host=kept, inside="/app", writable=True), name="s")
        assert (code, (kept / "shut/run").read_text()) == (0, "#!/app/bin/python\\n"), output
        web = (ProcessSpec(type="web", command=shut.format("$TMPDIR") + ";" + shut.format(".") + "; exec python3 app.py",
               quantity=1),)
        c = await engine.up(engine.spec(app="app-3", processes=web))
        with pytest.raises(ConnectionError):
            await c.get("/crash")
        await until(lambda: answers(c), what="started again where a closed directory was left")
        for name in ("build", "s"):
            await engine.platform.forget(name)
        await engine.platform.remove("app-3", fence=FENCE)
        two = (replace(engine.spec().processes[0], quantity=2),)
        d = await engine.up(engine.spec(app="app-4", processes=two))
        assert [await fetch(one) for one in d.endpoints] == ["hello", "hello"]
        await engine.restart()
        assert [await fetch(one) for one in d.endpoints] == ["hello", "hello"]
        await engine.platform.remove("app-4", fence=FENCE)
        fork = engine.data / "work/slugs/fork/1"
        fork.mkdir(parents=True)
        with pytest.raises(Refused, match="forks"):
            await engine.up(engine.spec("r9", slug_dir=fork))
        with pytest.raises(Refused, match="forks"):
            await engine.build("true", name="fork", trust=Trust.FORK)
        await engine.platform.remove("app-1", fence=FENCE)
        await engine.platform.remove("app-2", fence=FENCE)
        assert engine.processes() == [], engine.processes()
        assert [*(engine.data / "run/i").iterdir(), *(engine.data / "run/x").iterdir()] == []
        await engine.up(engine.spec("r3"))
    finally:
        await engine.end()
        await stop_all(engine.data)
    assert engine.processes() == [], engine.processes()
    print("the story is over")

forbid_namespaces()
asyncio.run(main())
"""


def test_apps_and_builds_of_an_ordinary_user_without_namespaces_run_only_when_that_is_wanted(short_tmp):
    data = short_tmp / "d"
    data.mkdir()
    if os.getuid() == 0:
        os.chown(data, NOBODY, NOBODY)
    python = interpreter()
    if as_nobody([python, "-c", "import tests.waiting, msgspec"]).returncode:
        pytest.skip("this checkout cannot be read by an ordinary user")
    done = as_nobody([python, "-c", STORY, str(data)])
    assert "the story is over" in done.stdout, done.stdout


@pytest.mark.parametrize("name", ["user", "none"])
def test_slugs_of_forks_are_refused_below_full_and_others_are_not(tmp_path: Path, name: str) -> None:
    nothing = indexes.Indexes(hosts=frozenset(), env={}, ca_bundle=None)
    level = Level(name=name, why="of a reason", advice="do this", weak=True)
    host = Host(Paths(data=tmp_path), level=level, cgroups=None, found=nothing, peers=frozenset())
    host.check_slug(tmp_path / "work/slugs/own/1")
    host.check_trust(Trust.OWN)
    (tmp_path / "elsewhere").symlink_to(tmp_path)
    for slug in (tmp_path / "work/slugs/fork/1", tmp_path / "elsewhere/work/slugs/fork/1"):
        with pytest.raises(Refused, match=r"forks.*of a reason.*do this"):
            host.check_slug(slug)


WORDS = [
    ("#!/app/.venv/bin/python", "#!/d/1/.venv/bin/python"),
    ('PATH="/app/bin:/app:$PATH"', 'PATH="/d/1/bin:/d/1:$PATH"'),
    ("/opt/towpath/runtimes/python-3.11/bin", "/d/runtimes/python-3.11/bin"),
    ("https://app.example/app /apps ./app ~/app ${X}/app /my/app /app-1", None),
]


@pytest.mark.parametrize(("inside", "outside"), WORDS, ids=["a shebang", "a PATH", "a runtime", "other words"])
def test_only_whole_paths_of_the_sandbox_are_translated(inside: str, outside: str | None) -> None:
    places = bare.Places((("/app", "/d/1"), ("/opt/towpath/runtimes", "/d/runtimes")))
    assert places.outward(inside) == (outside or inside)
    assert places.inward(places.outward(inside)) == inside


def test_what_is_translated_is_never_written_through_a_link(tmp_path: Path) -> None:
    slug, outside = tmp_path / "slug", tmp_path / "outside"
    slug.mkdir()
    outside.write_text("precious")
    (slug / "run").write_text("#!/app/bin/python\n")
    (slug / "to").symlink_to(outside)
    (slug / "run.towpath-new").symlink_to(outside)
    places = bare.release(tmp_path / "instance", slug=slug, runtimes=tmp_path / "runtimes")
    copy = Path(places.outward("/app"))
    assert (copy / "run").read_text() == f"#!{copy}/bin/python\n"
    assert sorted(path.name for path in copy.iterdir()) == ["run", "run.towpath-new", "to"]
    assert (slug / "run").read_text() == "#!/app/bin/python\n"
    assert outside.read_text() == "precious"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_up_refuses_where_nothing_separates_apps_and_says_what_to_do(short_tmp: Path) -> None:
    command = [sys.executable, "-m", "tests.platforms.weak", sys.executable, "-m", "service.cli", "up"]
    done = subprocess.run(
        [*command, "--data", str(short_tmp), "--port", str(free_port())], cwd=ROOT, capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert "To change that: " in done.stderr
    assert "--allow-weak-isolation" in done.stderr
    assert not (short_tmp / "log/runner.log").exists()
