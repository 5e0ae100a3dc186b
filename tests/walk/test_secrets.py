"""What is secret is nowhere that an operator's tools, other users or a stolen file would show it."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.walk.samples import page, quick
from tests.walk.stage import Pipeline, Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")

CANARY = "canary-7f3e9a51c2d84b06"


async def test_config_vars_and_tokens_are_nowhere_to_be_read(stage: Stage) -> None:
    pipeline = await stage.pipeline(files=_chatty())
    await stage.api("PATCH", f"/apps/{pipeline.staging}/config-vars", {"CANARY_KEY": CANARY})
    await stage.api("PATCH", f"/pipelines/{pipeline.id}/stage/review/config-vars", {"CANARY_KEY": CANARY})
    await stage.api("PATCH", f"/apps/{pipeline.staging}/github", {"auto_deploy": True, "branch": "master"})
    await stage.says(pipeline.staging, "first")
    await stage.github.push(pipeline.repo, "topic", page("reviewed"))
    pull = await stage.github.open_pull(pipeline.repo, "topic")
    watch = asyncio.create_task(_watch_commands(stage))
    await stage.review_is(pipeline, pull.number, "live")
    await stage.check_is(pipeline, pull.head_sha, "success")
    await stage.cli("config:set", f"OTHER={CANARY}-2", "-a", pipeline.production)
    watch.cancel()
    seen = await asyncio.gather(watch, return_exceptions=True)
    assert isinstance(seen[0], asyncio.CancelledError), seen

    secrets = _secrets(stage)
    found = [*await asyncio.to_thread(_in_files, stage, secrets), *await _in_redis(stage, secrets)]
    assert found == []
    outputs = await _outputs(stage, pipeline)
    assert "the release command says" in outputs
    assert CANARY not in outputs
    assert CANARY not in str(stage.github.reported(pipeline.repo))


async def test_a_django_project_that_needs_a_secret_is_built_when_it_is_named_and_the_secret_stays_one(
    stage: Stage,
) -> None:
    secret = f"django-{CANARY}"
    pipeline = await stage.pipeline("django", files=_django(), automatic=False)
    await stage.api("PATCH", f"/apps/{pipeline.staging}/config-vars", {"SECRET_KEY": secret})
    failed = await stage.cli_fails("deploy", "-a", pipeline.staging, "master")
    assert "towpath config:build" in failed
    await stage.cli("config:build", "SECRET_KEY", "-p", pipeline.name)
    built = await stage.cli("deploy", "-a", pipeline.staging, "master")
    assert "The build sees these config vars: SECRET_KEY" in built
    await stage.says(pipeline.staging, "body { color: navy }", path="/static/page.css")
    assert secret not in built + await _outputs(stage, pipeline) + str(stage.github.reported(pipeline.repo))
    assert await asyncio.to_thread(_in_files, stage, {"config var": secret.encode()}) == []
    await stage.api("PATCH", f"/apps/{pipeline.production}/config-vars", {"SECRET_KEY": "another"})
    await stage.cli("pipelines:promote", "-a", pipeline.staging)
    await stage.says(pipeline.production, "body { color: navy }", path="/static/page.css")


DJANGO_SETTINGS = """
import os

SECRET_KEY = os.environ["SECRET_KEY"]
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "urls"
INSTALLED_APPS = ["django.contrib.staticfiles"]
STATIC_URL = "/static/"
STATIC_ROOT = "collected"
STATICFILES_DIRS = ["assets"]
"""
DJANGO_URLS = """
from django.urls import path
from django.views.static import serve

urlpatterns = [path("static/<path:path>", serve, {"document_root": "collected"})]
"""
DJANGO_MANAGE = """
import os, sys
from django.core.management import execute_from_command_line

os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
execute_from_command_line(sys.argv)
"""


def _django() -> dict[str, str]:
    return {
        "requirements.txt": "django==5.2.19\nasgiref==3.13.0\nsqlparse==0.6.1\n",
        "Procfile": "web: python manage.py runserver --noreload --nostatic 0.0.0.0:$PORT\n",
        "manage.py": DJANGO_MANAGE,
        "settings.py": DJANGO_SETTINGS,
        "urls.py": DJANGO_URLS,
        "assets/page.css": "body { color: navy }\n",
    }


def _chatty() -> dict[str, str]:
    files = quick("first")
    return files | {"Procfile": files["Procfile"] + 'release: echo "the release command says $CANARY_KEY"\n'}


def _secrets(stage: Stage) -> dict[str, bytes]:
    """By name; GitHub's tokens begin alike, so that any of them is found."""
    return {
        "config var": CANARY.encode(),
        "API token": stage.token.encode(),
        "webhook secret": stage.github.webhook_secret.encode(),
        "GitHub token": b"ghs_",
    }


async def _watch_commands(stage: Stage) -> None:
    """Ask again and again, because git and other helpers live for moments only."""
    secrets = _secrets(stage)
    while True:
        for words in await asyncio.to_thread(lambda: list(_command_lines())):
            for name, secret in secrets.items():
                # The person's own command line, by which the config var was set, is theirs.
                assert secret not in words or b"config:set" in words, f"{name} in the command line {words!r}"
        await asyncio.sleep(0)


def _command_lines() -> Iterator[bytes]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                yield (entry / "cmdline").read_bytes()


# What exists to keep a secret, and is readable by its owner alone.
_KEEPERS = frozenset({"api.token", "ready.json", "webhook.secret", "secret.keys"})


def _in_files(stage: Stage, secrets: dict[str, bytes]) -> list[str]:
    """Every file of the installation but the interpreters: logs, database, Redis, mirrors, slugs, the runner's state."""
    found = []
    for path in stage.data.parent.rglob("*"):
        below = path.relative_to(stage.data.parent).parts
        if below[0] in {"github", "key.pem"} or "runtimes" in below or not path.is_file() or path.is_symlink():
            continue
        if path.name in _KEEPERS:
            assert path.stat().st_mode & 0o077 == 0, f"others can read {path}"
            continue
        text = path.read_bytes()
        # The runner must start apps anew without the database, and holds a command's own words until they are
        # redacted into a log: for its own eyes alone.
        runners = path.name == "wanted.json" or (path.name == "out" and path.parent.parent.name == "x")
        private = runners and path.stat().st_mode & 0o077 == 0
        found += [
            f"{name} in {path}"
            for name, secret in secrets.items()
            if secret in text and not (private and name == "config var")
        ]
    return found


async def _in_redis(stage: Stage, secrets: dict[str, bytes]) -> list[str]:
    redis = stage.redis()
    try:
        dump = b"".join([(await redis.dump(key)) or b"" for key in await redis.keys("*")])
    finally:
        await redis.aclose()
    return [f"{name} in Redis" for name, secret in secrets.items() if secret in dump]


async def _outputs(stage: Stage, pipeline: Pipeline) -> str:
    """The output of every build and release."""
    return "".join(text for (text,) in await stage.rows("SELECT text FROM log_chunks ORDER BY log_id, seq"))
