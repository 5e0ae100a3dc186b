"""Measure everything, print the table and write `build/bench.json`. A goal that is missed is shown, not an error.

`python -m tests.bench --row ingest --row lists` measures only those.
"""

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import structlog

from tests.bench.commands import commands
from tests.bench.ingest import ingest
from tests.bench.jobs import jobs
from tests.bench.lists import lists
from tests.bench.promoting import promoting
from tests.bench.pushes import pushes
from tests.bench.realapp import real_app
from tests.bench.rows import Row, table, write
from tests.bench.slugs import slugs
from tests.bench.stage import installation
from tests.bench.takeover import takeover
from tests.walk.stage import Stage

OUT = Path("build/bench.json")
ON_AN_INSTALLATION: dict[str, Callable[[Stage, Path], Awaitable[list[Row]]]] = {
    "ingest": ingest,
    "jobs": jobs,
    "pushes": pushes,
    "realapp": real_app,
    "promoting": promoting,
    "commands": commands,
    "takeover": takeover,
}
ALONE: dict[str, Callable[[Path], Awaitable[list[Row]]]] = {
    "slugs": slugs,
    "lists": lists,
}


async def measured(names: Sequence[str]) -> tuple[list[Row], list[str]]:
    """Run what is named, or all; returns the rows, and what could not be measured."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    wanted = names or [*ON_AN_INSTALLATION, *ALONE]
    rows: list[Row] = []
    failed: list[str] = []
    async with AsyncExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tp-bench-", dir="/tmp")))
        place.chmod(0o755)
        stage: Stage | None = None
        for name in wanted:
            (place / name).mkdir()
            if name in ON_AN_INSTALLATION and stage is None:
                _say("starting Towpath")
                stage = await stack.enter_async_context(installation(place / "installation"))
            _say(f"measuring {name}")
            began = time.perf_counter()
            try:
                rows += await _one(name, stage, place / name)
            except Exception as error:  # noqa: BLE001  (the others are worth having)
                failed.append(f"{name}: {error or type(error).__name__}")
                _say(f"  not measured: {failed[-1]}")
            write(rows, OUT)
            _say(f"  {time.perf_counter() - began:.0f} s")
    return rows, failed


async def _one(name: str, stage: Stage | None, place: Path) -> list[Row]:
    if name in ALONE:
        return await ALONE[name](place)
    assert stage is not None
    return await ON_AN_INSTALLATION[name](stage, place)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


async def main() -> int:
    """Do what the command line says; Ctrl-C and SIGTERM stop whatever was started."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure Towpath beside its peers.")
    parser.add_argument(
        "--row", action="append", choices=[*ON_AN_INSTALLATION, *ALONE], help="only this; may be repeated"
    )
    chosen = parser.parse_args().row or []
    task = asyncio.ensure_future(measured(chosen))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        rows, failed = await task
    except asyncio.CancelledError:
        _say("stopped")
        return 130
    print(table(rows))
    missed = [row.row.strip() for row in rows if row.met is False]
    print(f"\n{sum(row.met is True for row in rows)} goals met, {len(missed)} missed. Also in {OUT}.")
    for each in failed:
        print(f"not measured: {each}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
