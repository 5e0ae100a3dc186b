"""An app as people have them, with Flask, SQLAlchemy and gunicorn: its dependencies beside pip, its promotion beside its boot."""

from dataclasses import dataclass
from pathlib import Path

from tests.bench import peers
from tests.bench.processes import seconds
from tests.bench.pushes import at_rest, boot, promote
from tests.bench.rows import Row, against, alone
from tests.walk.samples import quick
from tests.walk.stage import Pipeline, Stage

ROUNDS = 5
LOCK = """\
blinker==1.9.0
click=={click}
flask==3.1.2
greenlet==3.2.4
gunicorn==23.0.0
itsdangerous==2.2.0
jinja2==3.1.6
markupsafe==3.0.3
packaging==25.0
sqlalchemy==2.0.44
typing-extensions==4.15.0
werkzeug==3.1.3
"""
CLICK = ("8.3.0", "8.2.1")
SERVER = """
import flask
import sqlalchemy.orm

TEXT = {text!r}
application = flask.Flask(__name__)
engine = sqlalchemy.create_engine("sqlite://")


@application.get("/")
def index():
    with engine.connect() as connection:
        return f"{{TEXT}} {{connection.execute(sqlalchemy.text('SELECT 1')).scalar()}}"
"""
SERVE = ("gunicorn", "--bind", "0.0.0.0:$PORT", "server:application")


def files(text: str, click: str = CLICK[0]) -> dict[str, str]:
    """The repository."""
    lock = LOCK.format(click=click)
    return {"server.py": SERVER.format(text=text), "requirements.txt": lock, "Procfile": f"web: {' '.join(SERVE)}\n"}


async def real_app(stage: Stage, place: Path) -> list[Row]:
    """Rows about a real app; theirs and ours take turns."""
    (place / "server.py").write_text(files("boot")["server.py"])
    plain = await stage.pipeline("plain", files=quick("first"), automatic=False)
    real = await stage.pipeline("real", files=files("first"), automatic=False)
    for version in reversed(CLICK):
        await _build(stage, real, {"requirements.txt": LOCK.format(click=version)})  # both are in caches now
    pip = await peers.pip()
    venv = await pip.install(LOCK.format(click=CLICK[0]), place / "warm")
    plain_builds, same, changed, theirs, promotions, boots = [], [], [], [], [], []
    for number in range(ROUNDS):
        text, lock = f"round-{number}", LOCK.format(click=CLICK[(number + 1) % 2])
        plain_builds.append((await _build(stage, plain, {"note.txt": text})).whole)
        same.append((await _build(stage, real, {"server.py": SERVER.format(text=text)})).dependencies)
        boots.append(await boot(stage, [str(venv / "bin" / SERVE[0]), *SERVE[1:]], place, {"PYTHONPATH": str(place)}))
        promotions.append(await seconds(lambda text=text: promote(stage, real, text)))  # type: ignore[misc]
        await at_rest(stage)
        changed.append((await _build(stage, real, {"requirements.txt": lock, "note.txt": text})).dependencies)
        theirs.append(await seconds(lambda number=number, lock=lock: pip.install(lock, place / f"pip-{number}")))  # type: ignore[misc]
    boots_of = "the app's boot"
    return [
        alone("unchanged lock file: dependency step", same, "s", most=0.5),
        against("changed lock file, warm: dependency step", changed, "s", peer="pip", theirs=theirs, most=0.15),
        against("promote -> new release answers (Flask)", promotions, "s", peer=boots_of, theirs=boots, most=1.2),
        alone("build of an app that needs nothing", plain_builds, "s"),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """Seconds that a build took, and those of them from the choice of a buildpack to the last word of it."""

    whole: float
    dependencies: float


async def _build(stage: Stage, pipeline: Pipeline, changed: dict[str, str]) -> Built:
    """Push, deploy by hand and say how long the build took."""
    await stage.github.push(pipeline.repo, "master", changed)
    asked = await stage.api("POST", f"/apps/{pipeline.staging}/builds", {"source_blob": {"version": "master"}})
    await at_rest(stage)
    query = "SELECT updated_at - created_at, state, log_id, reused FROM builds WHERE request_id = ?"
    ((whole, state, log_id, reused),) = await stage.rows(query, asked["id"])
    if state != "succeeded" or reused:
        raise RuntimeError(f"the app was not built: {await stage.trail(pipeline.staging)}")
    lines = await stage.rows("SELECT at, text FROM log_chunks WHERE log_id = ? ORDER BY seq", log_id)
    began = next((at for at, text in lines if "app detected" in text), lines[0][0])
    ended = next(at for at, text in lines if "Discovering" in text)
    return Built(whole=whole / 1e6, dependencies=(ended - began) / 1e6)
