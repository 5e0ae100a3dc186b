"""A secret that builds need is nowhere that an operator's tools, other users or a stolen file would show it.

All other secrets, and all other places: `tests/attacks/test_canaries.py`.
"""

import asyncio

import pytest

from tests.attacks.canaries import Search, in_files, is_of_runner
from tests.walk.stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")

CANARY = "canary-7f3e9a51c2d84b06"


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
    outputs = "".join(text for (text,) in await stage.rows("SELECT text FROM log_chunks ORDER BY log_id, seq"))
    assert secret not in built + outputs + str(stage.github.reported(pipeline.repo))
    root, search = stage.data.parent, Search.of([("config var", secret)])
    found = await asyncio.to_thread(in_files, search, root, without=("runtimes", "github"))
    assert [path for path in found if not is_of_runner(path, root)] == []
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
