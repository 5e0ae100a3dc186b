"""What the API's things look like. Heroku's attributes come first in each, Towpath's own after them."""

from collections.abc import Mapping
from typing import Final

from service.web.openapi import webhooks
from service.web.openapi.notation import Schema, described

_RELEASE: Final = (
    "addon_plan_names:list app.id:uuid app.name:text artifacts[].type:text artifacts[].id:uuid created_at:time "
    "current:bool description:text eligible_for_rollback:bool id:uuid output_stream_url:text? slug?.id:uuid "
    "status:pending|succeeded|failed|expired updated_at:time user.id:uuid user.email:text version:int "
    "commit:text? error:text?"
)
_REQUEST: Final = (
    "id:uuid app.id:uuid kind:text state:queued|running|succeeded|failed|superseded|cancelled reason:text? "
    "commit:text? by_person:bool created_at:time"
)
_TOGGLES: Final = (
    "automatic_review_apps:bool wait_for_ci:bool destroy_stale_apps:bool stale_days:int idle_action:destroy|suspend "
    "base_name:text? max_review_apps:int drafts:bool ci_counts:all|required|protected forks:never|approve "
    "approval_blocks:bool labels:texts base_branches:texts paths:texts required_contexts:texts ignored_contexts:texts "
    "deploy_without_ci:bool settle_seconds:number gate_seconds:number comment:bool "
    "health_path:text"
)
_COMMITS: Final = "{0}[].sha:text {0}[].author:text {0}[].date:time {0}[].message:text"
_USER: Final = (
    "allow_tracking:bool beta:bool country_of_residence:text? created_at:time default_organization:object? "
    "default_team:object? delinquent_at:time? email:text federated:bool id:uuid identity_provider:object? "
    "italian_customer_terms:text? last_login:time? name:text? sms_number:text? suspended_at:time? "
    "two_factor_authentication:bool updated_at:time verified:bool admin:bool github:text?"
)
_DELIVERY: Final = (
    "id:text event:text action:text? repository?.id:int installation?.id:int state:text verdict:text? attempts:int "
    "received_at:time processed_at:time?"
)

_ATTRIBUTES: Final[Mapping[str, str]] = {
    "error": "id:text message:text resource*:text review_apps*:texts told*:text",
    "account": _USER,
    "account-feature": (
        "created_at:time description:text display_name:text doc_url:text enabled:bool feedback_email:text id:uuid "
        "name:text state:text updated_at:time"
    ),
    "rate-limit": "remaining:int?",
    "sign-in-link": "url:text expires_at:time user.id:uuid user.email:text",
    "app": (
        "acm:bool archived_at:time? build_stack.id:uuid build_stack.name:text buildpack_provided_description:text? "
        "created_at:time generation.id:uuid generation.name:text git_url:text id:uuid internal_routing:bool? "
        "maintenance:bool name:text organization:object? owner.id:uuid? owner.email:text region.id:uuid "
        "region.name:text released_at:time? repo_size:int? slug_size:int? space?.id:uuid space?.name:text "
        "space?.shield:bool stack.id:uuid stack.name:text team:object? updated_at:time web_url:text "
        "state:active|suspended|destroying|gone review:bool promotable:bool"
    ),
    "app-setup": (
        "app.id:uuid app.name:text build?.id:uuid build?.status:pending|succeeded|failed build?.output_stream_url:text "
        "created_at:time failure_message:text? id:uuid manifest_errors:texts postdeploy?.output:text "
        "postdeploy?.exit_code:int resolved_success_url:text? status:pending|succeeded|failed updated_at:time"
    ),
    "domain": (
        "acm_status:text? acm_status_reason:text? app.id:uuid app.name:text cname:text? created_at:time hostname:text "
        "id:uuid kind:heroku|custom sni_endpoint:object? status:text updated_at:time"
    ),
    "collaborator": (
        "app.id:uuid app.name:text created_at:time id:uuid permissions[].name:text permissions[].description:text "
        "role:text? updated_at:time user.id:uuid? user.email:text user.federated:bool"
    ),
    "permission": "name:text description:text",
    "user": _USER,
    "new-user": f"{_USER} access_token.token:text",
    "removed-user": f"{_USER} left:texts",
    "authorization": (
        "access_token.id:uuid access_token.token:text access_token.expires_in:int? client.id:uuid "
        "client.ignores_delinquent:bool client.name:text created_at:time description:text grant:object? id:uuid "
        "refresh_token:object? scope:texts session:object? updated_at:time user.id:uuid user.email:text "
        "user.full_name:text? expires_at:time? last_used_at:time? current:bool"
    ),
    "team": (
        "created_at:time credit_card_collections:bool default:bool enterprise_account:object? id:uuid "
        "identity_provider:object? membership_limit:number? name:text provisioned_licenses:bool role:text? type:text "
        "updated_at:time"
    ),
    "team-member": (
        "created_at:time email:text federated:bool id:uuid identity_provider:object? role:text "
        "two_factor_authentication:bool updated_at:time user.id:uuid user.email:text user.name:text?"
    ),
    "team-invitation": (
        "created_at:time id:uuid invited_by.id:uuid invited_by.email:text invited_by.name:text? role:text team.id:uuid "
        "team.name:text updated_at:time user.id:uuid user.email:text user.name:text?"
    ),
    "app-transfer": (
        "app.id:uuid app.name:text created_at:time id:uuid owner.id:uuid owner.email:text recipient.id:uuid "
        "recipient.email:text state:pending|accepted|declined updated_at:time"
    ),
    "pipeline-transfer": (
        "pipeline.id:uuid previous_owner?.id:uuid previous_owner?.type:user|team new_owner.id:uuid "
        "new_owner.type:user|team"
    ),
    "region": (
        "country:text created_at:time description:text id:uuid locale:text name:text private_capable:bool "
        "provider.name:text provider.region:text updated_at:time"
    ),
    "stack": "created_at:time default:bool id:uuid name:text state:text updated_at:time",
    "space": "id:uuid name:text driver:text shield:bool",
    "pipeline": (
        "created_at:time generation.id:uuid generation.name:text id:uuid name:text owner?.id:uuid "
        "owner?.type:user|team updated_at:time"
    ),
    "pipeline-coupling": (
        "app.id:uuid app.name:text created_at:time id:uuid pipeline.id:uuid pipeline.name:text "
        "stage:test|review|development|staging|production updated_at:time"
    ),
    "pipeline-stack": "stack?.id:uuid stack?.name:text",
    "pipeline-promotion": (
        "created_at:time id:uuid pipeline.id:uuid source.app.id:uuid source.release.id:uuid status:pending|completed "
        "updated_at:time? failed_targets:int outcome:text all_or_nothing:bool"
    ),
    "promotion-undo": (
        "pipeline_promotion.id:uuid targets[].app.id:uuid targets[].app.name:text targets[].error_message:text? "
        "targets[].id:uuid targets[].refused:bool targets[].release?.id:uuid targets[].release?.version:int "
        f"{' '.join(f'targets[].request?.{each}' for each in _REQUEST.split())} "
        "targets[].to?.id:uuid targets[].to?.version:int"
    ),
    "pipeline-diff": (
        "app.id:uuid app.name:text release?.id:uuid release?.version:int commit:text? stage:staging|production "
        "source.app.id:uuid source.app.name:text source.release?.id:uuid source.release?.version:int "
        "source.commit:text? relation:same|ahead|behind|diverged|unrelated|unknown|pending reason:text? "
        f"ahead_by:int? behind_by:int? {_COMMITS.format('commits')} {_COMMITS.format('behind_commits')} "
        "config_vars?.missing:texts config_vars?.extra:texts config_vars?.different:texts"
    ),
    "promotion-target": (
        "app.id:uuid app.name:text error_message:text? id:uuid pipeline_promotion.id:uuid release?.id:uuid "
        "status:pending|succeeded|failed"
    ),
    "build": (
        "app.id:uuid buildpacks:list? created_at:time generation:text id:uuid output_stream_url:text release?.id:uuid "
        "slug?.id:uuid source_blob.checksum:text? source_blob.url:text source_blob.version:text? "
        "source_blob.version_description:text? stack:text status:pending|succeeded|failed updated_at:time user.id:uuid "
        "user.email:text error:text? reused:bool"
    ),
    "slug": (
        "blob.method:text blob.url:text buildpack_provided_description:text? checksum:text? commit:text? "
        "commit_description:text? created_at:time deleted_at:time? id:uuid process_types:map size:int? stack.id:uuid "
        "stack.name:text updated_at:time"
    ),
    "release": _RELEASE,
    "new-release": f"{_RELEASE} {' '.join(f'request.{each}' for each in _REQUEST.split())}",
    "formation": (
        "app.id:uuid app.name:text command:text created_at:time dyno_size.id:uuid dyno_size.name:text id:uuid "
        "quantity:int size:text type:text updated_at:time"
    ),
    "dyno": (
        "app.id:uuid app.name:text attach_url:text? command:text created_at:time exit_code:int? id:uuid name:text "
        "reason:text? release.id:uuid release.version:int size:text state:up|starting|crashed|down|complete type:text "
        "updated_at:time"
    ),
    "log-session": "created_at:time id:uuid logplex_url:text updated_at:time",
    "request": _REQUEST,
    "progress": (
        f"{_REQUEST} app.name:text step:text? build?.id:uuid build?.status:text build?.error:text? release?.id:uuid "
        "release?.version:int release?.status:text release?.error:text?"
    ),
    "review-app": (
        "app?.id:uuid app?.name:text app_setup:object? branch:text created_at:time creator:object error_status:text? "
        "fork_repo:object? id:uuid message:text? pipeline.id:uuid pipeline.name:text pr_number:int? "
        "status:pending|creating|created|deleting|deleted|errored updated_at:time wait_for_ci:bool "
        "state:waiting|creating|live|failed|suspended|destroying|destroyed|skipped reason:text? commit:text? "
        "pinned:bool trust:own|fork? deployed_at:time? web_url:text?"
    ),
    "review-app-config": f"deploy_target:object? pipeline_id:uuid repo.id:int? {_TOGGLES}",
    "approval": "created_at:time sha:text user.id:uuid user.email:text by:text how:text",
    "repository": (
        "id:uuid pipeline.id:uuid pipeline.name:text repository.id:int repository.name:text repository.type:text "
        "repository.default_branch:text repository.accessible:bool repository.archived:bool "
        "repository.problem:text? check:text full_name:text organization:object? ci:bool "
        "review_apps:bool automatic_review_apps:bool"
    ),
    "branch": "name:text commit.sha:text",
    "github": (
        "id:uuid app_id:uuid repo:text repo_id:int auto_deploy:bool wait_for_ci:bool branch:text reason:text? "
        "follows_default_branch:bool pull_requests.enabled:bool pull_requests.auto_deploy:bool "
        "pull_requests.auto_destroy:bool"
    ),
    "github-repository": "id:int full_name:text default_branch:text archived:bool",
    "difference": (
        "ahead_by:int behind_by:int total_commits:int commits[].sha:text commits[].commit.message:text "
        "commits[].commit.author.name:text commits[].commit.author.date:text?"
    ),
    "archive": "archive_link:text",
    "settings": (
        "pipeline.id:uuid pipeline.name:text settings[].name:text settings[].value:any settings[].description:text "
        "updated_at:time"
    ),
    "build-config": "names:texts pipeline?.id:uuid pipeline?.name:text",
    "deploy-lock": (
        "id:uuid app?.id:uuid app?.name:text pipeline?.id:uuid pipeline?.name:text owner.id:uuid owner.email:text "
        "reason:text expires_at:time? created_at:time updated_at:time message:text"
    ),
    "source": ("source_blob.get_url:text source_blob.put_url:text created_at:time expires_at:time max_bytes:int"),
    "orphan": "id:text driver:text processes:text state:running|leaving created_at:time",
    "delivery": _DELIVERY,
    "delivery-replay": f"count:int {' '.join(f'deliveries[].{each}' for each in _DELIVERY.split())}",
    "delivery-with-payload": (
        f"{_DELIVERY} size:int decisions[].subject:text decisions[].outcome:text? decisions[].reason:text? "
        "decisions[].decided_at:time? payload:any"
    ),
    "delivery-source": (
        "name:text kind:text repository?.id:int repository?.name:text? state:text reason:text? pulled_up_to:time? "
        "checked_at:time? retry_at:time?"
    ),
    "activity": (
        "id:int at:time actor:text action:text app?.id:uuid pipeline?.id:uuid ref:text? commit:text? data:object"
    ),
    "trail": (
        "query:text about:text trail[].at:time trail[].what:text trail[].about:text trail[].state:text "
        "trail[].text:text"
    ),
    "github-setup": "url:text expires_at:time webhook_url:text unreachable:text?",
    "github-webhook": (
        "repository:text settings_url:text token_url:text url:text content_type:text secret:text events[].name:text "
        "events[].label:text permissions:list unreachable:text? app:text? findings:list?"
    ),
    "nothing": "",
}

_CONFIG_VARS: Final[Schema] = {"type": "object", "additionalProperties": {"type": "string"}}

THINGS: Final[Mapping[str, Schema]] = {
    "config-vars": _CONFIG_VARS,
    # What Heroku's apps have and ours have not: lists of these are empty.
    "absent": {"type": "object"},
    **{name: described(attributes) for name, attributes in {**_ATTRIBUTES, **webhooks.ATTRIBUTES}.items()},
}
