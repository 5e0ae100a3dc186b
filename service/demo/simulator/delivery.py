"""One webhook delivery: how it is signed, logged and shown."""

import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from service.demo.simulator.state import RepositoryHook, stamp


@dataclass(slots=True, kw_only=True)
class Delivery:
    """One entry of the log; a redelivery is another with the same `guid`. `copies` went out: none if it was lost."""

    id: int
    guid: str
    event: str
    action: str | None
    payload: dict[str, Any]
    installation_id: int | None
    repository_id: int | None
    delivered_at: datetime
    redelivery: bool = False
    duration: float = 0.0
    status: str = "pending"
    status_code: int = 0
    request_headers: dict[str, str] = field(default_factory=dict)
    response_headers: dict[str, str] = field(default_factory=dict)
    response_body: str = ""
    hook: RepositoryHook | None = None
    copies: int = 0

    def item(self) -> dict[str, Any]:
        """As `GET /app/hook/deliveries` lists it."""
        return {
            "id": self.id,
            "guid": self.guid,
            "delivered_at": stamp(self.delivered_at),
            "redelivery": self.redelivery,
            "duration": self.duration,
            "status": self.status,
            "status_code": self.status_code,
            "event": self.event,
            "action": self.action,
            "installation_id": self.installation_id,
            "repository_id": self.repository_id,
            "throttled_at": None,
        }

    def whole(self, url: str) -> dict[str, Any]:
        """As `GET /app/hook/deliveries/{id}` shows it."""
        return self.item() | {
            "url": url,
            "request": {"headers": self.request_headers, "payload": self.payload},
            "response": {"headers": self.response_headers, "payload": self.response_body},
        }


def headers(delivery: Delivery, body: bytes, *, secret: str, app_id: int) -> dict[str, str]:
    """What GitHub sends above a body; the signatures cover the body alone."""

    def sign(method: str) -> str:
        return hmac.new(secret.encode(), body, method).hexdigest()

    ours = delivery.installation_id is not None or delivery.repository_id is None
    return {
        "Accept": "*/*",
        "Content-Type": "application/json",
        "User-Agent": "GitHub-Hookshot/" + hashlib.sha256(b"towpath").hexdigest()[:7],
        "X-GitHub-Delivery": delivery.guid,
        "X-GitHub-Event": delivery.event,
        "X-GitHub-Hook-ID": str(app_id * 10),
        "X-GitHub-Hook-Installation-Target-ID": str(app_id if ours else delivery.repository_id),
        "X-GitHub-Hook-Installation-Target-Type": "integration" if ours else "repository",
        "X-Hub-Signature": "sha1=" + sign("sha1"),
        "X-Hub-Signature-256": "sha256=" + sign("sha256"),
    }
