"""A real API server on a real database for tests; and a worker's hand, which records what a worker would."""

import asyncio
import io
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import aiohttp
from aiohttp import web
from openapi_core import OpenAPI

from service.attachments import Attachments
from service.demo.github_sim import GitHubSim
from service.domain.access import Standing
from service.domain.errors import Refused
from service.domain.facts import Difference, NewCommit, PullRequest
from service.domain.model import (
    App,
    BuildState,
    Release,
    ReleaseState,
    Repository,
    RepositoryId,
    RequestState,
    ReviewState,
    Sha,
    Slug,
    TargetState,
    Trust,
)
from service.enactor import Enactor
from service.github.client import GitHub
from service.github.looks import Looks
from service.github.transport import Transport, new_session
from service.identity import Identity
from service.queue import Queue
from service.settings import Settings
from service.store import apps, builds, logs, promotions, pushes, releases, requests, reviews, tokens, users
from service.store.database import Database
from service.store.deliveries import Inbox
from service.store.secrets import Vault
from service.store.tables import log_chunks, log_streams, promotion_targets
from service.store.tables import requests as request_rows
from service.web.app import build_runner
from service.web.keys import WebContext
from service.web.lookup import GitHubLookup
from service.web.openapi.document import DOCUMENT
from tests.domain.things import pull_request
from tests.web.described import check, description
from workers.platforms.process.reading import log_lines

SHOP = Repository(id=RepositoryId(42), full_name="acme/shop", default_branch="main", installation_id=3)
OTHER = Repository(id=RepositoryId(43), full_name="acme/other", default_branch="master")
HEADS = {"main": Sha("a" * 40), "fix/cart": Sha("b" * 40), "master": Sha("c" * 40)}
PULLS = (7, 9, 11)
FORKED, FORK = 11, RepositoryId(99)
"""The pull request that comes from a fork."""
STANDINGS = {
    "octavia": Standing(permission="write", github_id=77),
    "reader": Standing(permission="read", github_id=78),
}
"""What people may do in either repository."""
PROCESS_TYPES = {"web": "python server.py", "worker": "python worker.py"}


class KnownRepositories:
    """GitHub as far as the API asks it: two repositories, their branches and pull requests."""

    async def repository(self, full_name: str) -> Repository:
        for known in (SHOP, OTHER):
            if known.full_name == full_name:
                return known
        raise Refused(f"Couldn't access that repo: {full_name}")

    async def resolve(self, repository: Repository, ref: str) -> Sha:
        for branch, sha in HEADS.items():
            if ref == branch or sha.startswith(ref):
                return sha
        raise Refused(f"Couldn't find {ref} in {repository.full_name}: it is neither a branch nor a commit.")

    async def branch(self, repository: Repository, name: str) -> Sha:
        if name not in HEADS:
            raise Refused(f"Couldn't find the branch {name} in {repository.full_name}.", code="not_found")
        return HEADS[name]

    async def pull_request(self, repository: Repository, number: int) -> PullRequest:
        if number not in PULLS:
            raise Refused(f"Couldn't find pull request #{number} in {repository.full_name}.", code="not_found")
        return pull_request(
            number=number,
            head_sha=HEADS["fix/cart"],
            head_ref="fix/cart",
            head_repository_id=FORK if number == FORKED else repository.id,
            base_repository_id=repository.id,
        )

    async def difference(self, repository: Repository, base: Sha, head: Sha) -> Difference:
        if {base, head} - set(HEADS.values()):
            message = f"GitHub does not show how {base[:7]} and {head[:7]} of {repository.full_name} differ: Not Found"
            raise Refused(message, code="not_found")
        commit = NewCommit(sha=head, title="Add a cart", author="Octavia", written_at=None)
        return Difference(ahead_by=int(base != head), behind_by=0, commits=(commit,) if base != head else ())

    async def standing(self, repository: Repository, login: str) -> Standing:
        known = STANDINGS if repository in (SHOP, OTHER) else {}
        return known.get(login, Standing(permission="none"))


FOLLOWED: list[str] = []
"""The apps whose silent logs are followed now, once for each follower."""


async def app_logs(app_id: str, lines: int, follow: bool, process: str) -> AsyncGenerator[str, None]:
    if process == "silent":
        FOLLOWED.append(app_id)
        try:
            await asyncio.Event().wait()
        finally:
            FOLLOWED.remove(app_id)
    with NamedTemporaryFile("w") as log:
        for number, name in enumerate(("web.1", "web.1", "web.10", "webhook.1")):
            log.write(f"2026-11-24T09:30:0{number}+00:00 app[{name}]: line {number} of [web.2]\n")
        log.flush()
        async for line in log_lines(Path(log.name), follow=False, lines=lines, process=process):
            yield line


@dataclass(kw_only=True)
class Server:
    """A running API with everything behind it."""

    url: str
    token: str
    db: Database
    vault: Vault
    enactor: Enactor
    inbox: Inbox
    session: aiohttp.ClientSession
    identity: Identity
    routes: Sequence[web.AbstractRoute]
    described: OpenAPI

    async def call(
        self, method: str, path: str, body: Any = None, *, expect: int | None = None, **headers: str
    ) -> tuple[Any, Any]:
        """Call the API; returns (JSON or text, response)."""
        raw_body = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        data = None if raw_body is None else io.BytesIO(raw_body)
        sent = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.request(method, self.url + path, data=data, headers=sent) as response:
            raw = await response.text()
            check(
                self.described,
                method,
                path,
                status=response.status,
                headers=response.headers,
                content_type=response.content_type,
                body=raw.encode(),
            )
            if expect is not None:
                assert response.status == expect, f"{method} {path}: {response.status} {raw}"
            is_json = response.content_type.endswith("json") and raw
            return (json.loads(raw) if is_json else raw), response

    async def get(self, path: str, **headers: str) -> Any:
        return (await self.call("GET", path, **headers))[0]

    async def app(self, name: str) -> Any:
        return (await self.call("POST", "/apps", {"name": name}, expect=201))[0]

    async def pipeline(self, name: str = "shop", *, connected: bool = True, **stages: str) -> Any:
        """Make a pipeline with one app for each stage."""
        made, _ = await self.call("POST", "/pipelines", {"name": name}, expect=201)
        if connected:
            await self.call("POST", f"/pipelines/{made['id']}/repository", {"repository": "acme/shop"}, expect=201)
        for stage, app in stages.items():
            await self.app(app)
            await self.call(
                "POST", "/pipeline-couplings", {"app": app, "pipeline": made["id"], "stage": stage}, expect=201
            )
        return made

    async def work(self, *, fail: str = "", output: str = "-----> done\n", release_phase: bool = False) -> None:
        """Do what a worker records for every open request: build, release, finish."""
        now = self.db.now()
        types = PROCESS_TYPES | ({"release": "python migrate.py"} if release_phase else {})

        def record(conn: Any) -> None:
            query = request_rows.select().where(request_rows.c.state.in_(("queued", "running")))
            for row in conn.execute(query.order_by(request_rows.c.created_at)).mappings().all():
                app = apps.get(conn, row["app_id"])
                assert app is not None
                _work_one(conn, app, dict(row), types=types, fail=fail, output=output, now=now)
                _note_review(conn, app, now)

        await self.db.write(record)


def _note_review(conn: Any, app: App, now: Any) -> None:
    """What became of a review app with the work that was just done; one that is live stays so."""
    review = reviews.of_app(conn, app.id) if app.is_review else None
    if review is not None and review.state in {ReviewState.CREATING, ReviewState.FAILED}:
        query = request_rows.select().where(request_rows.c.app_id == app.id).order_by(request_rows.c.seq.desc())
        newest = conn.execute(query).mappings().first()
        ended = ReviewState.LIVE if newest["state"] == RequestState.SUCCEEDED else ReviewState.FAILED
        reviews.update(conn, review=review, now=now, state=ended)


def _log(conn: Any, text: str, now: Any, log_id: str = "") -> str:
    log_id = log_id or logs.open_log(conn, now)
    conn.execute(log_chunks.insert().values(log_id=log_id, seq=1, at=now, text=text))
    conn.execute(log_streams.update().where(log_streams.c.log_id == log_id).values(closed=True))
    return log_id


def _slug(conn: Any, sha: str, types: dict[str, str], now: Any) -> Slug:
    return builds.add_slug(
        conn,
        trust=Trust.OWN,
        build_key=f"key-{sha}",
        sha256=sha,
        size=1000,
        process_types=types,
        stack="host-debian",
        locked=True,
        now=now,
    )


def _work_one(
    conn: Any, app: App, row: dict[str, Any], *, types: dict[str, str], fail: str, output: str, now: Any
) -> None:
    work = json.loads(row["work"])
    current = releases.get(conn, app.current_release_id) if app.current_release_id else None
    slug_id, commit = (current.slug_id, current.commit) if current else (None, None)
    description = row["reason"]
    if fail == "work":
        requests.finish(conn, row["id"], state=RequestState.FAILED, outcome="web.1 did not come up", now=now)
        return
    match row["kind"]:
        case "Deploy" | "DeployArchive":
            commit = row["sha"] or "d" * 40
            build = builds.create(
                conn,
                app_id=app.id,
                request_id=row["id"],
                repository_id=42,
                sha=commit,
                log_id=_log(conn, output, now),
                now=now,
            )
            slug_id = None if fail == "build" else _slug(conn, commit, types, now).id
            builds.finish(
                conn, build_id=build.id, state=BuildState.FAILED if fail == "build" else BuildState.SUCCEEDED, slug_id=slug_id,
                error="no Procfile" if fail == "build" else "", reused=False, build_key=f"key-{commit}", now=now,
            )  # fmt: skip
            if work.get("pushed_to") and fail != "build":
                pushes.built(conn, app_id=app.id, branch=work["pushed_to"], sha=commit, now=now)
            description = f"Deploy {commit[:8]}"
        case "ReleaseSlug":
            slug_id, commit = work["slug_id"], work["commit"]
        case "Rollback":
            former = releases.get(conn, work["release_id"])
            assert former is not None
            slug_id, commit = former.slug_id, former.commit
        case "Scale":
            apps.update(conn, app=app, now=now, formation={**app.formation, **work["formation"]})
            requests.finish(conn, row["id"], state=RequestState.SUCCEEDED, outcome="", now=now)
            return
        case "Restart" | "Destroy":
            requests.finish(conn, row["id"], state=RequestState.SUCCEEDED, outcome="", now=now)
            return
    if fail == "build":
        requests.finish(conn, row["id"], state=RequestState.FAILED, outcome="no Procfile", now=now)
        return
    _release(conn, app, row, slug_id=slug_id, commit=commit, description=description, fail=fail, now=now)


def _release(
    conn: Any,
    app: App,
    row: dict[str, Any],
    *,
    slug_id: str | None,
    commit: str | None,
    description: str,
    fail: str,
    now: Any,
) -> Release:
    release = releases.create(
        conn, app_id=app.id, request_id=row["id"], slug_id=slug_id, commit=commit, repository_id=42, description=description,
        actor=row["actor"], log_id=logs.open_log(conn, now), now=now,
    )  # fmt: skip
    _log(conn, "migrating\n", now, release.log_id)
    releases.fix(
        conn, release_id=release.id, slug_id=slug_id, commit=commit, repository_id=42, sealed_config=b"", now=now
    )
    error = "release command exited with 1" if fail == "release" else ""
    release = releases.finish(
        conn,
        release_id=release.id,
        state=ReleaseState.FAILED if error else ReleaseState.SUCCEEDED,
        error=error,
        now=now,
    )
    if not error:
        app = apps.get(conn, app.id) or app
        apps.update(conn, app=app, now=now, current_release_id=release.id, released_at=now)
    target = conn.execute(promotion_targets.select().where(promotion_targets.c.request_id == row["id"])).first()
    if target is not None:
        state = TargetState.FAILED if error else TargetState.SUCCEEDED
        promotions.finish_target(conn, target_id=target.id, state=state, error=error, now=now)
    requests.finish(
        conn, row["id"], state=RequestState.FAILED if error else RequestState.SUCCEEDED, outcome=error, now=now
    )
    return release


@asynccontextmanager
async def serving(
    database: Database, vault: Vault, directory: Path, *, github: GitHubSim | None = None, **changes: Any
) -> AsyncIterator[Server]:
    """Serve the API on a free port of the loopback. Nobody answers at its Redis: rings are lost, as they may be.

    With `github` it is that one that is asked; `changes` are settings.
    """
    settings = Settings(
        **{"data": directory, "redis_url": f"unix://{directory}/no-redis.sock", "github_webhook_secret": "secret"}
        | ({} if github is None else {"github_url": github.url, "github_api_url": github.api_url})
        | changes
    )

    def prepare(conn: Any) -> str:
        apps.ensure_space(conn, name="common", driver="process", now=database.now())
        user_id = users.ensure_embedded_user(conn, now=database.now())
        token, secret = tokens.create(conn, user_id=user_id, description="test", now=database.now())
        # In use already: noting that later would be a statement that tests count or not, as it comes.
        tokens.used(conn, token.id, database.now())
        return secret

    token = await database.write(prepare)
    queue = Queue(settings.redis)
    enactor = Enactor(db=database, vault=vault, queue=queue)
    inbox = await Inbox.open(database.url)
    speaking = new_session()
    transport = Transport(session=speaking, api_url=settings.github_api_url)
    identity = Identity(settings=settings, transport=transport, db=database, vault=vault)
    await identity.refresh()
    client = GitHub(transport=transport, credentials=identity)
    context = WebContext(
        settings=settings,
        db=database,
        vault=vault,
        identity=identity,
        enactor=enactor,
        lookup=GitHubLookup(github=client, looks=Looks(github=client, now=database.now))
        if github
        else KnownRepositories(),
        inbox=inbox,
        queue=queue,
        app_logs=app_logs,
        attachments=Attachments(redis_url=settings.redis, queue=queue, seconds=settings.lease_seconds),
    )
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        public_url = settings.public_url or f"http://127.0.0.1:{port}"
        context = replace(context, settings=replace(settings, port=port, public_url=public_url))
        runner = build_runner(context)
        await runner.setup()
        await web.SockSite(runner, listening).start()
        async with aiohttp.ClientSession() as session:
            yield Server(
                url=f"http://127.0.0.1:{port}",
                token=token,
                db=database,
                vault=vault,
                enactor=enactor,
                inbox=inbox,
                session=session,
                identity=identity,
                routes=list(runner.app.router.routes()),
                described=description(json.loads(runner.app[DOCUMENT])),
            )
        await runner.cleanup()
    await speaking.close()
    await inbox.close()
    await queue.close()
