"""Seal everything with the newest key, so that older keys can be taken out of the keys file."""

from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import Column, Connection, RowMapping, Table, select

from service.store.apps import config_context as app_context
from service.store.github_app import secrets_context
from service.store.idempotency import context as answer_context
from service.store.one_offs import order_context
from service.store.pipelines import stage_context
from service.store.releases import config_context as release_context
from service.store.requests import OPEN
from service.store.secrets import Vault, request_context
from service.store.tables import (
    apps,
    github_app,
    idempotent_requests,
    one_offs,
    pipeline_config,
    releases,
    requests,
    webhooks,
)
from service.store.webhooks import context as webhook_context


def rotate(conn: Connection, vault: Vault) -> int:
    """Seal anew what is not sealed with the newest key; returns how many values that were."""
    # What a finished request carried is in its release; nobody reads it again.
    conn.execute(requests.update().where(requests.c.state.not_in(OPEN)).values(sealed=None))
    changed = sum(
        (
            _reseal(conn, vault, apps.c.wanted_config, [apps.c.id], lambda row: app_context(row["id"])),
            _reseal(conn, vault, releases.c.sealed_config, [releases.c.id], lambda row: release_context(row["id"])),
            _reseal(conn, vault, requests.c.sealed, [requests.c.id, requests.c.app_id], _of_request),
            _reseal(conn, vault, pipeline_config.c.sealed, list(pipeline_config.primary_key), _of_stage),
            _reseal(conn, vault, idempotent_requests.c.sealed, list(idempotent_requests.primary_key), _of_answer),
            _reseal(conn, vault, github_app.c.sealed, [github_app.c.id], lambda row: secrets_context(row["id"])),
            _reseal(conn, vault, webhooks.c.sealed, [webhooks.c.id], lambda row: webhook_context(row["id"])),
            _reseal(conn, vault, one_offs.c.sealed, [one_offs.c.id], lambda row: order_context(row["id"])),
        )
    )
    vault.renew_canary(conn)
    return changed


def _of_request(row: RowMapping) -> str:
    return request_context(row["app_id"])


def _of_answer(row: RowMapping) -> str:
    return answer_context(row["user_id"], row["key"])


def _of_stage(row: RowMapping) -> str:
    return stage_context(row["pipeline_id"], row["stage"])


def _reseal(
    conn: Connection,
    vault: Vault,
    column: Column[bytes],
    address: Iterable[Column[Any]],
    context: Callable[[RowMapping], str],
) -> int:
    table: Table = column.table
    address = list(address)
    changed = 0
    for row in conn.execute(select(column.label("sealed"), *address).where(column.is_not(None))).mappings().all():
        if vault.is_current(row["sealed"]):
            continue
        plain = vault.unseal(row["sealed"], context(row))
        here = [own == row[own.name] for own in address]
        conn.execute(table.update().where(*here).values({column.name: vault.seal(plain, context(row))}))
        changed += 1
    return changed
