"""An app as people have them, with Django, gunicorn and numpy: its dependencies beside pip, its promotion beside its boot."""

from pathlib import Path
from statistics import median

from tests.bench import peers
from tests.bench.processes import seconds
from tests.bench.pushes import at_rest, boot, promote
from tests.bench.rows import Row, against, alone
from tests.walk.samples import quick
from tests.walk.stage import Pipeline, Stage

ROUNDS = 5
LOCK = """\
Django==5.2.8
asgiref==3.10.0
gunicorn==23.0.0
numpy==2.2.6
packaging=={packaging}
pillow==11.3.0
sqlparse==0.5.3
"""
PACKAGING = ("24.2", "25.0")
SERVER = """
import numpy, os
from PIL import Image
from django.conf import settings

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="of a benchmark")

from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path

TEXT = {text!r}
urlpatterns = [path("", lambda request: HttpResponse(TEXT))]
application = get_wsgi_application()
"""
SERVE = ("gunicorn", "--bind", "0.0.0.0:$PORT", "server:application")


def files(text: str, packaging: str = PACKAGING[0]) -> dict[str, str]:
    """The repository."""
    lock = LOCK.format(packaging=packaging)
    return {"server.py": SERVER.format(text=text), "requirements.txt": lock, "Procfile": f"web: {' '.join(SERVE)}\n"}


async def real_app(stage: Stage, place: Path) -> list[Row]:
    """Rows about a real app; theirs and ours take turns."""
    (place / "server.py").write_text(files("boot")["server.py"])
    plain = await stage.pipeline("plain", files=quick("first"), automatic=False)
    real = await stage.pipeline("real", files=files("first"), automatic=False)
    for number, version in enumerate(reversed(PACKAGING)):
        await _build(stage, real, {"requirements.txt": LOCK.format(packaging=version), "note.txt": f"warm {number}"})
    pip = await peers.pip()
    venv = await pip.install(LOCK.format(packaging=PACKAGING[0]), place / "warm")
    builds: dict[str, list[float]] = {"plain": [], "same": [], "changed": []}
    theirs, promotions, boots = [], [], []
    for number in range(ROUNDS):
        text, lock = f"round-{number}", LOCK.format(packaging=PACKAGING[(number + 1) % 2])
        builds["plain"].append(await _build(stage, plain, {"note.txt": text}))
        builds["same"].append(await _build(stage, real, {"server.py": SERVER.format(text=text)}))
        boots.append(await boot(stage, [str(venv / "bin" / SERVE[0]), *SERVE[1:]], place, {"PYTHONPATH": str(place)}))
        promotions.append(await seconds(lambda text=text: promote(stage, real, text)))  # type: ignore[misc]
        await at_rest(stage)
        builds["changed"].append(await _build(stage, real, {"requirements.txt": lock}))
        theirs.append(await seconds(lambda number=number, lock=lock: pip.install(lock, place / f"pip-{number}")))  # type: ignore[misc]
    base = median(builds["plain"])
    changed = [each - base for each in builds["changed"]]
    return [
        alone("unchanged lock file: dependency step", [each - base for each in builds["same"]], "s", most=0.5),
        against("changed lock file, warm: dependency step", changed, "s", peer="pip", theirs=theirs, most=0.15),
        against(
            "promote -> new release answers (Django)", promotions, "s", peer="the app's boot", theirs=boots, most=1.2
        ),
        alone("build of an app that needs nothing", builds["plain"], "s"),
    ]


async def _build(stage: Stage, pipeline: Pipeline, changed: dict[str, str]) -> float:
    """Push, deploy by hand and return the seconds that the build took."""
    await stage.github.push(pipeline.repo, "master", changed)
    asked = await stage.api("POST", f"/apps/{pipeline.staging}/builds", {"source_blob": {"version": "master"}})
    await at_rest(stage)
    query = "SELECT updated_at - created_at, state FROM builds WHERE request_id = ?"
    ((microseconds, state),) = await stage.rows(query, asked["id"])
    if state != "succeeded":
        raise RuntimeError(f"the app was not built: {await stage.trail(pipeline.staging)}")
    return float(microseconds) / 1e6
