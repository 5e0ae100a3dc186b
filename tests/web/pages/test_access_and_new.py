"""Whose a pipeline is and who may do what in it; and what is made by clicking."""

import html
import json
import re
from typing import Any

import pytest

from service.store import deliveries
from service.web.pages.new import SWITCHES
from tests.web.browsing import Browser, Page
from tests.web.pages.visiting import sign_in, somebody
from tests.web.serving import Server

pytestmark = pytest.mark.asyncio(loop_scope="module")


def text(page: Page) -> str:
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page.text)))


async def access(server: Server, browser: Browser, pipeline: str) -> Page:
    return await browser.get(f"{server.url}/dashboard/pipelines/{pipeline}/access")


def offered(page: Page) -> list[str]:
    """To whom the pipeline may be given."""
    return re.findall(r'<option value="\w+:[\w-]+">([^<]+)', page.text)


async def crew(server: Server, **roles: str) -> dict[str, str]:
    """A team of the administrator's with others; their tokens."""
    await server.call("POST", "/teams", {"name": "crew"}, expect=201)
    tokens = {}
    for name, role in roles.items():
        tokens[name] = await somebody(server, name)
        body = {"email": f"{name}@example.com", "role": role}
        await server.call("PUT", "/teams/crew/members", body, expect=200)
    return tokens


async def test_it_says_whose_it_is_and_who_may_do_what(server: Server, browser: Browser) -> None:
    made = await server.pipeline(staging="shop-staging", production="shop")
    await crew(server, ada="member", vic="viewer")
    await somebody(server, "gus")
    body = {"user": "gus@example.com", "permissions": ["view", "deploy"]}
    await server.call("POST", "/apps/shop/collaborators", body, expect=201)
    await sign_in(server, browser)
    page = await access(server, browser, made["id"])
    assert "The pipeline belongs to admin@localhost ." in text(page)
    assert "admin@localhost owner, owner of 2 apps in it everything" in text(page)
    assert "gus@example.com let in to 1 app in it view" in text(page)
    assert "gus@example.com: view, deploy" in text(page)
    assert offered(page) == ["the team crew"]
    page = await browser.send(page, "/transfer", to=re.findall(r'<option value="(\w+:[\w-]+)"', page.text)[0])
    assert "Transferred." in text(page)
    assert "The pipeline belongs to the team crew ." in text(page)
    assert "ada@example.com member of crew view, deploy, operate, manage" in text(page)
    assert "vic@example.com viewer of crew view" in text(page)
    assert offered(page) == ["ada@example.com", "admin@localhost"]  # a viewer cannot own what is a team's
    assert "gus@example.com: view, deploy" in text(page)
    assert "What people were granted on these apps ends if they come to one person" in text(page)
    page = await browser.send(page, "/transfer", to=re.findall(r'<option value="(user:[\w-]+)">admin@', page.text)[0])
    assert "The pipeline belongs to admin@localhost ." in text(page)
    assert "gus@example.com" not in text(page)
    assert "What people were granted" not in text(page)


async def test_an_app_of_others_is_marked(server: Server, browser: Browser) -> None:
    made = await server.pipeline(staging="shop-staging", production="shop")
    await crew(server)
    await server.call("POST", "/apps", {"name": "theirs", "team": "crew"}, expect=201)
    body = {"app": "theirs", "pipeline": made["id"], "stage": "development"}
    await server.call("POST", "/pipeline-couplings", body, expect=201)
    await sign_in(server, browser)
    page = text(await access(server, browser, made["id"]))
    assert "theirs Development the team crew not the pipeline's owner" in page
    assert page.count("not the pipeline's owner") == 1


async def test_whoever_may_not_transfer_it_is_told_so(server: Server, browser: Browser) -> None:
    made = await server.pipeline(staging="shop-staging")
    tokens = await crew(server, ada="member")
    owner = (await server.get("/teams/crew"))["id"]
    body = {"pipeline": {"id": made["id"]}, "new_owner": {"id": owner, "type": "team"}}
    await server.call("POST", "/pipeline-transfers", body, expect=201)
    await sign_in(server, browser)
    page = await browser.send(await access(server, browser, made["id"]), "/transfer", to="user:somebody")
    assert (page.status, "Choose whose it is to be from the list." in text(page)) == (422, True)
    taken_along = page
    await sign_in(server, browser, tokens["ada"])
    page = await access(server, browser, made["id"])
    assert offered(page) == []
    assert "There is nobody to whom you may give it" in text(page)
    csrf = dict(page.form("/sign-out")[1])["csrf"]
    page = await browser.send(taken_along, "/transfer", to=f"team:{owner}", csrf=csrf)
    assert (page.status, "It is not for you to give pipeline shop to anybody." in text(page)) == (403, True)


async def test_of_a_team_that_one_is_not_in_nobody_is_named(server: Server, browser: Browser) -> None:
    made = await server.pipeline(staging="shop-staging")
    tokens = await crew(server, ada="member")
    owner = (await server.get("/teams/crew"))["id"]
    body = {"pipeline": {"id": made["id"]}, "new_owner": {"id": owner, "type": "team"}}
    await server.call("POST", "/pipeline-transfers", body, expect=201)
    token = await somebody(server, "gus")
    grant = {"user": "gus@example.com", "permissions": ["view"]}
    await server.call("POST", "/apps/shop-staging/collaborators", grant, expect=201)
    await sign_in(server, browser, token)
    page = text(await access(server, browser, made["id"]))
    assert "And the members of the team crew, whom you do not see." in page
    assert "ada@example.com" not in page
    assert "gus@example.com let in to 1 app in it view" in page
    del tokens


async def made_by(browser: Browser, server: Server, what: str, drop: tuple[str, ...] = (), **fields: str) -> Page:
    page = await browser.get(f"{server.url}/dashboard/new/{what}")
    return await browser.send(page, f"/new/{what}", drop=drop, **fields)


def wrong(page: Page) -> dict[str, str]:
    found = re.findall(r'<p class="wrong" id="(\w+)-wrong">(.*?)</p>', page.text)
    return {name: html.unescape(said) for name, said in found}


async def test_an_app_is_made_with_its_name_or_a_made_up_one(server: Server, browser: Browser) -> None:
    await crew(server)
    await sign_in(server, browser)
    page = await made_by(browser, server, "app", name="first")
    assert page.url == f"{server.url}/dashboard/apps/first/deploy"
    assert "towpath pipelines:add PIPELINE -a first" in text(page)
    page = await made_by(browser, server, "app", owner=(await server.get("/teams/crew"))["id"])
    owners = {each["name"]: each["owner"]["email"] for each in await server.get("/apps")}
    assert owners.pop("first") == "admin@localhost"
    assert "crew" in owners.popitem()[1]
    for name, error in (("first", "already taken"), ("No", "Name must be 3 to 30 characters")):
        page = await made_by(browser, server, "app", name=name)
        assert page.status == 422
        assert error in wrong(page)["name"]
    assert len(await server.get("/apps")) == 2
    assert "App nothing" not in text(await browser.get(f"{server.url}/dashboard?made=nothing"))


async def everything(server: Server) -> dict[str, Any]:
    (pipeline,) = await server.get("/pipelines")
    couplings = await server.get(f"/pipelines/{pipeline['id']}/pipeline-couplings")
    settings = {
        each["name"]: each["value"] for each in (await server.get(f"/pipelines/{pipeline['id']}/settings"))["settings"]
    }
    builds = {each["app"]["name"]: await server.get(f"/apps/{each['app']['name']}/builds") for each in couplings}
    return {
        "stages": {each["app"]["name"]: each["stage"] for each in couplings},
        "builds": {name: [each["status"] for each in found] for name, found in builds.items()},
        "on": {name for name in SWITCHES if settings.get(name) is True},
        "days": settings["stale_days"],
    }


async def test_a_pipeline_is_made_with_all_of_it_as_on_the_command_line(server: Server, browser: Browser) -> None:
    await sign_in(server, browser)
    page = await made_by(browser, server, "pipeline", name="store", repository="acme/shop")
    assert re.fullmatch(rf"{server.url}/dashboard/pipelines/[\w-]+/arrivals", page.url)
    assert (page.title, "acme/shop is connected to the pipeline store" in text(page)) == (
        "Open a pull request now",
        True,
    )
    found = await everything(server)
    assert found["stages"] == {"store-staging": "staging", "store": "production"}
    assert found["builds"] == {"store-staging": ["pending"], "store": ["pending"]}
    assert found["on"] == {"review_apps", "automatic_review_apps", "destroy_stale"}
    assert found["days"] == 5
    staging, production = [await server.get(f"/apps/{app}/github") for app in ("store-staging", "store")]
    assert (staging["auto_deploy"], staging["wait_for_ci"], production["auto_deploy"]) == (True, True, False)


async def test_what_is_switched_off_is_not_made(server: Server, browser: Browser) -> None:
    await sign_in(server, browser)
    page = await made_by(browser, server, "pipeline", ("apps", "review_apps"), name="store", repository="acme/shop")
    assert page.title == "store"  # there is nothing to wait for
    found = await everything(server)
    assert (found["stages"], found["on"]) == ({}, set())


async def test_without_a_repository_there_are_apps_and_nothing_is_deployed(server: Server, browser: Browser) -> None:
    await sign_in(server, browser)
    page = await made_by(browser, server, "pipeline", name="store")
    assert "connected to no repository" in text(page)
    found = await everything(server)
    assert found["builds"] == {"store-staging": [], "store": []}
    assert found["on"] == set()


WRONG = {
    "a name that none can have": ({"name": "No"}, {"name": "Pipeline name must be 3 to 30"}),
    "a name that leaves no room for its apps": ({"name": "a" * 28}, {"name": f"An app could not be named {'a' * 28}-staging"}),
    "a name that an app has": ({"name": "taken"}, {"name": "There is an app taken already"}),
    "a repository that there is not": (
        {"name": "store", "repository": "acme/nothing"}, {"repository": "Couldn't access that repo: acme/nothing"},
    ),
    "what is no repository": ({"name": "store", "repository": "shop"}, {"repository": "'shop' is not of the form ORG/REPO"}),
    "a team that one is not in": ({"name": "store", "owner": "strangers"}, {"owner": "Couldn't find that team."}),
    "all of it": (
        {"name": "No", "owner": "x", "repository": "x"}, {"name": "Pipeline", "owner": "Couldn't", "repository": "'x' is"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG)
async def test_what_is_refused_is_said_at_its_field_and_nothing_is_made(
    server: Server, browser: Browser, case: tuple[dict[str, str], dict[str, str]]
) -> None:
    entered, errors = case
    await server.app("taken")
    await sign_in(server, browser)
    page = await made_by(browser, server, "pipeline", ("destroy_stale",), **entered)
    assert (page.status, set(wrong(page))) == (422, set(errors))
    for name, error in errors.items():
        assert wrong(page)[name].startswith(error)
    kept = dict(page.form("/new/pipeline")[1])
    assert (kept["name"], kept.get("repository", "")) == (entered["name"], entered.get("repository", ""))
    assert ("destroy_stale" in kept, "review_apps" in kept) == (False, True)
    assert await server.get("/pipelines") == []
    assert [each["name"] for each in await server.get("/apps")] == ["taken"]


async def test_what_is_refused_halfway_is_taken_back(
    server: Server, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when somebody takes the second app's name while the first one is being made."""
    from service.web.pages import new

    real, names = new.set_up, []

    async def outrun(context: Any, by: Any, wanted: Any, **of: Any) -> Any:
        names.append(wanted.name)
        if len(names) == 2:
            await server.app(wanted.name)
        return await real(context, by, wanted, **of)

    monkeypatch.setattr(new, "set_up", outrun)
    await sign_in(server, browser)
    page = await made_by(browser, server, "pipeline", name="store", repository="acme/shop")
    assert page.status == 422
    assert "Nothing was made." in wrong(page)["name"]
    assert await server.get("/pipelines") == []
    await server.work()
    states = {each["name"] for each in await server.get("/apps") if each["name"] != "store"}
    assert states <= {"store-staging"}  # its end is in the queue
    assert await server.get("/pipeline-couplings") == []


# What arrives


async def delivered(server: Server, guid: str, repository_id: int, verdict: str = "") -> None:
    await server.inbox.put(
        guid=guid, event="pull_request", action="opened", repository_id=repository_id, installation_id=None, body=b"{}",
        received_at=server.db.now(),
    )  # fmt: skip
    if verdict:
        now = server.db.now()
        await server.db.write(
            lambda conn: deliveries.finish(conn, guid=guid, state="processed", verdict=verdict, now=now)
        )


async def test_what_arrives_is_listed_as_it_does(server: Server, browser: Browser, pipeline: str) -> None:
    await server.call("POST", f"/pipelines/{pipeline}/review-app-config", {}, expect=201)
    await sign_in(server, browser)
    where = f"{server.url}/dashboard/pipelines/{pipeline}/arrivals"
    page = await browser.get(where)
    assert page.text.count('class="empty"') == 2
    assert "Review apps are not created by themselves" in page.text
    async with browser.session.get(f"{where}/events") as stream:
        assert await line(stream) == {"deliveries": [], "review_apps": []}
        await delivered(server, "elsewhere", 43)
        await delivered(server, "here", 42, "rang review_app")
        while not (told := await line(stream))["deliveries"] or told["deliveries"][0]["state"] != "processed":
            pass
        (one,) = told["deliveries"]
        assert (one["event"], one["action"], one["repository"]) == ("pull_request", "opened", "acme/shop")
        await server.call("POST", "/review-apps", {"pipeline": pipeline, "pr_number": 7}, expect=201)
        assert [each["pr_number"] for each in (await line(stream))["review_apps"]] == [7]
    assert "rang review_app" in text(await browser.get(where))


async def line(stream: Any) -> Any:
    """What an open page is told next."""
    while not (said := await stream.content.readline()).startswith(b"data: "):
        assert said, "the stream has ended"
    return json.loads(said[6:])


async def test_verdicts_are_told_to_administrators_alone(server: Server, browser: Browser, pipeline: str) -> None:
    token = await somebody(server, "ada")
    body = {"user": "ada@example.com", "permissions": ["view"]}
    await server.call("POST", "/apps/shop-staging/collaborators", body, expect=201)
    await delivered(server, "here", 42, "rang auto_deploy of somebody-elses-app")
    await sign_in(server, browser, token)
    page = text(await browser.get(f"{server.url}/dashboard/pipelines/{pipeline}/arrivals"))
    assert ("pull_request.opened processed" in page, "somebody-elses-app" in page) == (True, False)


async def test_where_no_repository_is_connected_nothing_is_waited_for(server: Server, browser: Browser) -> None:
    made = await server.pipeline("empty", connected=False)
    await sign_in(server, browser)
    page = await browser.get(f"{server.url}/dashboard/pipelines/{made['id']}/arrivals")
    assert page.url == f"{server.url}/dashboard/pipelines/{made['id']}"
