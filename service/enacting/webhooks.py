"""What people do to outbound webhooks: make them, change them, take them away, and have something told once more."""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from service.domain.errors import Refused
from service.domain.webhooks import Include, Level
from service.enact import Committer, Transaction
from service.queue import deliver
from service.store import outbound, webhooks
from service.store.outbound import Outbound
from service.store.webhooks import AUTHORIZATION, SECRET, Webhook


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookVerbs(Committer):
    """Each verb is one transaction, then rings. `actor` is who asks, as `user:EMAIL`. No secret is put on record."""

    async def add_webhook(
        self,
        *,
        app_id: str | None,
        pipeline_id: str | None,
        include: Iterable[Include],
        level: Level,
        url: str,
        secret: str | None,
        authorization: str | None,
        actor: str,
    ) -> tuple[Webhook, str]:
        """Let an address hear of an app or of a pipeline, one of the two; returns the webhook and what it signs with.

        Without a `secret` one is made up, which nobody is shown again.
        """
        signing = secret or secrets.token_hex(32)
        sealed = {SECRET: signing} | ({AUTHORIZATION: authorization} if authorization else {})

        def add(tx: Transaction) -> Webhook:
            made = webhooks.add(
                tx.conn,
                tx.vault,
                app_id=app_id,
                pipeline_id=pipeline_id,
                include=include,
                level=level,
                url=url,
                secrets=sealed,
                now=tx.now,
            )
            _note(tx, "webhook added", made)
            return made

        return await self.commit(add, actor=actor), signing

    async def change_webhook(
        self,
        *,
        webhook_id: str,
        include: Iterable[Include] | None,
        level: Level | None,
        url: str | None,
        secret: str | None,
        authorization: str | None,
        actor: str,
    ) -> Webhook:
        """Change what is given of a webhook; one that was stopped starts again. An empty `authorization` sends none."""

        def change(tx: Transaction) -> Webhook:
            found = _found(tx, webhook_id)
            if found.reason == webhooks.APP_GONE:
                raise Refused("The webhook's app was destroyed.", code="not_found")
            given = {"include": include, "level": level, "url": url}
            wanted: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
            if secret is not None or authorization is not None:
                named = webhooks.context(found.id)
                kept = tx.vault.unseal_vars(found.sealed, named)
                changes = {SECRET: secret or kept[SECRET], AUTHORIZATION: authorization}
                kept |= {key: value for key, value in changes.items() if value is not None}
                wanted["sealed"] = tx.vault.seal_vars({key: value for key, value in kept.items() if value}, named)
            changed = webhooks.update(tx.conn, found.id, now=tx.now, **wanted)
            told = given | {"secret": secret, "authorization": authorization}
            _note(tx, "webhook changed", changed, changed=sorted(key for key in told if told[key] is not None))
            return changed

        return await self.commit(change, actor=actor)

    async def remove_webhook(self, *, webhook_id: str, actor: str) -> Webhook:
        """Take a webhook away, and what it was still to be told."""

        def remove(tx: Transaction) -> Webhook:
            found = _found(tx, webhook_id)
            webhooks.remove(tx.conn, found.id)
            _note(tx, "webhook removed", found)
            return found

        return await self.commit(remove, actor=actor)

    async def deliver_again(self, *, outbound_id: str, actor: str) -> Outbound:
        """Deliver once more what has ended, or at once what waits; refused while the webhook is stopped."""

        def ask(tx: Transaction) -> Outbound:
            found = outbound.get(tx.conn, outbound_id)
            if found is None:
                raise Refused("Couldn't find that webhook delivery.", code="not_found")
            webhook = _found(tx, found.webhook_id)
            if webhook.stopped_at is not None:
                raise Refused(
                    f"The webhook is stopped: {webhook.reason}. Start it first: towpath webhooks:update {webhook.id}",
                    code="conflict",
                )
            asked = outbound.again(tx.conn, found.id, now=tx.now)
            tx.rings.append(deliver(webhook.id))
            _note(tx, "webhook delivery asked for again", webhook, delivery=found.id)
            return asked

        return await self.commit(ask, actor=actor)


def _found(tx: Transaction, webhook_id: str) -> Webhook:
    found = webhooks.get(tx.conn, webhook_id)
    if found is None:
        raise Refused("Couldn't find that webhook.", code="not_found")
    return found


def _note(tx: Transaction, action: str, it: Webhook, **more: Any) -> None:
    # Of the address the host alone: many carry their key in the path, and the log is read by more people.
    data = {"webhook": it.id, "host": urlsplit(it.url).hostname, "include": sorted(it.include), **more}
    tx.note(action, app_id=it.app_id, pipeline_id=it.pipeline_id, data=data)
