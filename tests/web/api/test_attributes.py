"""Every answer has each attribute of version 3 of the API, of a type that its clients expect."""

import uuid
from datetime import datetime
from typing import Any

from tests.web.api.test_review_apps import live_review
from tests.web.serving import Server

ATTRIBUTES = {
    "pipeline": "created_at:time generation.id:uuid generation.name:text id:uuid name:text owner.id:uuid owner.type:text updated_at:time",
    "pipeline-coupling": "app.id:uuid created_at:time id:uuid pipeline.id:uuid stage:text updated_at:time",
    "pipeline-promotion": "created_at:time id:uuid pipeline.id:uuid source.app.id:uuid source.release.id:uuid status:text updated_at:time",
    "pipeline-promotion-target": "app.id:uuid error_message:text? id:uuid pipeline_promotion.id:uuid release.id:uuid status:text",
    "app": (
        "acm:bool archived_at:time? buildpack_provided_description:text? build_stack.id:uuid build_stack.name:text created_at:time "
        "generation.id:uuid generation.name:text git_url:text id:uuid internal_routing:bool? maintenance:bool name:text "
        "owner.email:text owner.id:uuid organization:object? team:object? region.id:uuid region.name:text released_at:time? "
        "repo_size:number? slug_size:number? space:object? stack.id:uuid stack.name:text updated_at:time web_url:text"
    ),
    "build": (
        "app.id:uuid buildpacks:list? created_at:time generation:text id:uuid output_stream_url:text source_blob.checksum:text? source_blob.url:text "
        "source_blob.version:text source_blob.version_description:text release.id:uuid slug.id:uuid stack:text status:text "
        "updated_at:time user.id:uuid user.email:text"
    ),
    "slug": (
        "blob.method:text blob.url:text buildpack_provided_description:text? checksum:text commit:text commit_description:text? "
        "created_at:time id:uuid process_types:object size:number stack.id:uuid stack.name:text updated_at:time deleted_at:time?"
    ),
    "release": (
        "addon_plan_names:list artifacts:list app.name:text app.id:uuid created_at:time description:text id:uuid updated_at:time "
        "slug.id:uuid status:text user.id:uuid user.email:text version:number current:bool output_stream_url:text? eligible_for_rollback:bool"
    ),
    "formation": (
        "app.name:text app.id:uuid command:text created_at:time dyno_size.id:uuid dyno_size.name:text id:uuid quantity:number size:text "
        "type:text updated_at:time"
    ),
    "dyno": (
        "app.name:text app.id:uuid attach_url:text? command:text created_at:time id:uuid name:text release.id:uuid release.version:number "
        "size:text state:text type:text updated_at:time"
    ),
    "review-app": (
        "app.id:uuid app_setup:object? branch:text created_at:time id:uuid pipeline.id:uuid status:text updated_at:time creator:object "
        "wait_for_ci:bool error_status:text? message:text? fork_repo:object? pr_number:number"
    ),
    "review-app-config": (
        "repo.id:number automatic_review_apps:bool deploy_target:object? destroy_stale_apps:bool stale_days:number pipeline_id:uuid "
        "wait_for_ci:bool base_name:text?"
    ),
    "collaborator": (
        "app.name:text app.id:uuid created_at:time id:uuid permissions:list role:text updated_at:time user.email:text "
        "user.federated:bool user.id:uuid"
    ),
}  # fmt: skip


def is_uuid(value: Any) -> bool:
    return isinstance(value, str) and str(uuid.UUID(value)) == value


def is_time(value: Any) -> bool:
    return isinstance(value, str) and value.endswith("Z") and datetime.fromisoformat(value).tzinfo is not None


KINDS = {
    "uuid": is_uuid,
    "time": is_time,
    "text": lambda value: isinstance(value, str),
    "bool": lambda value: isinstance(value, bool),
    "number": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "list": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


async def answers(server: Server) -> dict[str, Any]:
    """One of each, after a deploy and a promotion."""
    pipeline = await server.pipeline(staging="example-staging", production="example")
    await server.call("POST", f"/pipelines/{pipeline['id']}/review-app-config", {}, expect=201)
    await live_review(server, pipeline["id"])
    await server.call("POST", "/apps/example-staging/builds", {}, expect=201)
    await server.work()
    body = {"pipeline": pipeline["id"], "source": {"app": "example-staging"}}
    promotion, _ = await server.call("POST", "/pipeline-promotions", body, expect=201)
    await server.work()
    release = await server.get("/apps/example/releases/current")
    return {
        "pipeline": pipeline,
        "pipeline-coupling": await server.get("/apps/example/pipeline-couplings"),
        "pipeline-promotion": await server.get(f"/pipeline-promotions/{promotion['id']}"),
        "pipeline-promotion-target": (await server.get(f"/pipeline-promotions/{promotion['id']}/promotion-targets"))[0],
        "app": await server.get("/apps/example"),
        "build": (await server.get("/apps/example-staging/builds"))[0],
        "slug": await server.get(f"/apps/example/slugs/{release['slug']['id']}"),
        "release": release,
        "formation": (await server.get("/apps/example/formation"))[0],
        "dyno": (await server.get("/apps/example/dynos"))[0],
        "review-app": (await server.get(f"/pipelines/{pipeline['id']}/review-apps"))[0],
        "review-app-config": await server.get(f"/pipelines/{pipeline['id']}/review-app-config"),
        "collaborator": (await server.get("/apps/example/collaborators"))[0],
    }


async def test_every_resource_has_every_attribute(server: Server) -> None:
    shown, wrong = await answers(server), []
    for resource, attributes in ATTRIBUTES.items():
        for attribute in attributes.split():
            name, _, kind = attribute.partition(":")
            value, missing = shown[resource], False
            for part in name.split("."):
                missing = missing or not isinstance(value, dict) or part not in value
                value = None if missing else value[part]
            empty = value is None and kind.endswith("?")
            if missing or not (empty or (value is not None and KINDS[kind.rstrip("?")](value))):
                wrong.append(f"{resource}.{name} is {'missing' if missing else repr(value)}")
    assert wrong == []
