"""What people do in walks through the API, each to its end."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.waiting import until
from tests.walk.stage import STEP_SECONDS, Stage
from tests.web.git.pushing import Clone

FINAL = ("succeeded", "failed", "superseded", "cancelled")


async def ended(stage: Stage, request_id: str) -> Any:
    """Wait until a request is over; returns it with its build and release."""

    async def look() -> Any:
        found = await stage.api("GET", f"/requests/{request_id}")
        return found if found["state"] in FINAL else None

    return await until(look, seconds=STEP_SECONDS, what=f"the end of request {request_id}")


async def deployed(stage: Stage, app: str, version: str = "master", *, state: str = "succeeded") -> Any:
    """Deploy a branch or commit by hand."""
    build = await stage.api("POST", f"/apps/{app}/builds", {"source_blob": {"version": version}})
    done = await ended(stage, build["id"])
    assert done["state"] == state, done
    return done


async def configured(stage: Stage, app: str, *, state: str = "succeeded", **variables: str | None) -> Any:
    """Set and unset config vars and wait for the release that comes of it."""
    before = {each["id"] for each in await stage.api("GET", f"/apps/{app}/requests")}
    await stage.api("PATCH", f"/apps/{app}/config-vars", variables)
    (made,) = [each["id"] for each in await stage.api("GET", f"/apps/{app}/requests") if each["id"] not in before]
    done = await ended(stage, made)
    assert done["state"] == state, done
    return done


async def promoted(
    stage: Stage,
    pipeline_id: str,
    source: str,
    *,
    to: Sequence[str] | None = None,
    release: str | None = None,
    all_or_nothing: bool = False,
    meanwhile: Callable[[], Awaitable[object]] | None = None,
) -> tuple[Any, dict[str, Any]]:
    """Promote and wait until every target is final; returns the promotion and its targets by app name."""
    body: dict[str, Any] = {"pipeline": {"id": pipeline_id}, "source": {"app": {"id": await app_id(stage, source)}}}
    body |= {"all_or_nothing": True} if all_or_nothing else {}
    if release is not None:
        body["source"]["release"] = {"id": release}
    if to is not None:
        body["targets"] = [{"app": {"id": await app_id(stage, each)}} for each in to]
    made = await stage.api("POST", "/pipeline-promotions", body)
    if meanwhile is not None:
        await meanwhile()

    async def look() -> Any:
        found = await stage.api("GET", f"/pipeline-promotions/{made['id']}")
        return found if found["status"] == "completed" else None

    done = await until(look, seconds=STEP_SECONDS, what="the end of the promotion")
    targets = await stage.api("GET", f"/pipeline-promotions/{made['id']}/promotion-targets")
    return done, {each["app"]["name"]: each for each in targets}


async def app_id(stage: Stage, name: str) -> str:
    """The id of an app."""
    return str((await stage.api("GET", f"/apps/{name}"))["id"])


async def current(stage: Stage, app: str) -> Any:
    """The release that an app runs."""
    return await stage.api("GET", f"/apps/{app}/releases/current")


async def output(stage: Stage, release_id: str) -> str:
    """What the commands of a release printed."""
    headers = {"Authorization": f"Bearer {stage.token}"}
    url = f"http://127.0.0.1:{stage.port}/releases/{release_id}/output"
    async with stage.http.get(url, headers=headers) as answer:
        return await answer.text()


async def coupled(stage: Stage, pipeline_id: str, name: str, at: str) -> str:
    """Make an app in a stage of a pipeline; returns its name."""
    await stage.api("POST", "/apps", {"name": name})
    await stage.api("POST", "/pipeline-couplings", {"app": name, "pipeline": pipeline_id, "stage": at})
    return name


async def pushable(stage: Stage, at: Path, files: Mapping[str, str]) -> tuple[str, Clone]:
    """An app in no pipeline, with a clone to push from."""
    app = stage.name("pushed")
    made = await stage.api("POST", "/apps", {"name": app})
    url = made["git_url"].replace("//localhost", f"//x:{stage.token}@127.0.0.1")
    return app, await Clone.new(at / app, url, files)
