"""The one comment on a pull request, from its first app to its last."""

import pytest

from tests.waiting import until
from tests.walk.samples import page
from tests.walk.stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def comment_says(stage: Stage, repo, number: int, *words: str) -> int:
    """Wait until the pull request has one comment with these words in it; its number."""

    def look() -> int | None:
        found = [each for each in stage.github.repository(repo).comments.values() if each.number == number]
        assert len(found) <= 1, "one comment at most"
        return found[0].id if found and all(word in found[0].body for word in words) else None

    return await until(look, what=f"a comment that says {words}")


async def test_one_comment_follows_a_pull_request_through_its_life_in_two_pipelines(stage: Stage) -> None:
    shop = await stage.pipeline("shop")
    docs = await stage.pipeline("docs")
    await stage.api("POST", f"/pipelines/{docs.id}/repository", {"repository": shop.repo.full_name})
    await stage.github.push(shop.repo, "topic", page("hello"))
    pull = await stage.github.open_pull(shop.repo, "topic")
    apps = [(await stage.review_is(each, pull.number, "live"))["app"]["name"] for each in (shop, docs)]
    first = await comment_says(
        stage, shop.repo, pull.number, *(f"[{app}](http" for app in apps), "live", pull.head_sha[:7]
    )

    stage.github.delete_comment(shop.repo, first)
    sha = await stage.github.push(shop.repo, "topic", page("second thought"))
    second = await comment_says(stage, shop.repo, pull.number, "live", sha[:7])
    assert second != first

    await stage.api("PATCH", f"/pipelines/{docs.id}/review-app-config", {"comment": False})
    await until(lambda: docs.name not in stage.github.repository(shop.repo).comments[second].body)
    stage.github.close_pull(shop.repo, pull.number)
    assert await comment_says(stage, shop.repo, pull.number, "destroyed", "closed") == second


async def test_without_an_app_or_with_comments_off_nothing_is_said(stage: Stage) -> None:
    manual = await stage.pipeline("manual", automatic=False)
    silent = await stage.pipeline("silent", review={"comment": False})
    for pipeline, state in ((manual, "waiting"), (silent, "live")):
        await stage.github.push(pipeline.repo, "topic", page("hello"))
        pull = await stage.github.open_pull(pipeline.repo, "topic")
        await stage.review_is(pipeline, pull.number, state)
        await stage.check_is(pipeline, pull.head_sha, "success" if state == "live" else "neutral")
        assert not stage.github.repository(pipeline.repo).comments

    await stage.api("PATCH", f"/pipelines/{silent.id}/review-app-config", {"comment": True})
    await comment_says(stage, silent.repo, pull.number, "live")
