"""How long the command line takes before it does anything."""

import os
import sys
from pathlib import Path

from tests.bench.processes import run, seconds
from tests.bench.rows import Row, against, alone
from tests.walk.stage import Stage

ROUNDS = 9
TOWPATH = Path(sys.executable).with_name("towpath")


async def commands(stage: Stage, _place: Path) -> list[Row]:
    """Rows about commands; Python that does nothing takes its turn among them."""
    env = {**os.environ, "TOWPATH_DATA": str(stage.data)}
    taken: dict[str, list[float]] = {"python": [], "help": [], "apps": []}
    for _ in range(ROUNDS):
        for name, argv in (
            ("python", (sys.executable, "-c", "pass")),
            ("help", (str(TOWPATH), "--help")),
            ("apps", (str(TOWPATH), "apps")),
        ):
            taken[name].append(1000 * await seconds(lambda argv=argv: run(argv, env)))  # type: ignore[misc]
    return [
        against("towpath --help", taken["help"], "ms", peer="python -c pass", theirs=taken["python"]),
        against("towpath apps", taken["apps"], "ms", peer="python -c pass", theirs=taken["python"]),
        *await _starts(stage),
    ]


async def _starts(stage: Stage) -> list[Row]:
    """The second start: the first one copies interpreters."""
    taken = []
    for _ in range(3):
        await stage.stop()
        taken.append(await seconds(stage.start))
    return [alone("towpath up, later starts", taken, "s")]
