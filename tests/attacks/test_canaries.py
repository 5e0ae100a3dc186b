"""A whole walk by programs that print all they are told, and then a search for every secret in every place there is."""

import asyncio
import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import zstandard

from tests.attacks.canaries import Recorder, Search, Watch, in_database, in_files, in_redis, is_of_runner
from tests.github_contract.fixtures import held_to_contract
from tests.waiting import until
from tests.walk.acting import promoted
from tests.walk.samples import PYTHON, page, quick
from tests.walk.stage import STEP_SECONDS, Pipeline, Stage, staged

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(os.geteuid() != 0, reason="code of forks runs at isolation level full only, as root"),
]

TELLS = r"""
import base64, json, os, sys, time
from urllib.parse import quote, quote_plus

def tell(*texts):
    for text in texts:
        print(text, flush=True)

step = sys.argv[1]
secrets = {name: value for name, value in os.environ.items() if name.startswith("CANARY") or name == "MADE"}
print("everything is told of", step)
for value in secrets.values():
    raw = value.encode()
    tell(value, repr(value), json.dumps(value), json.dumps(value, ensure_ascii=False), quote(value), quote_plus(value))
    tell(quote(value, safe=""), raw.hex(), raw.hex().upper(), base64.encodebytes(raw).decode())
    for before in (b"", b"a", b"ab", b"user:"):
        tell(base64.b64encode(before + raw + b":x").decode(), base64.urlsafe_b64encode(before + raw).decode())
    print(value[: len(value) // 2], end="", flush=True)
    time.sleep(0.1)
    print(value[len(value) // 2 :], flush=True)
tell("x" * 70_000 + " ".join(secrets.values()) + "x" * 70_000, os.environ, json.dumps(dict(os.environ)))
print("the end", " ".join(secrets.values()), " ".join(map(json.dumps, secrets.values())))
sys.exit(json.load(open("codes.json"))[step])
"""
PACKAGE = {"name": "telling", "version": "1.0.0", "private": True, "scripts": {"heroku-postbuild": f"{PYTHON} tells.py build"}}  # fmt: skip
MANIFEST = {
    "env": {"MADE": {"generator": "secret"}},
    "scripts": {name: f"{PYTHON} tells.py {name}" for name in ("postdeploy", "pr-predestroy")},
}
STEPS = ("build", "release", "postdeploy", "pr-predestroy")
OWNERS = ("staging", "production", "review", "forks")
CONFIG = {owner: f"c4n4ry{number}7f3e9a51c2d84b06" for number, owner in enumerate(OWNERS)}
FOR_BUILDS = {owner: f"bu1ld{number}5d0c41e7b93a8f2e" for number, owner in enumerate(OWNERS)}
KEEPERS = frozenset({"api.token", "ready.json", "webhook.secret", "secret.keys", "key.pem"})
"""What exists to keep a secret, and is readable by its owner alone."""
TOLD = frozenset({*(f"config of {owner}" for owner in OWNERS), *(f"config for builds of {owner}" for owner in OWNERS)})
"""What the programs of apps know, and tell."""


def telling(text: str, **codes: int) -> dict[str, str]:
    files = quick(text, app_json=MANIFEST)
    procfile = files["Procfile"] + f"release: {PYTHON} tells.py release\n"
    ends = json.dumps(dict.fromkeys(STEPS, 0) | codes)
    return {**files, "Procfile": procfile, "tells.py": TELLS, "codes.json": ends, "package.json": json.dumps(PACKAGE)}


def config_of(owner: str) -> dict[str, str]:
    """Values with all that an encoding changes, and one of several lines."""
    core, built = CONFIG[owner], FOR_BUILDS[owner]
    return {
        "CANARY": f'{core} "q" /p+&=%ü\\{core}',
        "CANARY_LINES": f"-- {core} 1\n-- {core} 2 & 'x'\n",
        "CANARY_LONG": f"{core}/" * 9,
        "CANARY_BUILD": f"{built}?\n{built}/ü",
    }


@dataclass(kw_only=True)
class Walked:
    """An installation after the walk, with everything that there is to look at."""

    stage: Stage
    pipeline: Pipeline
    search: Search
    recorder: Recorder
    watch: Watch
    said: dict[str, str] = field(default_factory=dict)

    def files(self) -> dict[Path, set[str]]:
        """Where secrets are; the interpreters are not looked at, nor is the simulated GitHub with its App's key."""
        return in_files(self.search, self.stage.data.parent, without=("runtimes", "github"))

    def is_kept_in(self, path: Path) -> frozenset[str]:
        """What may be in a file."""
        if path.name in KEEPERS:
            return frozenset(self.search.forms)
        return TOLD if is_of_runner(path, self.stage.data.parent) else frozenset()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def walked(runtimes: Path, octokit: Path) -> AsyncIterator[Walked]:
    recorder, watch = Recorder(), Watch()
    async with staged(runtimes, github=partial(held_to_contract, before=[recorder.record])) as stage:
        watch.start()
        try:
            pipeline, made = await _walk(stage)
            said = await _asked(stage, pipeline)
        finally:
            watch.stop()
        search = Search.of([*made, *_secrets(stage)])
        yield Walked(stage=stage, pipeline=pipeline, search=search, recorder=recorder, watch=watch, said=said)


async def _walk(stage: Stage) -> tuple[Pipeline, list[tuple[str, str]]]:
    """Own and foreign pull requests, staging, production, a GitHub that fails, a build and a release that do.

    Returns the secrets that were made on the way, too.
    """
    pipeline = await _prepared(stage)
    github, repo = stage.github, pipeline.repo
    for kind, pattern in (("error", "access_tokens"), ("html", "/pulls/"), ("secondary_limit", "POST .*/check-runs")):
        github.chaos.answer(kind, pattern=pattern, status=500, retry_after=1)
    await github.push(repo, "topic", page("reviewed"))
    own = await github.open_pull(repo, "topic")
    fork = await github.fork(repo, "stranger")
    await github.push(fork, "theirs", page("from afar"), by="stranger")
    theirs = await github.open_pull(repo, "theirs", head_repo=fork, by="stranger")
    await stage.says(pipeline.staging, "first")
    await stage.check_is(pipeline, theirs.head_sha, "neutral")
    await stage.cli("reviewapps:approve", str(theirs.number), "-p", pipeline.name, "--sha", theirs.head_sha)
    made = [
        (f"config of {owner}", await _made(stage, await stage.review_is(pipeline, pull.number, "live")))
        for owner, pull in (("forks", theirs), ("review", own))
    ]
    await stage.check_is(pipeline, own.head_sha, "success")
    await promoted(stage, pipeline.id, pipeline.staging)
    await stage.says(pipeline.production, "first")
    for step in ("build", "release"):
        sha = await github.push(repo, "topic", telling(f"fails in {step}", **{step: 1}))
        check = await stage.check_is(pipeline, sha, "failure")
        assert "the end" in str(check["output"]), check
    github.close_pull(repo, own.number)
    await until(lambda: _is_gone(stage, pipeline, own.number), seconds=STEP_SECONDS, what="the review app is gone")
    async with stage.http.post(
        github.webhook_url, json={}, headers={"X-Hub-Signature-256": "sha256=" + "0" * 64}
    ) as bad:
        assert bad.status in {400, 401}
    session = await stage.api("POST", f"/apps/{pipeline.staging}/log-sessions", {"lines": 5})
    async with stage.http.get(session["logplex_url"]) as answer:
        assert answer.status == 200
    return pipeline, [*made, ("key of a log", session["logplex_url"].rpartition("/")[2])]


async def _made(stage: Stage, review: Any) -> str:
    """What was generated for a review app because its app.json asks for it."""
    return str((await stage.api("GET", f"/apps/{review['app']['name']}/config-vars"))["MADE"])


async def _is_gone(stage: Stage, pipeline: Pipeline, number: int) -> bool:
    found = await stage.review(pipeline, number)
    return found is None or found["state"] == "destroyed"


async def _prepared(stage: Stage) -> Pipeline:
    pipeline = await stage.pipeline("told", files=telling("first"))
    for place, owner in (
        (f"/apps/{pipeline.staging}/config-vars", "staging"), (f"/apps/{pipeline.production}/config-vars", "production"),
        (f"/pipelines/{pipeline.id}/stage/review/config-vars", "review"), (f"/pipelines/{pipeline.id}/forks/config-vars", "forks"),
    ):  # fmt: skip
        await stage.api("PATCH", place, config_of(owner))
    await stage.cli("config:build", "CANARY_BUILD", "-p", pipeline.name)
    stage.github.add_collaborator(pipeline.repo, "grace", "write")
    await stage.api("PATCH", f"/apps/{pipeline.staging}/github", {"auto_deploy": True, "branch": "master"})
    return pipeline


async def _asked(stage: Stage, pipeline: Pipeline) -> dict[str, str]:
    """What the command line says to who asks for no secret."""
    delivery = (await stage.api("GET", "/deliveries"))[0]["id"]
    staging, of = ("-a", pipeline.staging), ("-p", pipeline.name)
    commands: list[tuple[str, ...]] = [
        ("apps",), ("apps:info", *staging), ("pipelines",), ("pipelines:info", pipeline.name), ("releases", *staging),
        ("releases:output", *staging), ("reviewapps", *of), ("ps", *staging),
        ("why", pipeline.staging), ("deliveries",), ("deliveries", delivery), ("logs", *staging), ("config:build", *of),
        ("pipelines:settings", *of),
    ]  # fmt: skip
    said = {" ".join(words): await stage.cli_says(*words) for words in commands}
    return {**said, "doctor": await stage.cli_ends("doctor")}


def _secrets(stage: Stage) -> list[tuple[str, str]]:
    """By name. Of tokens a part in the middle: they may have been cut."""
    found = [(f"config of {owner}", core) for owner, core in CONFIG.items()]
    found += [(f"config for builds of {owner}", core) for owner, core in FOR_BUILDS.items()]
    tokens = list(stage.github.keys._issued)
    assert len(tokens) > 5
    found += [("GitHub token", token.split("_", 2)[2][10:60]) for token in tokens]
    lines = stage.github.private_key_pem.splitlines()
    found += [("key of the App", line) for line in lines[1:-2]]
    found += [("webhook secret", stage.github.webhook_secret), ("API token", stage.token.removeprefix("towpath-"))]
    found += [("JWT of the App", "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9")]
    keys = re.findall(r"[A-Za-z0-9+/=_-]{32,}", (stage.data / "secret.keys").read_text())
    return [*found, *(("key of the installation", key) for key in keys)]


# After the walk -------------------------------------------------------------------------------------


async def test_after_all_of_it_no_secret_is_in_a_file_but_where_it_is_kept(walked: Walked) -> None:
    found = walked.files()
    assert {str(path): left for path, hits in found.items() if (left := hits - walked.is_kept_in(path))} == {}
    open_to_others = [path for path in found if path.stat().st_mode & 0o077]
    assert open_to_others == []


async def test_after_all_of_it_no_secret_is_in_a_row_of_the_database(walked: Walked) -> None:
    assert in_database(walked.search, walked.stage.data / "database/towpath.db") == []


async def test_after_all_of_it_no_secret_is_in_redis(walked: Walked) -> None:
    redis = walked.stage.redis()
    try:
        assert await in_redis(walked.search, redis) == []
    finally:
        await redis.aclose()


async def test_no_secret_was_among_the_words_of_a_process(walked: Walked) -> None:
    assert [each for each in walked.watch.holders(walked.search) if each.where == "command line"] == []


async def test_secrets_were_in_the_environment_only_of_those_that_they_are_for(walked: Walked) -> None:
    stage = walked.stage
    assert stage.process is not None
    takers = {stage.process.pid, stage.pid("web")}
    worker = Path(f"/proc/{stage.pid('worker')}").stat().st_uid
    found = [each for each in walked.watch.holders(walked.search) if each.where == "environment"]
    gits = [each for each in found if each.program.startswith("git") and each.uid == worker]
    assert {each.secret for each in gits} == {"GitHub token"}, "no git was seen: nobody looked often enough"
    # Even numbers from there on are the users of apps and builds, each with one of its own.
    apps = [each for each in found if each.secret in TOLD and each.uid >= 700_000 and each.uid % 2 == 0]
    assert {each.secret for each in apps} == TOLD
    web = [each for each in found if each.secret == "webhook secret" and each.pid in takers]
    assert [each for each in found if each not in [*gits, *apps, *web]] == []


async def test_no_process_of_an_app_had_the_config_of_another(walked: Walked) -> None:
    """It had that of one owner: of its stage, of the review apps, or of forks."""
    owners: dict[int, set[str]] = {}
    for each in walked.watch.holders(walked.search):
        if each.secret in TOLD:
            owners.setdefault(each.pid, set()).add(each.secret.rpartition(" ")[2])
    assert set().union(*owners.values()) == set(OWNERS)
    assert [several for several in owners.values() if len(several) > 1] == []


async def test_github_was_told_no_secret(walked: Walked) -> None:
    asked = walked.recorder.asked
    assert [line for each in asked for line in walked.search.at(each.partition(b"\n")[0], each)] == []
    for kind in (b"/check-runs", b"/deployments", b"/comments"):
        assert any(kind in each.partition(b"\n")[0] for each in asked), kind


async def test_the_command_line_says_no_secret_unasked(walked: Walked) -> None:
    said = {words: walked.search(text.encode()) for words, text in walked.said.items()}
    assert {words: hits for words, hits in said.items() if hits} == {}


async def test_all_of_it_was_really_told_and_taken_out(walked: Walked) -> None:
    """Else the search would prove nothing: each secret of an app was printed, and its log says where."""
    printed = [hits for path, hits in walked.files().items() if path.name == "out"]
    of_what_is_gone = {"config of review", "config for builds of review"}
    assert set().union(*printed) >= TOLD - of_what_is_gone
    rows = await walked.stage.rows("SELECT text FROM log_chunks ORDER BY log_id, seq")
    text = "".join(text for (text,) in rows)
    for step in STEPS:
        assert f"everything is told of {step}" in text
    assert text.count("[redacted]") > 200
    told = str(walked.stage.github.reported(walked.pipeline.repo)["check_runs"])
    assert "the end [redacted]" in told


# Each place is looked at ----------------------------------------------------------------------------

PLANTED = "pl4nt3d/c2d84b06+7f3e9a51"
PLANT = Search.of([("planted", PLANTED)])
ENCODED = subprocess.run(["base64"], input=f"a{PLANTED}b".encode(), capture_output=True, check=True).stdout


def _file(place: str, content: bytes) -> Callable[[Walked], Any]:
    def plant(walked: Walked) -> dict[Path, set[str]]:
        path = walked.stage.data / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        try:
            return in_files(PLANT, walked.stage.data.parent, without=("runtimes", "github"))
        finally:
            path.unlink()

    return plant


def _committed(walked: Walked) -> dict[Path, set[str]]:
    mirror = next(path.parent for path in (walked.stage.data / "work/mirrors").glob("*/objects"))
    subprocess.run(
        ["git", "-C", mirror, "hash-object", "-w", "--stdin"], input=ENCODED, capture_output=True, check=True
    )
    return in_files(PLANT, walked.stage.data.parent, without=("runtimes", "github"))


def _rows(walked: Walked) -> list[str]:
    path = walked.stage.data.parent / "planted.db"
    with closing(sqlite3.connect(path)) as conn:
        conn.execute("CREATE TABLE kept (a INTEGER, body BLOB)")
        conn.execute("INSERT INTO kept VALUES (1, ?)", (zstandard.compress(b"x" * 99 + ENCODED),))
        conn.commit()
    try:
        return in_database(PLANT, path)
    finally:
        path.unlink()


async def _redis(kind: str, walked: Walked) -> list[str]:
    redis = walked.stage.redis()
    text = b"x" * 999 + ENCODED + b"x" * 999
    try:
        match kind:
            case "string":
                await redis.set("planted", text)
            case "list":
                await redis.lpush("planted", text)
            case "hash":
                await redis.hset("planted", "field", text)
            case _:
                await redis.zadd("planted", {text: 1})
        return await in_redis(PLANT, redis)
    finally:
        await redis.delete("planted")
        await redis.aclose()


async def _process(where: str, walked: Walked) -> list[Any]:
    word = f"x{PLANTED}x" if where == "command line" else "x"
    env = {"X": PLANTED} if where == "environment" else {}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-Ic", "input()", word, env=env, stdin=asyncio.subprocess.PIPE
    )
    watch = Watch()
    try:
        watch.look()
        return [each for each in watch.holders(PLANT) if each.where == where and each.pid == process.pid]
    finally:
        await process.communicate(b"\n")


async def _github(walked: Walked) -> list[str]:
    with walked.stage.github.expected_violations():
        await walked.stage.github.ask("POST", "/repos/acme/none/statuses/x", json={"x": ENCODED.decode()})
    return [line for each in walked.recorder.asked for line in PLANT.at("GitHub", each)]


async def _answer(walked: Walked) -> list[str]:
    """Whoever asks for config vars is told them."""
    return walked.search.at(
        "the answer", (await walked.stage.cli_says("config", "-a", walked.pipeline.staging)).encode()
    )


PLACES: dict[str, Callable[[Walked], Any]] = {
    "the log of a service": _file("log/worker.log", ENCODED),
    "a file that begins with a dot": _file("work/.x/.kept", PLANTED.encode()),
    "the settings of a mirror": _file("work/mirrors/0.git/config", PLANTED.encode().hex().encode()),
    "an object of a mirror": _committed,
    "a packed slug": _file("work/slugs/own/x.tar.zst", zstandard.compress(b"x" * 9999 + ENCODED)),
    "a compressed row": _rows,
    **{f"a {kind} of Redis": partial(_redis, kind) for kind in ("string", "list", "hash", "set that is sorted")},
    **{f"the {where} of a process": partial(_process, where) for where in ("command line", "environment")},
    "a request to GitHub": _github,
    "an answer of the command line": _answer,
}


@pytest.mark.parametrize("place", list(PLACES), ids=list(PLACES))
async def test_a_secret_is_found_in(place: str, walked: Walked) -> None:
    found = PLACES[place](walked)
    assert await found if asyncio.iscoroutine(found) else found
