"""Hostile strings at every door of a running installation: refused with a clear error or taken literally, never executed."""

import asyncio
import contextlib
import hashlib
import hmac
import json
import os
import pickle
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio

from service.queue import DOORS as DOORS_OF_QUEUES
from service.queue import serialize
from tests.attacks.words import WORDS, with_canary
from tests.waiting import until
from tests.walk.acting import app_id, deployed
from tests.walk.samples import PYTHON, quick
from tests.walk.stage import Pipeline, Stage, staged

pytestmark = pytest.mark.asyncio(loop_scope="module")

SHOW = """
import json, os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        files = [os.fsencode(name).decode("latin-1") for name in sorted(os.listdir("files"))]
        told = {"env": {name: value for name, value in os.environ.items() if name.startswith("WORD_")}, "files": files}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(told).encode())

    def log_message(self, *args):
        pass

ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """An installation, an app in it that shows what it is given, and the words with their canary."""

    stage: Stage
    pipeline: Pipeline
    app_id: str
    words: tuple[str, ...]
    canary: Path

    async def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """Any answer with its status; `body` is sent with every escape that JSON has, half characters too."""
        data = None if body is None else json.dumps(body)
        url = f"http://127.0.0.1:{self.stage.port}{path}"
        own = {"Authorization": f"Bearer {self.stage.token}", "Content-Type": "application/json"}
        async with self.stage.http.request(method, url, data=data, headers={**own, **(headers or {})}) as answer:
            text = await answer.text()
            return answer.status, text


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def doors(runtimes: Path, octokit: Path) -> AsyncIterator[Doors]:
    """At the end no canary may be anywhere."""
    async with staged(runtimes) as stage:
        place = stage.data.parent / "canaries"
        place.mkdir()
        place.chmod(0o777)  # whoever executes a word may write here
        canary = place / "towpath-canary"
        words = tuple(with_canary(word, str(canary)) for word in WORDS)
        pipeline = await stage.pipeline("doors", files=quick("doors"), automatic=False)
        staging = await app_id(stage, pipeline.staging)
        yield Doors(stage=stage, pipeline=pipeline, app_id=staging, words=words, canary=canary)
        assert list(place.iterdir()) == []
        assert [path for path in stage.data.rglob("towpath-canary") if "work" not in path.parts] == []


DOORS: dict[str, tuple[str, str, str]] = {
    "the name of an app": ("POST", "/apps", '{"name": WORD}'),
    "the new name of an app": ("PATCH", "/apps/STAGING", '{"name": WORD}'),
    "the space of an app": ("POST", "/apps", '{"name": "in-space", "space": WORD}'),
    "the name of a pipeline": ("POST", "/pipelines", '{"name": WORD}'),
    "the name of a space": ("POST", "/spaces", '{"name": WORD, "driver": "process"}'),
    "the app of a coupling": ("POST", "/pipeline-couplings", '{"app": WORD, "pipeline": "PIPELINE", "stage": "production"}'),
    "the repository of a pipeline": ("POST", "/pipelines/PIPELINE/repository", '{"repository": WORD}'),
    "the base name of review apps": ("PATCH", "/pipelines/PIPELINE/review-app-config", '{"base_name": WORD}'),
    "the branch of a review app": ("POST", "/review-apps", '{"pipeline": "PIPELINE", "branch": WORD}'),
    "the commit to deploy": ("POST", "/apps/STAGING/builds", '{"source_blob": {"version": WORD}}'),
    "the address of a source": ("POST", "/apps/STAGING/builds", '{"source_blob": {"url": WORD}}'),
    "the branch that is deployed": ("PATCH", "/apps/STAGING/github", '{"branch": WORD}'),
    "the name of a config var": ("PATCH", "/apps/UNUSED/config-vars", '{WORD: "x"}'),
    "a process type": ("PATCH", "/apps/STAGING/formation", '{"updates": [{"type": WORD, "quantity": 0}]}'),
    "the release of a rollback": ("POST", "/apps/STAGING/releases", '{"release": WORD}'),
    "the slug of a release": ("POST", "/apps/STAGING/releases", '{"slug": WORD}'),
    "the source of a promotion": ("POST", "/pipeline-promotions", '{"pipeline": {"id": "PIPELINE"}, "source": {"app": WORD}}'),
    "the delivery of a replay": ("POST", "/delivery-replays", '{"deliveries": [WORD]}'),
    "the time of a replay": ("POST", "/delivery-replays", '{"since": WORD}'),
    "the process of a log": ("POST", "/apps/STAGING/log-sessions", '{"dyno": WORD}'),
    "the type of a one-off dyno": ("POST", "/apps/STAGING/dynos", '{"command": "true", "type": WORD}'),
    "a variable of a one-off dyno": ("POST", "/apps/STAGING/dynos", '{"command": "true", "env": {WORD: "x"}}'),
    "the address of a webhook": ("POST", "/apps/UNUSED/webhooks", '{"include": ["api:build"], "level": "notify", "url": WORD}'),
    "what a webhook is authorized by": ("PATCH", "/apps/UNUSED/webhooks/WEBHOOK", '{"authorization": WORD}'),
    "the reason of a lock": ("POST", "/apps/UNUSED/deploy-locks", '{"reason": WORD}'),
    "whom an app is offered": ("POST", "/account/app-transfers", '{"app": "STAGING", "recipient": WORD}'),
    "the name of a team": ("POST", "/teams", '{"name": WORD}'),
    "the name of an app setup": ("POST", "/app-setups", '{"app": {"name": WORD}, "pipeline_coupling": {"pipeline": "PIPELINE", "stage": "staging"}}'),
    "a range": ("GET", "/apps", "Range"),
    "a credential": ("GET", "/apps", "Authorization"),
}  # fmt: skip


@pytest.mark.parametrize("door", list(DOORS), ids=list(DOORS))
async def test_no_word_is_more_than_a_word_as(door: str, doors: Doors) -> None:
    method, path, body = DOORS[door]
    if "UNUSED" in path:
        await doors.ask("POST", "/apps", {"name": "unused"})
    names = {"STAGING": doors.app_id, "PIPELINE": doors.pipeline.id, "UNUSED": "unused"}
    if "WEBHOOK" in path:
        to = {"include": ["api:build"], "level": "notify", "url": "https://hooks.example.com/"}
        _, made = await doors.ask("POST", "/apps/unused/webhooks", to)
        names["WEBHOOK"] = json.loads(made)["id"]
    for name, real in names.items():
        path, body = path.replace(name, real), body.replace(f'"{name}"', json.dumps(real))
    for word in doors.words:
        if body.startswith("{"):
            status, text = await doors.ask(method, path, json.loads(body.replace("WORD", json.dumps(word))))
        elif word.isprintable() and word.isascii():
            status, text = await doors.ask(method, path, headers={body: word})
        else:
            continue
        assert status < 500, (word, text)
        if status >= 400:
            assert json.loads(text)["message"], word
    assert not doors.canary.exists()


PLACES = (
    "/apps/{}", "/apps/{}/config-vars", "/apps/{}/releases", "/pipelines/{}", "/pipelines/{}/review-apps", "/deliveries/{}",
    "/builds/{}/output", "/releases/{}/output", "/log-sessions/{}", "/requests/{}", "/review-apps/{}", "/users/{}", "/teams/{}",
    "/pipelines/PIPELINE/stage/{}/config-vars", "/pipelines/PIPELINE/repo/branches/{}", "/apps/APP/releases/{}",
    "/apps/APP/slugs/{}", "/apps/APP/formation/{}", "/apps/APP/builds/{}", "/why?app={}", "/why?sha={}", "/{}",
)  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
async def test_no_word_leads_out_of_its_place_in_an_address(place: str, doors: Doors) -> None:
    # Options mean nothing in an address.
    place = place.replace("PIPELINE", doors.pipeline.id).replace("APP", doors.app_id)
    for word in (word for word in doors.words if not word.startswith("--")):
        where = place.format(quote(word.encode(errors="surrogatepass"), safe=""))
        status, text = await doors.ask("GET", where)
        assert status < 500, (word, text)
        assert "root:x:0" not in text
        assert "SQLite format" not in text


async def test_no_word_is_more_than_a_host_to_the_router(doors: Doors) -> None:
    for word in doors.words:
        reader, writer = await asyncio.open_connection("127.0.0.1", doors.stage.port)
        host = f"{word}.localhost:{doors.stage.port}".encode(errors="surrogatepass")
        writer.write(b"GET / HTTP/1.1\r\nConnection: close\r\nHost: " + host + b"\r\n\r\n")
        head, _, text = (await asyncio.wait_for(reader.read(), 10)).partition(b"\r\n\r\n")
        writer.close()
        assert int(head.split()[1]) in {400, 404}, word
        assert b"<script>alert(1)" not in text
        assert b"\nX-Evil" not in head


def _refs(words: tuple[str, ...]) -> list[str]:
    """Those that git itself takes for the name of a branch."""
    found = []
    for word in words:
        ref = f"refs/heads/{word}"
        with contextlib.suppress(ValueError, UnicodeError):
            if subprocess.run(["git", "check-ref-format", ref], check=False).returncode == 0 and len(word) < 200:
                found.append(word)
    return [ref for ref in found if not any(other.startswith(f"{ref}/") for other in found)]


async def test_no_branch_is_more_than_its_name(doors: Doors) -> None:
    """Real branches with these names: their webhooks, deploys by name, and a review app of one."""
    stage = doors.stage
    pipeline = await stage.pipeline("branches", files=quick("branches"), automatic=False)
    refs = _refs(doors.words)
    assert len(refs) > 25, refs
    for ref in refs:
        await stage.github.push(pipeline.repo, ref, {"note": ref})
    worst = next(ref for ref in refs if ref.startswith("--upload-pack"))
    await deployed(stage, pipeline.staging, worst)
    pull = await stage.github.open_pull(pipeline.repo, worst, title="$(touch x) <script>alert(1)</script>")
    made = await stage.api("POST", "/review-apps", {"pipeline": pipeline.id, "pr_number": pull.number})
    await stage.review_is(pipeline, pull.number, "live")
    assert (await stage.api("GET", f"/review-apps/{made['id']}"))["branch"] == worst
    stage.github.close_pull(pipeline.repo, pull.number)
    await until(lambda: _closed(stage, pipeline, pull.number), seconds=20, what="the review app is gone")
    assert not doors.canary.exists()


async def _closed(stage: Stage, pipeline: Pipeline, number: int) -> bool:
    found = await stage.review(pipeline, number)
    return found is None or found["state"] == "destroyed"


def _hook(doors: Doors, event: str, word: str) -> dict[str, Any]:
    repo = doors.pipeline.repo
    repository = {"id": repo.id, "full_name": repo.full_name, "name": word, "clone_url": word, "owner": {"login": word}}
    branch = {"ref": word, "sha": "a" * 40, "label": word, "repo": repository}
    pull = {
        "number": 7,
        "title": word,
        "state": "open",
        "head": branch,
        "base": branch,
        "merged": False,
        "updated_at": word,
    }
    return {
        "push": {"ref": f"refs/heads/{word}", "before": "a" * 40, "after": word, "repository": repository, "head_commit": {"id": word}},
        "pull_request": {"action": "opened", "number": 7, "pull_request": pull, "repository": repository},
        "status": {"sha": word, "context": word, "state": word, "target_url": word, "repository": repository, "branches": [{"name": word}]},
        "check_run": {"action": word, "check_run": {"head_sha": word, "name": word, "external_id": word}, "repository": repository},
    }[event]  # fmt: skip


@pytest.mark.parametrize("event", ["push", "pull_request", "status", "check_run"])
async def test_no_word_in_a_webhook_is_more_than_a_word_as_a(event: str, doors: Doors) -> None:
    stage = doors.stage
    for word in doors.words:
        body = json.dumps(_hook(doors, event, word)).encode()
        signature = hmac.new(stage.github.webhook_secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {
            "X-GitHub-Event": event, "X-GitHub-Delivery": str(uuid.uuid4()), "X-Hub-Signature-256": f"sha256={signature}",
            "Content-Type": "application/json",
        }  # fmt: skip
        async with stage.http.post(stage.github.webhook_url, data=body, headers=headers) as answer:
            assert answer.status in {202, 422, 400}, (word, await answer.text())

    async def all_are_read() -> bool:
        return await stage.rows("SELECT count(*) FROM deliveries WHERE processed_at IS NULL") == [(0,)]

    await until(all_are_read, seconds=30, what="all deliveries have a verdict")
    assert not doors.canary.exists()


def _printable(word: str) -> bool:
    return "\0" not in word and not any(0xD800 <= ord(each) < 0xE000 for each in word)


def _git_takes(name: str) -> bool:
    """As one file's name, and the simulated GitHub's own way to commit it."""
    odd = name in {".", "..", "git~1", ".g\u200cit"} or ".git" in name.lower() or name.startswith('"')
    return not odd and not set(name) & set("/\n\r") and len(name.encode()) < 255


async def test_every_word_arrives_as_it_is_in_the_environment_of_an_app_and_as_the_name_of_its_file(
    doors: Doors,
) -> None:
    stage = doors.stage
    # A name holds no slash: here a canary would be beside whoever made it.
    names = [with_canary(word, "towpath-canary") for word in WORDS]
    names = [name for name in names if _printable(name) and _git_takes(name)]
    assert len(names) > 60
    files = {f"files/{name}": "x" for name in names}
    pipeline = await stage.pipeline(
        "literal", files={**files, "server.py": SHOW, "Procfile": f"web: {PYTHON} -I server.py\n"}, automatic=False
    )
    env = {f"WORD_{number}": word for number, word in enumerate(doors.words) if _printable(word)}
    await stage.api("PATCH", f"/apps/{pipeline.staging}/config-vars", env)
    await deployed(stage, pipeline.staging)
    told = json.loads(await stage.page(pipeline.staging))
    assert told["env"] == env
    assert {name.encode("latin-1").decode() for name in told["files"]} == set(names)
    beside = [Path(f"/proc/{stage.pid(part)}/cwd/towpath-canary") for part in ("runner", "worker", "web", "router")]
    assert not any(path.exists() for path in [*beside, Path("towpath-canary")])


CLI = """
import contextlib, io, json, sys
from service.cli.main import run
for number, args in enumerate(json.load(sys.stdin)):
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try: code = run(args)
        except BaseException as error: code = repr(error)
    print(json.dumps([args, code, out.getvalue()[-500:]]))
"""


async def test_no_argument_of_the_command_line_is_more_than_a_word(doors: Doors) -> None:
    app, pipeline = doors.pipeline.staging, doors.pipeline.name
    shapes: list[list[str]] = [
        ["apps:info", "-a", "WORD"], ["releases:info", "WORD", "-a", app], ["config:get", "WORD", "-a", app],
        ["pipelines:info", "WORD"], ["apps:create", "WORD", "--no-remote"], ["config:set", "WORD", "-a", app],
        ["ps:scale", "WORD", "-a", app], ["pipelines:create", "WORD", "-a", app, "-s", "WORD"], ["why", "WORD"],
        ["reviewapps:create", "WORD", "-p", pipeline],
    ]  # fmt: skip
    words = [word for word in doors.words if _printable(word)]
    calls = [
        [word if each == "WORD" else each for each in shapes[number % len(shapes)]] for number, word in enumerate(words)
    ]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CLI),
        env={**os.environ, "TOWPATH_DATA": str(doors.stage.data), "NO_COLOR": "1"},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=doors.canary.parent,
    )  # fmt: skip
    out, _ = await process.communicate(json.dumps(calls).encode())
    results = [json.loads(line) for line in out.decode().splitlines() if line]
    assert len(results) == len(calls)
    for args, code, text in results:
        assert isinstance(code, int), (args, code)
        assert "Traceback" not in text, args
        assert code == 0 or text.strip(), args
    assert list(doors.canary.parent.iterdir()) == []


class Evil:
    """What a pickle of it does when it is read."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.canary}",)


async def test_a_pickle_does_what_it_says_where_it_is_read(tmp_path: Path) -> None:
    """Else the next would prove nothing."""
    pickle.loads(pickle.dumps(Evil(tmp_path / "canary")))  # noqa: S301
    assert (tmp_path / "canary").exists()


@pytest.mark.parametrize("queue", DOORS_OF_QUEUES)
async def test_who_writes_into_redis_executes_nothing(queue: str, doors: Doors) -> None:
    stage = doors.stage
    payloads = [
        pickle.dumps(Evil(doors.canary)), pickle.dumps({"t": 1, "f": "react", "a": (Evil(doors.canary),), "k": {}, "et": 0}),
        b"", b"\xc1", b"\x80", serialize({"t": 1, "f": "os.system", "a": [f"touch {doors.canary}"], "k": {}, "et": 0}),
        serialize({"t": 1, "f": "work", "a": [f"$(touch {doors.canary})"], "k": {}, "et": 0}), serialize([1]),
    ]  # fmt: skip
    redis = stage.redis()
    try:
        for number, payload in enumerate(payloads):
            await redis.set(f"arq:job:evil-{number}", payload)
            await redis.zadd(queue, {f"evil-{number}": 1})
        await redis.lpush(DOORS_OF_QUEUES[queue], "1")

        async def all_taken() -> bool:
            return await redis.zcard(queue) == 0

        await until(all_taken, seconds=20, what="every job was taken")
    finally:
        await redis.aclose()
    await stage.says((await _serving(stage)).staging, "after the attack")
    assert not doors.canary.exists()


async def _serving(stage: Stage) -> Pipeline:
    """An app that was deployed just now: the workers work."""
    pipeline = await stage.pipeline("after", files=quick("after the attack"), automatic=False)
    await deployed(stage, pipeline.staging)
    return pipeline
