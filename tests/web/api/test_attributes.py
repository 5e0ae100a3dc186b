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
    "account": (
        "allow_tracking:bool beta:bool country_of_residence:text? created_at:time default_organization:object? default_team:object? "
        "delinquent_at:time? email:text federated:bool id:uuid identity_provider:object? italian_customer_terms:text? last_login:time? "
        "name:text? sms_number:text? suspended_at:time? two_factor_authentication:bool updated_at:time verified:bool"
    ),
    "account-feature": (
        "created_at:time description:text display_name:text doc_url:text enabled:bool feedback_email:text id:uuid name:text state:text "
        "updated_at:time"
    ),
    "oauth-authorization": (
        "access_token.id:uuid access_token.token:text access_token.expires_in:number? client.id:uuid client.name:text created_at:time "
        "description:text grant:object? id:uuid refresh_token:object? scope:list session:object? updated_at:time user.id:uuid user.email:text"
    ),
    "rate-limit": "remaining:number",
    "region": (
        "country:text created_at:time description:text id:uuid locale:text name:text private_capable:bool provider.name:text "
        "provider.region:text updated_at:time"
    ),
    "stack": "created_at:time default:bool id:uuid name:text state:text updated_at:time",
    "domain": (
        "acm_status:text? acm_status_reason:text? app.name:text app.id:uuid cname:text? created_at:time hostname:text id:uuid kind:text "
        "sni_endpoint:object? status:text updated_at:time"
    ),
    "log-session": "created_at:time id:uuid logplex_url:text updated_at:time",
    "source": "source_blob.get_url:text source_blob.put_url:text",
    "app-setup": (
        "id:uuid created_at:time updated_at:time status:text failure_message:text? app.id:uuid app.name:text build.id:uuid "
        "build.status:text build.output_stream_url:text manifest_errors:list postdeploy:object? resolved_success_url:text?"
    ),
    "pipeline-stack": "stack.id:uuid stack.name:text",
    "pipeline-transfer": "pipeline.id:uuid previous_owner.id:uuid previous_owner.type:text new_owner.id:uuid new_owner.type:text",
    "app-transfer": (
        "app.name:text app.id:uuid created_at:time id:uuid owner.email:text owner.id:uuid recipient.email:text recipient.id:uuid "
        "state:text updated_at:time"
    ),
    "team": (
        "id:uuid created_at:time credit_card_collections:bool default:bool enterprise_account:object? identity_provider:object? "
        "membership_limit:number? name:text provisioned_licenses:bool role:text type:text updated_at:time"
    ),
    "team-member": (
        "created_at:time email:text federated:bool id:uuid identity_provider:object? role:text two_factor_authentication:bool "
        "updated_at:time user.email:text user.id:uuid user.name:text?"
    ),
    "team-invitation": (
        "created_at:time id:uuid invited_by.email:text invited_by.id:uuid invited_by.name:text? role:text team.id:uuid team.name:text "
        "updated_at:time user.email:text user.id:uuid user.name:text?"
    ),
    "app-webhook": "created_at:time id:uuid include:list level:text updated_at:time url:text",
    "app-webhook-event": (
        "created_at:time id:uuid include:text payload.action:text payload.actor.email:text payload.actor.id:uuid payload.data:object "
        "payload.previous_data:object payload.resource:text payload.version:text updated_at:time"
    ),
    "app-webhook-delivery": (
        "created_at:time event.id:uuid event.include:text id:uuid num_attempts:number next_attempt_at:time? last_attempt:object? "
        "status:text updated_at:time webhook.id:uuid webhook.level:text"
    ),
}  # fmt: skip
ATTRIBUTES |= {
    "pipeline-build": ATTRIBUTES["build"],
    "pipeline-deployment": ATTRIBUTES["release"],
    "pipeline-release": ATTRIBUTES["release"],
    "granted collaborator": ATTRIBUTES["collaborator"],
    "team-app-collaborator": ATTRIBUTES["collaborator"],
    "one-off dyno": ATTRIBUTES["dyno"],
}


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


async def further(server: Server) -> dict[str, Any]:
    """One of each of the rest."""
    where, (pipeline,) = "/apps/example", await server.get("/pipelines")
    of_pipeline = f"/pipelines/{pipeline['id']}"
    (build, *_), (setup, *_) = (
        await server.get(f"{of_pipeline}/latest-builds"),
        await server.get("/apps/example-staging/builds"),
    )

    async def made(path: str, body: Any, status: int = 201, method: str = "POST") -> Any:
        return (await server.call(method, path, body, expect=status))[0]

    hook = {"include": ["api:app"], "level": "sync", "url": "http://localhost:9/"}
    return {
        "pipeline-build": build,
        "pipeline-deployment": (await server.get(f"{of_pipeline}/latest-deployments"))[0],
        "pipeline-release": (await server.get(f"{of_pipeline}/latest-releases"))[0],
        "pipeline-stack": await server.get(f"{of_pipeline}/pipeline-stack"),
        "account": await server.get("/account"),
        "account-feature": (await server.get("/account/features"))[0],
        "oauth-authorization": (await server.get("/oauth/authorizations"))[0],
        "rate-limit": await server.get("/account/rate-limits"),
        "region": (await server.get("/regions"))[0],
        "stack": (await server.get("/stacks"))[0],
        "domain": (await server.get(f"{where}/domains"))[0],
        "log-session": await made(f"{where}/log-sessions", {}),
        "source": await made("/sources", None),
        "one-off dyno": await made(f"{where}/dynos", {"command": "true"}),
        "app-setup": await server.get(f"/app-setups/{setup['id']}"),
        "app-webhook": await made(f"{where}/webhooks", hook),
        "maintenance": await made(where, {"maintenance": True}, 200, "PATCH"),
        "app-webhook-event": (await server.get(f"{where}/webhook-events"))[0],
        "app-webhook-delivery": (await server.get(f"{where}/webhook-deliveries"))[0],
        "octavia": await made("/users", {"email": "octavia@example.com"}),
        "team": await made("/teams", {"name": "crew"}),
        "team-member": await made("/teams/crew/members", {"email": "octavia@example.com", "role": "member"}),
        "team-invitation": await made(
            "/teams/crew/invitations", {"email": "new@example.com", "role": "member"}, 201, "PUT"
        ),
        "granted collaborator": await made(f"{where}/collaborators", {"user": "octavia@example.com"}),
        "pipeline-transfer": await made(
            "/pipeline-transfers", {"pipeline": pipeline["id"], "new_owner": {"id": "crew", "type": "team"}}
        ),
        "app-transfer": await made("/account/app-transfers", {"app": "example", "recipient": "octavia@example.com"}),
        "team-app-collaborator": (await server.get(f"/teams{where}/collaborators"))[-1],
    }


def wrong_in(resource: str, answer: Any) -> list[str]:
    """What of a resource's attributes is not in the answer, or is no such value."""
    wrong = []
    for attribute in ATTRIBUTES[resource].split():
        name, _, kind = attribute.partition(":")
        value, missing = answer, False
        for part in name.split("."):
            missing = missing or not isinstance(value, dict) or part not in value
            value = None if missing else value[part]
        empty = value is None and kind.endswith("?")
        if missing or not (empty or (value is not None and KINDS[kind.rstrip("?")](value))):
            wrong.append(f"{resource}.{name} is {'missing' if missing else repr(value)}")
    return wrong


async def test_every_resource_has_every_attribute(server: Server) -> None:
    shown = await answers(server)
    shown |= await further(server)
    assert ATTRIBUTES.keys() <= shown.keys()
    assert [each for resource in ATTRIBUTES for each in wrong_in(resource, shown[resource])] == []
