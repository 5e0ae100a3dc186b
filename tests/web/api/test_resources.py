"""Resources that Heroku's clients ask for: what there is, and an honest word about what there is not."""

from typing import Any

import pytest

from service.settings import Settings
from service.web.api.archives import Archive, read
from tests.web.serving import HEADS, Server


@pytest.fixture
async def furnished(server: Server) -> Server:
    await server.pipeline(staging="example-staging", production="example")
    return server


async def deployed(server: Server, app: str, **source: Any) -> Any:
    build, _ = await server.call("POST", f"/apps/{app}/builds", {"source_blob": source}, expect=201)
    await server.work()
    return build


LISTS = [
    "/apps/example/addon-attachments", "/apps/example/addons", "/apps/example/buildpack-installations", "/apps/example/features",
    "/apps/example/log-drains", "/apps/example/sni-endpoints", "/pipelines/shop/test-runs", "/pipelines/shop/latest-builds",
    "/pipelines/shop/latest-releases", "/pipelines/shop/latest-deployments",
]  # fmt: skip


@pytest.mark.parametrize("path", LISTS)
async def test_what_there_is_none_of_is_an_empty_list(furnished: Server, path: str) -> None:
    assert await furnished.get(path) == []
    missing = path.replace("example", "nobody").replace("shop", "nobody")
    await furnished.call("GET", missing, expect=404)


REFUSED = [
    ("a certificate", "POST", "/apps/example/acm", None, "proxy"),
    ("a certificate's renewal", "PATCH", "/apps/example/acm", None, "proxy"),
    ("no certificate", "DELETE", "/apps/example/acm", None, "proxy"),
    ("buildpacks", "PUT", "/apps/example/buildpack-installations", {"updates": []}, "updates: buildpacks are named in the repository"),
    ("a slug", "POST", "/apps/example/slugs", {"process_types": {}}, "builds only"),
    ("no cache", "DELETE", "/apps/example/build-cache", None, "rebuild"),
    ("a domain", "POST", "/apps/example/domains", {"hostname": "www.example.com"}, "hostname: app example is served as example.localhost only"),
    ("no domain", "DELETE", "/apps/example/domains/example.localhost", None, "it goes with the app"),
    ("a test run", "POST", "/test-runs", {"pipeline": "shop", "commit_sha": "a" * 40}, "not available yet"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "body", "named"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
async def test_what_cannot_be_had_is_refused_with_what_to_do(
    furnished: Server, method: str, path: str, body: Any, named: str
) -> None:
    error, _ = await furnished.call(method, path, body, expect=422)
    assert error["id"] == "invalid_params"
    assert named in error["message"]
    if "example" in path:
        await furnished.call(method, path.replace("example", "nobody", 1), body, expect=404)


MISSING = [
    "/test-runs/x", "/test-runs/x/test-nodes", "/test-runs/x/test-cases", "/pipelines/shop/test-runs/1", "/regions/mars",
    "/stacks/heroku-9", "/account/features/x", "/apps/example/features/x", "/apps/example/domains/other", "/apps/example/dynos/web.9",
    "/app-setups/x",
]  # fmt: skip


@pytest.mark.parametrize("path", MISSING)
async def test_one_that_is_not_there_is_404(furnished: Server, path: str) -> None:
    error, _ = await furnished.call("GET", path, expect=404)
    assert error["id"] == "not_found"


async def test_an_app_has_the_domain_that_it_is_served_as(furnished: Server) -> None:
    (domain,) = await furnished.get("/apps/example/domains")
    assert (domain["hostname"], domain["kind"]) == ("example.localhost", "heroku")
    for identity in (domain["id"], domain["hostname"]):
        assert await furnished.get(f"/apps/example/domains/{identity}") == domain


async def test_regions_are_the_spaces_and_are_found_by_name_and_id(server: Server) -> None:
    await server.call("POST", "/spaces", {"name": "private", "driver": "process"}, expect=201)
    listed = await server.get("/regions")
    assert [it["name"] for it in listed] == ["common", "private"]
    for identity in (listed[1]["id"], "private"):
        assert await server.get(f"/regions/{identity}") == listed[1]
    app, _ = await server.call("POST", "/apps", {"space": "private"}, expect=201)
    assert app["region"] == {"id": listed[1]["id"], "name": "private"}


async def test_the_stack_is_the_one_that_was_built_on(furnished: Server) -> None:
    (before,) = await furnished.get("/stacks")
    assert (before["name"], before["default"]) == ("host", True)
    await deployed(furnished, "example")
    (stack,) = await furnished.get("/stacks")
    assert stack["name"] == "host-debian"
    assert await furnished.get(f"/stacks/{stack['id']}") == stack == await furnished.get("/stacks/host-debian")
    named = {"id": stack["id"], "name": "host-debian"}
    assert await furnished.get("/pipelines/shop/pipeline-stack") == {"stack": named}
    assert (await furnished.get("/apps/example"))["stack"] == named


async def test_features_of_the_account_are_listed_with_the_one_that_clients_look_for(server: Server) -> None:
    (feature,) = await server.get("/account/features")
    assert (feature["name"], feature["enabled"]) == ("dashboard-repositories-api", True)
    assert await server.get("/account/features/dashboard-repositories-api") == feature


async def test_the_latest_of_a_pipeline_are_the_newest_of_each_app(furnished: Server) -> None:
    for app in ("example-staging", "example"):
        await deployed(furnished, app, version="main")
    newest = await deployed(furnished, "example", version="fix/cart")
    await furnished.call("PATCH", "/apps/example/config-vars", {"A": "1"}, expect=200)
    await furnished.work()
    builds = {it["app"]["id"]: it for it in await furnished.get("/pipelines/shop/latest-builds")}
    app = await furnished.get("/apps/example")
    assert (len(builds), builds[app["id"]]["id"]) == (2, newest["id"])

    def versions(listed: Any) -> dict[str, int]:
        return {it["app"]["name"]: it["version"] for it in listed}

    assert versions(await furnished.get("/pipelines/shop/latest-releases")) == {"example-staging": 1, "example": 3}
    assert versions(await furnished.get("/pipelines/shop/latest-deployments")) == {"example-staging": 1, "example": 2}


async def test_dynos_and_formations_are_found_by_name_and_id_and_stopped_ones_start_again(furnished: Server) -> None:
    await deployed(furnished, "example")
    (dyno,) = await furnished.get("/apps/example/dynos")
    for identity in ("web.1", dyno["id"]):
        assert await furnished.get(f"/apps/example/dynos/{identity}") == dyno
    formation = await furnished.get("/apps/example/formation/worker")
    assert await furnished.get(f"/apps/example/formation/{formation['id']}") == formation
    restarts = [
        ("POST", "/apps/example/dynos/web.1/actions/stop", "restart"),  # the only one, for which no other stands in
        ("POST", "/apps/example/formations/web/actions/stop", "restart"),
        ("DELETE", "/apps/example/formations/worker", "restart of worker"),
        ("DELETE", f"/apps/example/dynos/{dyno['id']}", "restart"),
        ("DELETE", "/apps/example/dynos", "restart"),
    ]
    for method, path, reason in restarts:
        _, response = await furnished.call(method, path, expect=202)
        request = await furnished.get(f"/requests/{response.headers['Towpath-Request']}")
        assert (request["kind"], request["state"], request["reason"]) == ("Restart", "queued", reason)
    await furnished.call("POST", "/apps/example/dynos/web.9/actions/stop", expect=404)
    await furnished.call("POST", "/apps/example/formations/clock/actions/stop", expect=404)


@pytest.mark.parametrize(
    ("asked", "quantity"),
    [(3, 3), ("3", 3), ("+1", 3), ("-2", 0), ("+0", 2)],
    ids=["a number", "a text", "more", "fewer", "none more"],
)
async def test_a_formation_is_scaled_to_a_quantity_or_by_one(furnished: Server, asked: Any, quantity: int) -> None:
    await deployed(furnished, "example")
    await furnished.call("PATCH", "/apps/example/formation/web", {"quantity": 2}, expect=200)
    await furnished.work()
    body = {"updates": [{"type": "web", "quantity": asked}]}
    (shown,), _ = await furnished.call("PATCH", "/apps/example/formation", body, expect=200)
    assert shown["quantity"] == quantity
    await furnished.work()
    assert (await furnished.get("/apps/example/formation/web"))["quantity"] == quantity


async def test_no_formation_is_scaled_to_less_than_nothing(furnished: Server) -> None:
    await deployed(furnished, "example")
    error, _ = await furnished.call("PATCH", "/apps/example/formation/web", {"quantity": "-2"}, expect=422)
    assert error["message"] == "The quantity of web must be between 0 and 100."


ARCHIVES = [
    ("https://github.com/acme/shop/archive/main.tar.gz", ("acme/shop", "main")),
    ("https://github.com/acme/shop/archive/refs/heads/fix/cart.tar.gz", ("acme/shop", "fix/cart")),
    ("https://github.com/acme/shop/archive/refs/tags/v1.0.tar.gz?token=x", ("acme/shop", "v1.0")),
    ("https://api.github.com/repos/acme/shop/tarball/main", ("acme/shop", "main")),
    ("https://codeload.github.com/acme/shop/legacy.tar.gz/refs/heads/main", ("acme/shop", "main")),
    ("https://codeload.github.com/acme/shop/tar.gz/fix%2Fcart", ("acme/shop", "fix/cart")),
    ("https://github.com.evil.example/acme/shop/archive/main.tar.gz", None),
    ("https://github.com@evil.example/acme/shop/archive/main.tar.gz", None),
    ("http://github.com/acme/shop/archive/main.tar.gz", None),
    ("http://169.254.169.254/acme/shop/archive/main.tar.gz", None),
    ("https://github.com/acme/shop", None),
    (f"https://github.com/acme/shop/archive/{'a' * 256}.tar.gz", None),
    ("file:///etc/passwd", None),
    ("", None),
]  # fmt: skip


@pytest.mark.parametrize(("url", "meant"), ARCHIVES, ids=[row[0][:70] or "nothing" for row in ARCHIVES])
def test_the_address_of_an_archive_means_a_commit_of_a_repository(tmp_path: Any, url: str, meant: Any) -> None:
    assert read(url, Settings(data=tmp_path)) == (meant and Archive(*meant))


async def test_an_archive_of_the_connected_repository_is_built_as_its_commit(furnished: Server) -> None:
    url = "https://github.com/Acme/Shop/archive/refs/heads/fix/cart.tar.gz"
    build = await deployed(furnished, "example", url=url, version="v42")
    assert build["source_blob"]["version"] == HEADS["fix/cart"]


async def test_an_app_is_made_coupled_configured_and_deployed_by_one_call(furnished: Server) -> None:
    body = {
        "app": {"name": "example-two", "personal": True},
        "pipeline_coupling": {"pipeline": "shop", "stage": "staging"},
        "source_blob": {"url": "https://api.github.com/repos/acme/shop/tarball/main"},
        "overrides": {"env": {"A": "1"}},
    }
    setup, _ = await furnished.call("POST", "/app-setups", body, expect=202)
    assert (setup["status"], setup["app"]["name"], setup["build"]["status"]) == ("pending", "example-two", "pending")
    await furnished.work()
    done = await furnished.get(f"/app-setups/{setup['id']}")
    assert (done["status"], done["build"]["status"], done["failure_message"]) == ("succeeded", "succeeded", None)
    assert (await furnished.get("/apps/example-two/pipeline-couplings"))["stage"] == "staging"
    assert await furnished.get("/apps/example-two/config-vars") == {"A": "1"}
    assert (await furnished.get(f"/apps/example-two/builds/{done['build']['id']}"))["source_blob"]["version"] == HEADS[
        "main"
    ]


async def test_a_setup_whose_build_fails_says_why(furnished: Server) -> None:
    body = {"app": {"name": "broken"}, "pipeline_coupling": {"pipeline": "shop", "stage": "staging"}, "source_blob": {}}
    setup, _ = await furnished.call("POST", "/app-setups", body, expect=202)
    await furnished.work(fail="build")
    done = await furnished.get(f"/app-setups/{setup['id']}")
    assert (done["status"], done["failure_message"]) == ("failed", "no Procfile")


async def test_no_app_is_set_up_in_a_pipeline_that_is_locked(furnished: Server) -> None:
    await furnished.call("POST", "/pipelines/shop/deploy-locks", {"reason": "audit"}, expect=201)
    body = {"app": {"name": "late"}, "pipeline_coupling": {"pipeline": "shop", "stage": "staging"}, "source_blob": {}}
    error, _ = await furnished.call("POST", "/app-setups", body, expect=422)
    assert "audit" in error["message"]
    await furnished.call("GET", "/apps/late", expect=404)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"pipeline_coupling": None}, "pipeline_coupling: is required"),
        ({"pipeline_coupling": {"pipeline": "empty", "stage": "staging"}}, "towpath pipelines:connect empty"),
        ({"source_blob": {"version": "nowhere"}}, "Couldn't find nowhere"),
        ({"source_blob": {"url": "https://evil.example/x.tgz"}}, "source_blob.url"),
        ({"overrides": {"buildpacks": [{"url": "heroku/python"}]}}, "overrides.buildpacks"),
        ({"overrides": {"env": {"A-B": "1"}}}, "A-B"),
        ({"app": {"name": "example"}}, "Name example is already taken"),
    ],
    ids=["no pipeline", "no repository", "no such branch", "another host", "buildpacks", "a bad name", "a taken name"],
)
async def test_a_setup_that_cannot_be_leaves_no_app(furnished: Server, change: Any, named: str) -> None:
    await furnished.pipeline("empty", connected=False)
    body = {
        "app": {"name": "new-one"},
        "pipeline_coupling": {"pipeline": "shop", "stage": "staging"},
        "source_blob": {},
    }
    error, _ = await furnished.call("POST", "/app-setups", body | change, expect=422)
    assert named in error["message"]
    assert [app["name"] for app in await furnished.get("/apps")] == ["example", "example-staging"]
