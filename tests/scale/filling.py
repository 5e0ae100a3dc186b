"""A large installation's database, written in bulk: apps in pipelines, each with a past, and what was delivered."""

from datetime import timedelta
from itertools import islice
from typing import Any
from uuid import UUID

import zstandard
from sqlalchemy import Connection, Table

from service.domain.decisions import Deploy
from service.domain.model import RepositoryId, Sha, Trust
from service.store import apps, users
from service.store.rows import to_json
from service.store.tables import (
    activity,
    builds,
    couplings,
    deliveries,
    facts,
    log_chunks,
    log_streams,
    names,
    pipelines,
    releases,
    reports,
    repositories,
    requests,
    review_apps,
    routes,
    slugs,
    subjects,
)
from service.store.tables import apps as app_rows
from tests.store.making import NOW

OF_A_PIPELINE = 5  # staging, production and three review apps
BATCH = 5000


def id_of(kind: str, number: int) -> str:
    """The id of a row: the same each time."""
    return str(UUID(int=sum(map(ord, kind)) * 10**12 + number))


def sha_of(number: int) -> Sha:
    return Sha(f"{number:040x}")


def fill(conn: Connection, *, apps_wanted: int, releases_each: int, deliveries_wanted: int) -> None:
    """Fill an empty database."""
    owner = users.ensure_embedded_user(conn, now=NOW)
    space = apps.ensure_space(conn, name="common", driver="process", now=NOW)
    times = {"created_at": NOW, "updated_at": NOW}
    many = range(apps_wanted)
    pipes = range(apps_wanted // OF_A_PIPELINE)
    past = range(apps_wanted * releases_each)
    of_app = [id_of("app", number) for number in many]
    add(
        conn,
        repositories,
        (
            {"id": n + 1, "full_name": f"acme/shop-{n}", "default_branch": "main", "installation_id": 3, **times}
            for n in pipes
        ),
    )
    add(
        conn,
        pipelines,
        (
            {
                "id": id_of("pipeline", n),
                "name": f"pipe-{n}",
                "owner_id": owner,
                "owner_type": "user",
                "repository_id": n + 1,
                "toggles": to_json({"review_apps": True, "automatic_review_apps": True}),
                **times,
            }
            for n in pipes
        ),
    )
    add(conn, app_rows, (
        {"id": of_app[n], "name": name_of(n), "space_id": space.id, "owner_id": owner, "state": "active", "is_review": is_review(n),
         "current_release_id": id_of("release", (n + 1) * releases_each - 1), "last_release_version": releases_each, "last_request_seq": releases_each,
         "repository_id": pipe_of(n) + 1, "auto_deploy": n % OF_A_PIPELINE == 0, "auto_deploy_branch": "main", "formation": '{"web":1}', "engine_state": "up",
         "incarnation": 0, "released_at": NOW, **times}
        for n in many
    ))  # fmt: skip
    add(
        conn,
        names,
        ({"name": name_of(n), "app_id": of_app[n], "pipeline_id": id_of("pipeline", pipe_of(n))} for n in many),
    )
    add(
        conn,
        couplings,
        (
            {
                "id": id_of("coupling", n),
                "app_id": of_app[n],
                "pipeline_id": id_of("pipeline", pipe_of(n)),
                "stage": stage_of(n),
                **times,
            }
            for n in many
        ),
    )
    add(
        conn,
        routes,
        (
            {
                "app_id": of_app[n],
                "name": name_of(n),
                "review": is_review(n),
                "state": "live",
                "endpoints": "[]",
                "release_id": f"{id_of('release', (n + 1) * releases_each - 1)}.0",
            }
            for n in many
        ),
    )
    add(conn, review_apps, (
        {"id": id_of("review", n), "pipeline_id": id_of("pipeline", pipe_of(n)), "repository_id": pipe_of(n) + 1, "ref": f"pr:{n % OF_A_PIPELINE}", "generation": 1,
         "app_id": of_app[n], "state": "live", "sha": sha_of(n), "branch": "topic", "deployed_at": NOW, **times}
        for n in many if is_review(n)
    ))  # fmt: skip
    add(
        conn,
        slugs,
        (
            {
                "id": id_of("slug", n),
                "trust": "own",
                "build_key": f"key-{n}",
                "sha256": f"{n:064x}",
                "size": 1000,
                "process_types": '{"web":"serve","release":"migrate"}',
                "stack": "test",
                "created_at": NOW,
            }
            for n in many
        ),
    )
    _past(conn, past, releases_each=releases_each)
    _flow(conn, apps_wanted=apps_wanted, deliveries_wanted=deliveries_wanted)


def _past(conn: Connection, past: range, *, releases_each: int) -> None:
    """Of each release its request, build and log."""
    times = {"created_at": NOW, "updated_at": NOW}
    add(conn, requests, (
        {"id": id_of("request", n), "app_id": id_of("app", n // releases_each), "seq": n % releases_each + 1, "kind": Deploy.__name__,
         "work": to_json(deploy(n // releases_each)), "sha": sha_of(n), "state": "succeeded", "by_person": False, "actor": "towpath", "priority": 1,
         "started_at": NOW, "finished_at": NOW, **times}
        for n in past
    ))  # fmt: skip
    add(
        conn,
        log_streams,
        ({"log_id": id_of(kind, n), "closed": True, "created_at": NOW} for n in past for kind in ("log", "build log")),
    )
    add(
        conn,
        log_chunks,
        (
            {"log_id": id_of(kind, n), "seq": 1, "at": NOW, "text": "-----> done\n"}
            for n in past
            for kind in ("log", "build log")
        ),
    )
    add(conn, builds, (
        {"id": id_of("build", n), "app_id": id_of("app", n // releases_each), "request_id": id_of("request", n), "repository_id": pipe_of(n // releases_each) + 1,
         "sha": sha_of(n), "build_key": f"key-{n}", "state": "succeeded", "slug_id": id_of("slug", n // releases_each), "log_id": id_of("build log", n), **times}
        for n in past
    ))  # fmt: skip
    add(conn, releases, (
        {"id": id_of("release", n), "app_id": id_of("app", n // releases_each), "version": n % releases_each + 1, "state": "succeeded", "request_id": id_of("request", n),
         "slug_id": id_of("slug", n // releases_each), "commit_sha": sha_of(n), "repository_id": pipe_of(n // releases_each) + 1, "description": "Deploy", "actor": "towpath",
         "log_id": id_of("log", n), **times}
        for n in past
    ))  # fmt: skip
    add(conn, reports, (
        {"key": f"github_deployment:{id_of('release', n)}", "kind": "github_deployment", "repository_id": pipe_of(n // releases_each) + 1, "installation_id": 3,
         "wanted": "{}", "wanted_digest": "x", "shown_digest": "x", "terminal": True, "pending": False, **times}
        for n in past
    ))  # fmt: skip


def _flow(conn: Connection, *, apps_wanted: int, deliveries_wanted: int) -> None:
    """What GitHub told and what came of it."""
    add(conn, deliveries, (
        {"guid": id_of("delivery", n), "event": "push", "action": "", "repository_id": n % apps_wanted + 1, "body": zstandard.compress(b"{}"), "state": "processed",
         "received_at": NOW - timedelta(seconds=n), "processed_at": NOW}
        for n in range(deliveries_wanted)
    ))  # fmt: skip
    add(
        conn,
        activity,
        (
            {
                "at": NOW,
                "actor": "towpath",
                "action": "restarted",
                "app_id": id_of("app", n % apps_wanted),
                "sha": sha_of(n),
            }
            for n in range(deliveries_wanted // 5)
        ),
    )
    add(
        conn,
        subjects,
        (
            {
                "kind": "check",
                "key": f"{id_of('pipeline', pipe_of(n % apps_wanted))}/{sha_of(n)}",
                "rung": 1,
                "seen": 1,
                "rung_at": NOW,
            }
            for n in range(deliveries_wanted // 5)
        ),
    )
    add(
        conn,
        facts,
        (
            {
                "kind": "manifest",
                "repository_id": pipe_of(n % apps_wanted) + 1,
                "key": f"{n:040x}",
                "value": None,
                "first_seen_at": NOW,
                "asked": 1,
            }
            for n in range(deliveries_wanted // 10)
        ),
    )


def deploy(app: int) -> Deploy:
    return Deploy(repository_id=RepositoryId(pipe_of(app) + 1), sha=sha_of(app), trust=Trust.OWN, branch="main")


def pipe_of(app: int) -> int:
    return app // OF_A_PIPELINE


def is_review(app: int) -> bool:
    return app % OF_A_PIPELINE > 1


def stage_of(app: int) -> str:
    return ("staging", "production", "review", "review", "review")[app % OF_A_PIPELINE]


def name_of(app: int) -> str:
    return f"app-{app:04}"


def add(conn: Connection, table: Table, rows: Any) -> None:
    rows = iter(rows)
    while batch := list(islice(rows, BATCH)):
        conn.execute(table.insert(), batch)
