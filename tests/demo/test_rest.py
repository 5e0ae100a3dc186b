"""What the simulated GitHub's REST answers; that it is in GitHub's form is checked by the fixture."""

import base64

import aiohttp
import pytest

from tests.github_contract.fixtures import GitHub


@pytest.fixture
async def shop(github: GitHub):
    return await github.create_repo("acme/shop", files={"Procfile": "web: ./serve\n", "app/a.txt": "1\n"})


async def test_an_unchanged_answer_costs_nothing_the_second_time(github: GitHub, shop) -> None:
    token = github.installation_token(shop)
    first = await github.ask("GET", "/repos/acme/shop", token=token)
    again = await github.ask("GET", "/repos/acme/shop", token=token, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status, again.body) == (304, "")
    assert again.headers["x-ratelimit-remaining"] == first.headers["x-ratelimit-remaining"]
    github.set_default_branch(shop, "other")
    changed = await github.ask("GET", "/repos/acme/shop", token=token, headers={"If-None-Match": first.headers["etag"]})
    assert changed.status == 200


async def test_lists_come_in_pages_that_follow_the_repository_id(github: GitHub, shop) -> None:
    token = github.installation_token(shop)
    for number in range(5):
        await github.push(shop, f"topic/{number}", {"n": str(number)})
        await github.open_pull(shop, f"topic/{number}")
    path, seen = "/repos/acme/shop/pulls?per_page=2&state=all", []
    while path:
        reply = await github.ask("GET", path, token=token)
        seen += [pull["number"] for pull in reply.body]
        links = dict(reversed(part.split("; ")) for part in reply.headers.get("link", "").split(", ") if part)
        path = links.get('rel="next"', "").strip("<>").removeprefix(github.api_url)
        assert not path or path.startswith(f"/repositories/{shop.id}/pulls")
    assert seen == [5, 4, 3, 2, 1]


async def test_a_renamed_repository_redirects_to_its_id(github: GitHub, shop) -> None:
    token, sha = github.installation_token(shop), await github.head(shop)
    github.rename_repo(shop, "store")
    moved = await github.ask("GET", "/repos/acme/shop", token=token)
    assert (moved.status, moved.headers["location"]) == (301, f"{github.api_url}/repositories/{shop.id}")
    path = f"/repos/acme/shop/statuses/{sha}"
    assert (await github.ask("POST", path, token=token, json={"state": "success"})).status == 307
    assert (await github.ask("GET", f"/repositories/{shop.id}", token=token)).body["name"] == "store"


async def test_a_page_holds_a_hundred_at_most_and_names_the_last_one(github: GitHub, shop) -> None:
    token, sha = github.installation_token(shop), await github.head(shop)
    for _ in range(101):
        await github.set_status(shop, sha, "success")
    first = await github.ask("GET", f"/repos/acme/shop/commits/{sha}/statuses?per_page=500", token=token)
    assert len(first.body) == 100
    assert f'page=2>; rel="next", <{github.url}' in first.headers["link"]
    assert 'rel="last"' in first.headers["link"]


async def test_a_repository_of_another_owner_redirects_and_opens_to_the_new_owners_installation(
    github: GitHub, shop
) -> None:
    former, sha = github.installation_token(shop), await github.head(shop)
    theirs, seen = github.install("globex"), []
    github.sender.watchers.append(lambda event, payload: seen.append((event, payload)))
    github.transfer_repo(shop, "globex")
    ((event, payload),) = seen
    assert (event, payload["action"], payload["installation"]["id"]) == ("repository", "transferred", theirs.id)
    assert payload["changes"]["owner"]["from"]["organization"]["login"] == "acme"
    token = github.installation_token(shop)
    moved = await github.ask("GET", "/repos/acme/shop", token=token)
    assert (moved.status, moved.headers["location"]) == (301, f"{github.api_url}/repositories/{shop.id}")
    body = {"state": "success"}
    for key, status in ((former, 403), (token, 201)):
        made = await github.ask("POST", f"/repositories/{shop.id}/statuses/{sha}", token=key, json=body)
        assert made.status == status
    found = await github.ask("GET", f"/repositories/{shop.id}/installation", token=github.app_jwt())
    assert found.body["id"] == theirs.id


async def test_nobody_hears_of_a_repository_that_goes_where_the_app_is_not_on_all(github: GitHub, shop) -> None:
    other = await github.create_repo("globex/other")
    seen: list[str] = []
    github.sender.watchers.append(lambda event, _: seen.append(event))
    github.transfer_repo(shop, "globex")
    assert seen == []
    assert github.installation_of(shop) is None
    path = f"/app/installations/{github.installation_of(other).id}/access_tokens"
    refused = await github.ask("POST", path, token=github.app_jwt(), json={"repository_ids": [shop.id]})
    assert refused.status == 422


async def test_a_renamed_branch_takes_those_into_it_along_and_closes_those_from_it(github: GitHub, shop) -> None:
    await github.push(shop, "topic", {"b": "1"})
    into = await github.open_pull(shop, "topic")
    await github.push(shop, "other", {"c": "1"})
    above = await github.open_pull(shop, "topic", base="other")
    github.protect(shop, "master", ["test"])
    before = await github.head(shop)
    await github.rename_branch(shop, "master", "main")
    await github.rename_branch(shop, "topic", "subject")
    assert (shop.default_branch, await github.head(shop)) == ("main", before)
    assert (into.base_ref, above.base_ref) == ("main", "other")
    assert {into.state, above.state} == {"closed"}
    assert "main" in shop.protection
    token = github.installation_token(shop)
    assert (await github.ask("GET", "/repos/acme/shop/git/ref/heads/master", token=token)).status == 404


async def test_a_comment_is_refused_for_more_than_65536_characters(github: GitHub, shop) -> None:
    await github.push(shop, "topic", {"b": "1"})
    path = f"/repos/acme/shop/issues/{(await github.open_pull(shop, 'topic')).number}/comments"
    token = github.installation_token(shop)
    made = [await github.ask("POST", path, token=token, json={"body": "x" * size}) for size in (65536, 65537)]
    assert [reply.status for reply in made] == [201, 422]


async def test_an_archived_repository_takes_no_writes(github: GitHub, shop) -> None:
    token, sha = github.installation_token(shop), await github.head(shop)
    github.set_archived(shop)
    path = f"/repos/acme/shop/statuses/{sha}"
    assert (await github.ask("POST", path, token=token, json={"state": "success"})).status == 403


async def test_git_objects_are_readable_by_name_and_sha(github: GitHub, shop) -> None:
    token = github.installation_token(shop)
    sha = await github.push(shop, "feature/x", {"app/a.txt": "2\n", "Procfile": None})

    async def get(path: str):
        reply = await github.ask("GET", f"/repos/acme/shop{path}", token=token)
        assert reply.status == 200, reply
        return reply.body

    assert {branch["name"] for branch in await get("/branches")} == {"master", "feature/x"}
    assert (await get("/branches/feature/x"))["commit"]["sha"] == sha
    assert (await get("/git/ref/heads/feature/x"))["object"]["sha"] == sha
    commit = await get("/commits/feature/x")
    assert {file["filename"]: file["status"] for file in commit["files"]} == {
        "app/a.txt": "modified", "Procfile": "removed",
    }  # fmt: skip
    plain = await get(f"/git/commits/{sha}")
    tree = await get(f"/git/trees/{sha}?recursive=1")
    assert tree["sha"] == plain["tree"]["sha"]
    assert [entry["path"] for entry in tree["tree"]] == ["app", "app/a.txt"]
    file = await get("/contents/app/a.txt?ref=feature/x")
    assert base64.b64decode(file["content"]) == b"2\n"
    assert [entry["name"] for entry in await get("/contents/?ref=master")] == ["Procfile", "app"]
    compared = await get("/compare/master...feature/x")
    assert (compared["status"], compared["ahead_by"], compared["behind_by"]) == ("ahead", 1, 0)
    missing = await github.ask("GET", "/repos/acme/shop/contents/none?ref=master", token=token)
    assert missing.status == 404
    assert (await github.ask("GET", "/repos/acme/shop/commits/none", token=token)).status == 422
    assert (await github.ask("GET", "/repos/acme/shop/commits/--output=x", token=token)).status == 422


async def test_a_tarball_is_a_redirect_to_the_archive(github: GitHub, shop) -> None:
    reply = await github.ask("GET", "/repos/acme/shop/tarball/master", token=github.installation_token(shop))
    assert reply.status == 302
    async with aiohttp.ClientSession() as session, session.get(reply.headers["location"]) as answer:
        assert (await answer.read())[:2] == b"\x1f\x8b"


async def test_required_checks_are_told_for_protection_and_for_rules(github: GitHub, shop) -> None:
    github.app.permissions["administration"] = "read"
    token = github.installation_token(shop, {"metadata": "read", "contents": "read", "administration": "read"})
    github.protect(shop, "master", ["test"], app="ci")
    github.protect(shop, "master", ["lint"], rules=True)
    checks = await github.ask("GET", "/repos/acme/shop/branches/master/protection/required_status_checks", token=token)
    rules = await github.ask("GET", "/repos/acme/shop/rules/branches/master", token=token)
    branch = await github.ask("GET", "/repos/acme/shop/branches/master", token=token)
    assert checks.body["checks"] == [{"context": "test", "app_id": github.other_app("ci").id}]
    assert rules.body[0]["parameters"]["required_status_checks"] == [{"context": "lint"}]
    assert branch.body["protected"]


async def test_a_pull_request_tells_its_files_and_whether_it_merges(github: GitHub, shop) -> None:
    token = github.installation_token(shop)
    await github.push(shop, "topic", {"app/a.txt": "2\n"})
    pull = await github.open_pull(shop, "topic", title="Two")
    path = f"/repos/acme/shop/pulls/{pull.number}"
    assert (await github.ask("GET", path, token=token)).body["mergeable"] is True
    files = await github.ask("GET", f"{path}/files", token=token)
    assert [(file["filename"], file["additions"]) for file in files.body] == [("app/a.txt", 1)]
    await github.push(shop, "master", {"app/a.txt": "3\n"})
    assert (await github.ask("GET", path, token=token)).body["mergeable"] is False
    one = await github.ask("GET", "/repos/acme/shop/pulls?head=acme:topic&base=master", token=token)
    assert [found["number"] for found in one.body] == [pull.number]


async def test_a_comment_is_written_edited_and_removed_by_the_app_s_bot(github: GitHub, shop) -> None:
    token = github.installation_token(shop)
    await github.push(shop, "topic", {"app/a.txt": "2\n"})
    number = (await github.open_pull(shop, "topic")).number
    path = f"/repos/acme/shop/issues/{number}/comments"
    made = await github.ask("POST", path, token=token, json={"body": "Hello"})
    one = f"/repos/acme/shop/issues/comments/{made.body['id']}"
    assert made.body["performed_via_github_app"]["id"] == github.app_id
    await github.ask("PATCH", one, token=token, json={"body": "Good bye"})
    assert [comment["body"] for comment in github.reported(shop)["comments"]] == ["Good bye"]
    assert (await github.ask("GET", path, token=token)).body[0]["body"] == "Good bye"
    reactions = [await github.ask("POST", f"{one}/reactions", token=token, json={"content": "eyes"}) for _ in "12"]
    assert [reaction.status for reaction in reactions] == [201, 200]
    assert (await github.ask("DELETE", one, token=token)).status == 204
    assert (await github.ask("GET", one, token=token)).status == 404


async def test_what_needs_no_repository_is_answered_too(github: GitHub, shop) -> None:
    github.memberships["acme"]["ann"] = "admin"
    token = github.personal_token("ann")
    assert (await github.ask("GET", "/meta")).status == 200
    assert (await github.ask("GET", "/rate_limit", token=token)).body["rate"]["limit"] == 5000
    assert (await github.ask("GET", "/users/acme", token=token)).body["type"] == "Organization"
    assert (await github.ask("GET", "/orgs/acme/memberships/ann", token=token)).body["role"] == "admin"
    assert [org["login"] for org in (await github.ask("GET", "/user/orgs", token=token)).body] == ["acme"]


async def test_the_root_without_a_prefix_answers_as_well(github: GitHub) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{github.url}/meta") as answer:
        assert answer.status == 200
