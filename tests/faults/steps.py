"""The steps at which something can die, each made long enough to be caught in it.

A step is a function that begins it and returns, once it has begun, how to see that all came out as without the fault.
Commands run once, unless the machine itself died under a release phase: that may be repeated.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from tests.waiting import until
from tests.walk.acting import app_id, configured, current, deployed, ended, output
from tests.walk.samples import PYTHON, page, quick, slow
from tests.walk.stage import Pipeline, Stage


class Right(Protocol):
    """Waits for the end and looks at it; `machine_died` while it was done."""

    async def __call__(self, *, machine_died: bool = False) -> None: ...


Step = Callable[[Stage], Awaitable[Right]]

SECONDS = 2
"""How long a step lasts by itself."""
AFTER = 40.0
"""How long the rest may take: a lease, the step anew where it may be repeated, and what follows."""

NAP = f"{PYTHON} -I nap.py"
NAP_PY = f"import time\nprint('taking a nap', flush=True)\ntime.sleep({SECONDS})\nprint('nap is over', flush=True)\n"
SLEEPY = f"import os, time\nif os.environ.get('SHOW_NAP'):\n    time.sleep({SECONDS})\n"
"""Boots slowly where it is asked to."""


def sleepy(text: str, *, release: str = "") -> dict[str, str]:
    """A repository whose web process takes its time with SHOW_NAP, and which may have a release command."""
    files = {**quick(text), "server.py": SLEEPY + page(text)["server.py"], "nap.py": NAP_PY}
    return files | ({"Procfile": f"{files['Procfile']}release: {release}\n"} if release else {})


async def a_build(stage: Stage) -> Right:
    """Of a first deploy."""
    pipeline = await stage.pipeline("fault", files=slow("built", seconds=SECONDS))
    request = await _asked(stage, pipeline.staging, "builds", {"source_blob": {"version": "master"}})
    await _written(stage, "builds", request, "tick")

    async def right(*, machine_died: bool = False) -> None:
        await _went_live(stage, pipeline, pipeline.staging, request, says="built", version=1)
        [build] = await stage.api("GET", f"/apps/{pipeline.staging}/builds")
        assert build["status"] == "succeeded"

    return right


async def a_release_phase(stage: Stage) -> Right:
    """Of a second deploy."""
    pipeline, app = await _serving(stage, sleepy("first", release=f'test -z "$SHOW_NAP" || {NAP}'))
    request = await changed(stage, app)
    await _written(stage, "releases", request, "taking a nap")

    async def right(*, machine_died: bool = False) -> None:
        await _went_live(stage, pipeline, app, request, says="SHOW_NAP=1", version=2)
        told = await output(stage, (await current(stage, app))["id"])
        assert told.count("taking a nap") in ({1, 2} if machine_died else {1}), told
        assert told.count("nap is over") == 1, told

    return right


async def a_boot(stage: Stage) -> Right:
    """Of new processes beside the old ones."""
    pipeline, app = await _serving(stage, sleepy("first"))
    request = await changed(stage, app)
    await _step_is(stage, request, "start")

    async def right(*, machine_died: bool = False) -> None:
        await _went_live(stage, pipeline, app, request, says="SHOW_NAP=1", version=2)

    return right


async def a_promotion(stage: Stage) -> Right:
    """In the target's release phase."""
    pipeline, app = await _serving(stage, sleepy("first", release=f'test -z "$SHOW_NAP" || {NAP}'))
    await configured(stage, pipeline.production, SHOW_NAP="1")
    body = {"pipeline": {"id": pipeline.id}, "source": {"app": {"id": await app_id(stage, app)}}}
    made: dict[str, Any] = {}

    async def promote() -> None:
        made.update(await stage.api("POST", "/pipeline-promotions", body))

    request = await _made(stage, pipeline.production, promote)
    await _written(stage, "releases", request, "taking a nap")

    async def right(*, machine_died: bool = False) -> None:
        await _went_live(stage, pipeline, pipeline.production, request, says="SHOW_NAP=1", version=2)
        target, source = await current(stage, pipeline.production), await current(stage, app)
        assert target["slug"] == source["slug"]
        assert (await output(stage, target["id"])).count("taking a nap") in ({1, 2} if machine_died else {1})
        assert (await stage.api("GET", f"/pipeline-promotions/{made['id']}"))["status"] == "completed"

    return right


async def a_rollback(stage: Stage) -> Right:
    """To a release that boots slowly."""
    pipeline = await stage.pipeline("fault", files=sleepy("first"))
    app = pipeline.staging
    await configured(stage, app, SHOW_NAP="1")
    first = await deployed(stage, app)
    await configured(stage, app, SHOW_NAP=None)
    request = await _asked(stage, app, "releases", {"release": first["release"]["id"]})
    await _step_is(stage, request, "start")

    async def right(*, machine_died: bool = False) -> None:
        await _went_live(stage, pipeline, app, request, says="SHOW_NAP=1", version=4)

    return right


async def a_destroy(stage: Stage) -> Right:
    """Of a review app, in its farewell."""
    files = {**sleepy("first"), "app.json": f'{{"scripts": {{"pr-predestroy": "{NAP}"}}}}'}
    pipeline = await stage.pipeline("fault", files=files)
    await stage.github.push(pipeline.repo, "topic", page("review"))
    pull = await stage.github.open_pull(pipeline.repo, "topic")
    review = await stage.review_is(pipeline, pull.number, "live")
    name, number = review["app"]["name"], review["app"]["id"]
    stage.github.close_pull(pipeline.repo, pull.number)

    async def leaving() -> bool:
        sql = "SELECT 1 FROM commands WHERE app_id = ? AND step = 'predestroy'"
        return bool(await stage.rows(sql, number))

    await until(leaving, seconds=AFTER, what="the farewell begins")

    async def gone() -> bool:
        return await stage.rows("SELECT state FROM apps WHERE id = ?", number) == [("gone",)]

    async def right(*, machine_died: bool = False) -> None:
        await until(gone, seconds=AFTER, what=f"{name} is gone")
        await stage.deployments_are(pipeline, name, "inactive")
        assert await stage.page(name) == "HTTP 404"
        sql = """SELECT c.text FROM log_chunks c JOIN releases r ON r.log_id = c.log_id WHERE r.app_id = ?"""
        told = "".join(text for (text,) in await stage.rows(sql, number))
        # The last moment of a log may go with its machine.
        assert told.count("taking a nap") in ({0, 1} if machine_died else {1}), told

    return right


async def a_report(stage: Stage) -> Right:
    """To a GitHub that takes its time to answer."""
    pipeline, app = await _serving(stage, sleepy("first"))
    stage.github.chaos.answer("delay", pattern=r"^POST .*/deployments$", times=1, seconds=SECONDS)
    sha = await stage.github.push(pipeline.repo, "master", page("second"))
    request = await _asked(stage, app, "builds", {"source_blob": {"version": "master"}})
    await until(lambda: not any(rule.times for rule in stage.github.chaos.rules), seconds=AFTER, what="a report")

    async def right(*, machine_died: bool = False) -> None:
        await _went_live(stage, pipeline, app, request, says=f"second commit={sha}", version=2)
        await stage.check_is(pipeline, sha, "success")
        stage.github.chaos.calm()

    return right


STEPS: dict[str, Step] = {
    step.__name__.replace("_", " "): step
    for step in (a_build, a_release_phase, a_boot, a_promotion, a_rollback, a_destroy, a_report)
}


async def _serving(stage: Stage, files: dict[str, str]) -> tuple[Pipeline, str]:
    pipeline = await stage.pipeline("fault", files=files)
    await deployed(stage, pipeline.staging)
    await stage.says(pipeline.staging, "first")
    return pipeline, pipeline.staging


async def changed(stage: Stage, app: str) -> str:
    """Let an app boot slowly from now on; returns the request that comes of it."""

    async def change() -> None:
        await stage.api("PATCH", f"/apps/{app}/config-vars", {"SHOW_NAP": "1"})

    return await _made(stage, app, change)


async def _asked(stage: Stage, app: str, what: str, body: dict[str, Any]) -> str:
    async def ask() -> None:
        await stage.api("POST", f"/apps/{app}/{what}", body)

    return await _made(stage, app, ask)


async def _made(stage: Stage, app: str, ask: Callable[[], Awaitable[None]]) -> str:
    """The request that an act queues for an app."""
    before = {each["id"] for each in await stage.api("GET", f"/apps/{app}/requests")}
    await ask()
    (made,) = [each["id"] for each in await stage.api("GET", f"/apps/{app}/requests") if each["id"] not in before]
    return str(made)


async def _step_is(stage: Stage, request: str, step: str) -> None:
    async def look() -> bool:
        sql = "SELECT 1 FROM requests WHERE id = ? AND state = 'running' AND step = ?"
        return bool(await stage.rows(sql, request, step))

    await until(look, seconds=AFTER, what=f"step {step}")


async def _written(stage: Stage, table: str, request: str, text: str) -> None:
    """The step has really begun: its command has printed something."""
    sql = f"""SELECT 1 FROM log_chunks c JOIN {table} t ON t.log_id = c.log_id
              WHERE t.request_id = ? AND c.text LIKE ?"""  # noqa: S608  (our own table names)

    async def look() -> bool:
        return bool(await stage.rows(sql, request, f"%{text}%"))

    await until(look, seconds=AFTER, what=f"{text!r} in the log")


async def _went_live(stage: Stage, pipeline: Pipeline, app: str, request: str, *, says: str, version: int) -> None:
    """The request succeeded, its release alone runs and answers, GitHub shows so, no number was used twice or lost."""
    done = await ended(stage, request)
    assert done["state"] == "succeeded", done
    await stage.says(app, says, seconds=AFTER)
    await stage.says(app, f"release=v{version}", seconds=AFTER)
    release = await current(stage, app)
    assert (release["version"], release["status"]) == (version, "succeeded")
    numbers = [each["version"] for each in await stage.api("GET", f"/apps/{app}/releases")]
    assert sorted(numbers) == list(range(1, version + 1))

    def known() -> bool:
        states = stage.deployments(pipeline, app)
        return states[-1:] == ["success"] and states.count("success") == 1

    try:
        await until(known, seconds=AFTER)
    except AssertionError:
        outbox = await stage.rows("SELECT * FROM reports WHERE key = ?", f"github_deployment:{release['id']}")
        shown = stage.deployments(pipeline, app)
        raise AssertionError(f"GitHub shows {shown}\n{outbox}\n{await stage.trail(app)}") from None
    await until(lambda: _one_process(stage, app), seconds=AFTER, what=f"{app} runs once")


async def _one_process(stage: Stage, app: str) -> bool:
    dynos = await stage.api("GET", f"/apps/{app}/dynos")
    return [(each["type"], each["state"]) for each in dynos] == [("web", "up")]
