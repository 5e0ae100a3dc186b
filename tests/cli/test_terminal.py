"""What somebody at a terminal sees: the article's transcripts to the letter, questions, marks that turn, and Ctrl-C."""

import asyncio
import os
import sys
from functools import partial
from pathlib import Path

from tests.cli.conftest import Cli
from tests.cli.terminal import Seen, towpath_at_terminal
from tests.web.serving import Server


async def seen(cli: Cli, *args: str, typed: list[tuple[str, str]] | None = None, columns: int = 80, **env: str) -> Seen:
    return await asyncio.to_thread(partial(towpath_at_terminal, cli, *args, typed=typed or [], columns=columns, **env))


async def test_creating_a_pipeline_reads_on_the_screen_as_in_the_article(towpath: Cli, server: Server) -> None:
    await server.app("example-app")
    done = await seen(
        towpath, "pipelines:create", "-a", "example-app",
        typed=[("? Pipeline name: ", "example-pipeline\n"), ("? Stage of example-app: ", "production\n")],
    )  # fmt: skip
    assert done.screen == [
        "? Pipeline name: example-pipeline",
        "? Stage of example-app: production",
        "Creating example-pipeline pipeline... done",
        "Adding example-app to example-pipeline pipeline as production... done",
    ]
    assert done.code == 0


async def test_adding_an_app_reads_on_the_screen_as_in_the_article(towpath: Cli, server: Server) -> None:
    await server.app("example-staging")
    await server.pipeline("example-pipeline", connected=False)
    # Enter alone is what the question offers; a narrow screen has the question in two rows.
    done = await seen(
        towpath, "pipelines:add", "example-pipeline", "-a", "example-staging",
        typed=[("(staging) ", "\n")], columns=36,
    )  # fmt: skip
    assert "".join(done.screen) == (
        "? Stage of example-staging: stagingAdding example-staging to example-pipeline pipeline as staging... done"
    )
    assert done.screen[0] == "? Stage of example-staging: staging"


async def test_a_destroy_is_asked_about_on_a_terminal_and_the_name_has_to_be_right(
    towpath: Cli, server: Server
) -> None:
    await server.app("example")
    wrong = await seen(towpath, "apps:destroy", "example", typed=[("type example: ", "exmple\n")])
    assert wrong.code == 1
    assert "'exmple' does not match 'example'. Nothing was done." in " ".join(wrong.screen)
    done = await seen(towpath, "apps:destroy", "-a", "example", "--json", typed=[("type example: ", "example\n")])
    assert done.code == 0
    assert '"state": "destroying"' in done.raw


async def test_color_is_for_terminals_that_show_it_and_people_who_want_it(towpath: Cli, server: Server) -> None:
    await server.app("example")
    assert "\x1b[1mApps\x1b[0m" in (await seen(towpath, "apps")).raw
    assert "\x1b[1m" not in (await seen(towpath, "apps", NO_COLOR="1")).raw
    plain = await seen(towpath, "apps:create", "other", "--no-remote", TERM="dumb")
    assert "\x1b" not in plain.raw
    assert plain.screen[0] == "Creating other... done"


async def test_long_work_turns_a_mark_on_a_terminal_and_ctrl_c_ends_it_with_one_line(
    towpath: Cli, server: Server
) -> None:
    await server.pipeline(staging="example")
    done = await seen(towpath, "deploy", "main", "-a", "example", typed=[("Waiting for example... ⠙", "\x03")])
    assert done.code == 130
    assert done.screen[0].startswith("Deploying main (aaaaaaa) to example")
    assert done.screen[1:] == [" ▸    Stopped waiting; Towpath goes on. Look with: towpath releases -a example"]


async def test_ctrl_c_at_a_question_ends_with_130_and_one_line(towpath: Cli, server: Server) -> None:
    await server.app("example")
    done = await seen(towpath, "pipelines:create", "-a", "example", typed=[("? Pipeline name: ", "\x03")])
    assert done.code == 130
    assert done.screen[-1].endswith("Interrupted.")
    assert "Traceback" not in done.raw


async def test_a_table_keeps_its_columns_on_a_narrow_terminal_and_loses_nothing(towpath: Cli, server: Server) -> None:
    await server.app("example")
    await towpath("lock", "-a", "example", "-m", "the sale goes on until monday morning, ask 佐藤さん")
    wide = (await seen(towpath, "locks", columns=160)).screen
    narrow = (await seen(towpath, "locks", columns=60)).screen
    assert len(narrow) > len(wide) == 2
    start = narrow[0].index("because")
    assert all(line[:start].rstrip() == line[: start - 2].rstrip() for line in narrow)
    told = " ".join(line[start:].strip() for line in narrow[1:])
    assert told.replace(" ", "") == "thesalegoesonuntilmondaymorning,ask佐藤さん"


async def test_the_token_is_asked_for_without_being_shown(offline: Cli, server: Server, tmp_path: Path) -> None:
    done = await seen(
        offline, "login", typed=[("? Server: ", f"{server.url}\n"), ("? Token for ", f"{server.token}\n")]
    )
    assert (done.code, server.token in done.raw) == (0, False)
    assert done.screen[-1] == f"Logging in to {server.url}... done, as admin@localhost"
    assert (await offline("auth:whoami")).out == "admin@localhost\n"


async def test_a_reader_that_has_gone_ends_it_as_it_ends_other_programs(towpath: Cli, server: Server) -> None:
    await server.app("example")
    for args in (["apps", "--json"], ["logs", "-a", "example"]):  # written at the end, and line by line
        reader, writer = os.pipe()
        os.close(reader)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "service.cli", *args),
            cwd=towpath.cwd, env=towpath.env, stdout=writer, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        os.close(writer)
        _, err = await process.communicate()
        assert (process.returncode, err) == (141, b"")
