"""`towpath pipelines`: apps of one source, by stage."""

from typing import Annotated

import typer

from service.cli import asking, leaving, output, target
from service.cli.client import Client, Json, path
from service.cli.commands import locks
from service.cli.errors import ExitCode, Stop
from service.cli.options import AppOption, ConfirmOption, JsonOption, RemoteOption, StageOption, TeamOption
from service.cli.profile import load

_ORDER = ("development", "review", "staging", "production")
_FILTERED = 1000
"""How many apps one call can ask for by their ids."""
PipelineArgument = Annotated[str, typer.Argument(metavar="PIPELINE")]


def listing(json: JsonOption = False) -> None:
    """List pipelines."""
    pipelines = Client(profile=load()).everything("/pipelines")
    if json:
        output.show_json(pipelines)
        return
    if not pipelines:
        output.say("There is no pipeline yet. Make one: towpath pipelines:create NAME -a APP -s STAGE")
        return
    output.heading("Pipelines")
    for pipeline in pipelines:
        output.say(pipeline["name"])


def _couple(client: Client, app: Json, pipeline: Json, stage: str, *, quiet: bool = False) -> Json:
    with output.action(f"Adding {app['name']} to {pipeline['name']} pipeline as {stage}", quiet=quiet):
        body = {"app": app["id"], "pipeline": pipeline["id"], "stage": stage}
        coupling: Json = client.call("POST", "/pipeline-couplings", body).data
    return coupling


def create(
    name: Annotated[str | None, typer.Argument(metavar="NAME")] = None,
    *,
    app: AppOption = None,
    remote: RemoteOption = None,
    stage: StageOption = None,
    team: TeamOption = None,
    json: JsonOption = False,
) -> None:
    """Create a pipeline with an app in it, yours or a team's."""
    profile = load()
    client = Client(profile=profile)
    found = client.get(path("apps", target.app_name(profile, app, remote)))
    base, guessed = asking.split_name(found["name"])
    name = name or asking.ask("Pipeline name", default=base, option="NAME")
    stage = asking.check_stage(
        stage or asking.ask(f"Stage of {found['name']}", default=guessed, option="--stage STAGE")
    )
    _refuse_coupled(client, found)
    owner = {} if team is None else {"owner": {"type": "team", "id": client.get(path("teams", team))["id"]}}
    with output.action(f"Creating {name} pipeline", quiet=json):
        pipeline = client.call("POST", "/pipelines", {"name": name} | owner).data
    coupling = _couple(client, found, pipeline, stage, quiet=json)
    if json:
        output.show_json({"pipeline": pipeline, "pipeline_coupling": coupling})


def _refuse_coupled(client: Client, app: Json) -> None:
    """Refuse before anything is made: else an empty pipeline would be left behind."""
    coupling = client.get_if_any(path("apps", app["id"], "pipeline-couplings"))
    if coupling is not None:
        raise Stop(f"App {app['name']} is already in pipeline {coupling['pipeline']['name']} ({coupling['stage']}).")


def _done(client: Client, text: str, method: str, where: str, body: Json | None = None, *, json: bool) -> None:
    """Make one change and say so, or show what it gave to a program."""
    with output.action(text, quiet=json):
        changed = client.call(method, where, body).data
    if json:
        output.show_json(changed)


def add(
    pipeline: PipelineArgument,
    *,
    app: AppOption = None,
    remote: RemoteOption = None,
    stage: StageOption = None,
    json: JsonOption = False,
) -> None:
    """Add an app to a pipeline."""
    profile = load()
    client = Client(profile=profile)
    name = target.app_name(profile, app, remote)
    found, into = client.get(path("apps", name)), client.get(path("pipelines", pipeline))
    _, guessed = asking.split_name(found["name"])
    stage = asking.check_stage(
        stage or asking.ask(f"Stage of {found['name']}", default=guessed, option="--stage STAGE")
    )
    coupling = _couple(client, found, into, stage, quiet=json)
    if json:
        output.show_json(coupling)


def update(
    app: AppOption = None, remote: RemoteOption = None, stage: StageOption = None, json: JsonOption = False
) -> None:
    """Move an app to another stage of its pipeline."""
    if stage is None:
        raise Stop("Which stage? Say --stage STAGE.", code=ExitCode.USAGE)
    profile = load()
    client = Client(profile=profile)
    name = target.app_name(profile, app, remote)
    coupling = target.coupling_of(client, name)
    _done(
        client,
        f"Changing {coupling['app']['name']} to {stage}",
        "PATCH",
        path("pipeline-couplings", coupling["id"]),
        {"stage": asking.check_stage(stage)},
        json=json,
    )


def remove(app: AppOption = None, remote: RemoteOption = None, json: JsonOption = False) -> None:
    """Take an app out of its pipeline; the app lives on."""
    profile = load()
    client = Client(profile=profile)
    coupling = target.coupling_of(client, target.app_name(profile, app, remote))
    where = path("pipeline-couplings", coupling["id"])
    _done(client, f"Removing {coupling['app']['name']}", "DELETE", where, json=json)


def rename(
    pipeline: PipelineArgument, name: Annotated[str, typer.Argument(metavar="NAME")], json: JsonOption = False
) -> None:
    """Rename a pipeline."""
    client = Client(profile=load())
    found = client.get(path("pipelines", pipeline))
    where = path("pipelines", found["id"])
    _done(client, f"Renaming {found['name']} pipeline to {name}", "PATCH", where, {"name": name}, json=json)


def destroy(pipeline: PipelineArgument, confirm: ConfirmOption = None, json: JsonOption = False) -> None:
    """Destroy a pipeline; its apps live on."""
    client = Client(profile=load())
    found = client.get(path("pipelines", pipeline))
    asking.confirm(found["name"], confirm, danger=f"This destroys pipeline {found['name']}; its apps live on.")
    _done(client, f"Destroying {found['name']} pipeline", "DELETE", path("pipelines", found["id"]), json=json)


def info(
    pipeline: Annotated[str | None, typer.Argument(metavar="PIPELINE")] = None,
    *,
    app: AppOption = None,
    remote: RemoteOption = None,
    json: JsonOption = False,
) -> None:
    """Show a pipeline's apps by stage, what they run, and its repository."""
    client = Client(profile=load())
    found = target.pipeline(client, pipeline, app=app, remote=remote)
    couplings = client.everything(path("pipelines", found["id"], "pipeline-couplings"))
    couplings.sort(key=lambda it: (_ORDER.index(it["stage"]) if it["stage"] in _ORDER else 9, it["app"]["name"]))
    releases = {it["app"]["id"]: it for it in client.everything(path("pipelines", found["id"], "latest-releases"))}
    source = client.get_if_any(path("pipelines", found["id"], "repository"))
    held = client.everything(path("pipelines", found["id"], "deploy-locks"))
    if json:
        apps = [it["app"] | {"stage": it["stage"], "release": releases.get(it["app"]["id"])} for it in couplings]
        output.show_json(
            {"pipeline": found, "repository": source and source["repository"], "apps": apps, "locks": held}
        )
        return
    output.heading(found["name"])
    output.say(f"repository: {_repository(source)}\n")
    rows = []
    for it in couplings:
        release = releases.get(it["app"]["id"])
        runs = f"v{release['version']} {(release['commit'] or '')[:7]}" if release else ""
        rows.append([it["app"]["name"], it["stage"], runs, release["status"] if release else ""])
    if rows:
        output.table(rows, header=["app name", "stage", "release", "status"])
    else:
        output.say(f"No app is in it. Add one: towpath pipelines:add {found['name']} -a APP -s STAGE")
    locks.show(held)
    _note_owners(client, found, [it["app"] for it in couplings])


def _note_owners(client: Client, pipeline: Json, apps: list[Json]) -> None:
    """Mark the apps that belong to others than the pipeline, and say how that is changed."""
    if not apps or pipeline["owner"] is None:
        return
    owners: dict[str, Json] = {}
    for part in (apps[start : start + _FILTERED] for start in range(0, len(apps), _FILTERED)):
        body, everything = {"in": {"id": [app["id"] for app in part]}}, {"Range": f"id ..; max={_FILTERED}"}
        seen = client.call("POST", "/filters/apps", body, headers=everything).data
        owners |= {app["id"]: app["owner"] for app in seen}
    others = [app for app in apps if owners.get(app["id"], {}).get("id") != pipeline["owner"]["id"]]
    for app in others:
        owner = owners[app["id"]]["email"] if app["id"] in owners else "somebody else"
        output.note(f" !    {app['name']} belongs to {owner or 'nobody'}, not to the owner of the pipeline.")
    if others:
        output.note("      All apps in a pipeline should have its owner: towpath apps:transfer OWNER -a APP")


def _repository(source: Json | None) -> str:
    """What the pipeline is connected to, with what is the matter with it."""
    if source is None:
        return "not connected"
    archived = "archived: GitHub takes no reports" if source["repository"]["archived"] else ""
    check = source.get("check") or ""
    apart = "" if check in {"", f"towpath/{source['pipeline']['name']}"} else f"its checks are called {check}"
    problem = "; ".join(filter(None, (archived, source["repository"]["problem"], apart)))
    return f"{source['full_name']} ({problem})" if problem else str(source["full_name"])


def connect(
    pipeline: Annotated[str | None, typer.Argument(metavar="PIPELINE")] = None,
    *,
    repository: Annotated[
        str | None, typer.Option("--repository", "--repo", "-r", metavar="ORG/REPO", help="The GitHub repository.")
    ] = None,
    confirm: ConfirmOption = None,
    json: JsonOption = False,
) -> None:
    """Connect a pipeline to a GitHub repository. To leave another one for it takes the pipeline's name again."""
    if repository is None:
        raise Stop("Which repository? Say -r ORG/REPO.", code=ExitCode.USAGE)
    if repository.count("/") != 1 or not all(repository.split("/")):
        raise Stop(f"{repository!r} is not of the form ORG/REPO.", code=ExitCode.USAGE)
    client = Client(profile=load())
    found = target.pipeline(client, pipeline)
    where = path("pipelines", found["id"], "repository")
    former = client.get_if_any(where)
    left = former["full_name"] if former and former["full_name"].casefold() != repository.casefold() else ""
    connected = leaving.change(
        client,
        "POST",
        where,
        {"repository": repository},
        pipeline=found,
        given=confirm,
        doing=f"Linking {found['name']} to {repository}",
        quiet=json,
        ends=f"ends automatic deploys from {left}" if left else "",
    )
    if json:
        output.show_json(connected)


def open_(
    pipeline: Annotated[str | None, typer.Argument(metavar="PIPELINE")] = None,
    *,
    app: AppOption = None,
    remote: RemoteOption = None,
    json: JsonOption = False,
) -> None:
    """Open the dashboard of a pipeline in the browser."""
    import webbrowser  # only needed here

    client = Client(profile=load())
    found = target.pipeline(client, pipeline, app=app, remote=remote)
    url = f"{client.profile.url.rstrip('/')}/dashboard/pipelines/{found['id']}"
    if json:
        output.show_json({"url": url})
        return
    with output.action(f"Opening {url}") as doing:
        if not webbrowser.open(url):
            doing.end = "no browser was found here, open it yourself"


def disconnect(
    pipeline: Annotated[str | None, typer.Argument(metavar="PIPELINE")] = None,
    *,
    confirm: ConfirmOption = None,
    json: JsonOption = False,
) -> None:
    """Take a pipeline's repository away from it; automatic deploys end."""
    client = Client(profile=load())
    found = target.pipeline(client, pipeline)
    danger = f"This ends automatic deploys of all apps of {found['name']}."
    asking.confirm(found["name"], confirm, danger=danger)
    where = path("pipelines", found["id"], "repository")
    _done(client, f"Unlinking {found['name']} from its repository", "DELETE", where, json=json)


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.command("pipelines")(listing)
    cli.command("pipelines:create")(create)
    cli.command("pipelines:add")(add)
    cli.command("pipelines:update")(update)
    cli.command("pipelines:remove")(remove)
    cli.command("pipelines:rename")(rename)
    cli.command("pipelines:destroy")(destroy)
    cli.command("pipelines:info")(info)
    cli.command("pipelines:open")(open_)
    cli.command("pipelines:connect")(connect)
    cli.command("pipelines:disconnect")(disconnect)
