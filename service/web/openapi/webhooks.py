"""The same as `operations` and `things`, of outbound webhooks."""

from collections.abc import Iterator, Mapping
from typing import Final

from service.web.api.webhook_bodies import AddWebhook, ChangeWebhook
from service.web.openapi.operation import Operation, changed, made, many, one

_STATUS: Final = {"eq[status]": "Only those of this status."}


def _of(home: str, prefix: str = "") -> Iterator[tuple[str, Operation]]:
    webhook, event, delivery = f"{{{prefix}webhook}}", f"{{{prefix}event}}", f"{{{prefix}delivery}}"
    yield f"GET {home}/webhooks", many("webhook")
    yield f"POST {home}/webhooks", made("webhook", AddWebhook)
    yield f"GET {home}/webhooks/{webhook}", one("webhook")
    yield f"PATCH {home}/webhooks/{webhook}", changed("webhook", ChangeWebhook)
    yield f"DELETE {home}/webhooks/{webhook}", changed("webhook")
    yield f"GET {home}/webhook-events", many("webhook-event")
    yield f"GET {home}/webhook-events/{event}", one("webhook-event")
    yield f"GET {home}/webhook-deliveries", many("webhook-delivery", _STATUS)
    yield f"GET {home}/webhook-deliveries/{delivery}", one("webhook-delivery")
    yield f"POST {home}/webhook-deliveries/{delivery}/actions/retry", made("webhook-delivery", status=202)


OPERATIONS: Final[Mapping[str, Operation]] = {
    **dict(_of("/apps/{app}")),
    **dict(_of("/pipelines/{pipeline}", "pipeline_")),
}

ATTRIBUTES: Final[Mapping[str, str]] = {
    "webhook": (
        "app?.id:uuid app?.name:text created_at:time id:uuid include:texts level:notify|sync updated_at:time url:text "
        "pipeline?.id:uuid pipeline?.name:text state:active|stopped reason:text?"
    ),
    "webhook-event": (
        "created_at:time id:uuid include:text payload.action:create|update|destroy payload.actor.id:uuid "
        "payload.actor.email:text payload.created_at:time payload.data:object payload.id:uuid "
        "payload.previous_data:object payload.published_at:time payload.resource:text payload.sequence:int "
        "payload.updated_at:time payload.version:text updated_at:time"
    ),
    "webhook-delivery": (
        "created_at:time event.id:uuid event.include:text id:uuid last_attempt?.code:int? "
        "last_attempt?.created_at:time last_attempt?.error_class:text? last_attempt?.id:uuid "
        "last_attempt?.status:succeeded|failed last_attempt?.updated_at:time last_attempt?.text:text? "
        "next_attempt_at:time? num_attempts:int status:pending|retrying|succeeded|failed updated_at:time "
        "webhook.id:uuid webhook.level:notify|sync seq:int"
    ),
}
