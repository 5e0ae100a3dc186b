"""A promotion by Heroku's own command line and by ours, of the same app on the same installation."""

import os
import sys
from pathlib import Path

from tests.bench.processes import run, seconds
from tests.bench.rows import Row, against
from tests.heroku_cli.heroku import PROGRAM, Heroku, watching
from tests.walk.stage import Stage

ROUNDS = 5
TOWPATH = Path(sys.executable).with_name("towpath")


async def promoting(stage: Stage, place: Path) -> list[Row]:
    """A row about `pipelines:promote`; the two take turns."""
    if not PROGRAM.exists():
        raise RuntimeError("Heroku's command line is not in build/heroku (make npm)")
    pipeline = await stage.pipeline("promoting", automatic=False)
    await stage.api("POST", f"/apps/{pipeline.staging}/builds", {})
    await stage.says(pipeline.staging, "first")
    words = ("pipelines:promote", "-a", pipeline.staging)
    env = {**os.environ, "TOWPATH_DATA": str(stage.data)}
    ours, theirs = [], []
    async with watching() as door:
        heroku = Heroku.at(
            PROGRAM, home=place / "home", url=f"http://127.0.0.1:{stage.port}", token=stage.token, door=door
        )
        for _ in range(ROUNDS + 1):
            theirs.append(await seconds(lambda: heroku(*words)))
            ours.append(await seconds(lambda: run((str(TOWPATH), *words), env)))
    # The first of each finds nothing in any cache.
    return [against("towpath pipelines:promote", ours[1:], "s", peer="heroku pipelines:promote", theirs=theirs[1:])]
