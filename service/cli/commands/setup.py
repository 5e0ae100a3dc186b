"""`towpath pipelines:setup`: a pipeline with a staging and a production app from a repository, in one go.

What is there already is used as it is, so that a setup that was stopped goes on when it is asked for again.
"""

import re
from typing import Annotated

import typer

from service.cli import asking, following, output
from service.cli.client import Client, Json, path
from service.cli.errors import ExitCode, Stop
from service.cli.options import JsonOption, TeamOption, WaitOption
from service.cli.profile import load

_NAME = re.compile(r"[a-z][a-z0-9-]{1,20}[a-z0-9]")
_STALE_DAYS = 5
_QUESTIONS = {
    "auto_deploy": "Deploy the default branch to {staging} automatically?",
    "wait_for_ci": "Wait for CI to pass before that?",
    "review_apps": "Enable review apps?",
    "automatic": "Create a review app for every pull request?",
    "destroy_stale": f"Destroy review apps that are idle for {_STALE_DAYS} days?",
}
_NEEDS = {"wait_for_ci": "auto_deploy", "automatic": "review_apps", "destroy_stale": "review_apps"}


def setup(
    name: Annotated[str | None, typer.Argument(metavar="NAME")] = None,
    repository: Annotated[str | None, typer.Argument(metavar="ORG/REPO")] = None,
    *,
    team: TeamOption = None,
    env: Annotated[
        list[str] | None,
        typer.Option("--env", "-e", metavar="KEY=VALUE", help="A config var of both apps. May be repeated."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: everything on.")] = False,
    wait: WaitOption = True,
    json: JsonOption = False,
) -> None:
    """Create a pipeline with staging and production apps from a repository."""
    variables = asking.split_pairs(env or [])
    client = Client(profile=load())
    name = _name(name or asking.ask("Pipeline name", default="", option="NAME"))
    repository = repository or asking.ask("GitHub repository, as ORG/REPO", default="", option="ORG/REPO")
    if repository.count("/") != 1 or not all(repository.split("/")):
        raise Stop(f"{repository!r} is not of the form ORG/REPO.", code=ExitCode.USAGE)
    staging = f"{name}-staging"
    wanted = _answers(staging, yes=yes)
    pipeline = _pipeline(client, name, team, quiet=json)
    _connect(client, pipeline, repository, quiet=json)
    made = _apps(client, pipeline, {name: "production", staging: "staging"}, variables, quiet=json)
    failed = _deployed(client, made, quiet=json) if wait else None
    with output.action("Configuring pipeline", quiet=json):
        _configure(client, pipeline, staging, wanted)
    if json:
        output.show_json({"pipeline": pipeline, "app_setups": list(made.values())})
    else:
        output.say(f"View your new pipeline by running `towpath pipelines:info {name}`")
    if failed is not None:
        raise failed


def _name(text: str) -> str:
    """A pipeline's name that leaves room for its apps'; in small letters, as blanks become dashes."""
    name = re.sub(r"\s+", "-", text.strip()).lower()
    if not _NAME.fullmatch(name):
        raise Stop(
            f"{text!r} cannot be the pipeline's name: it has 3 to 22 letters, digits and dashes, because -staging is "
            "put behind it.",
            code=ExitCode.USAGE,
        )
    return name


def _answers(staging: str, *, yes: bool) -> dict[str, bool]:
    answers: dict[str, bool] = {}
    for key, question in _QUESTIONS.items():
        asked = answers.get(_NEEDS.get(key, ""), True)
        answers[key] = asked and (yes or asking.confirmed(question.format(staging=staging)))
    return answers


def _pipeline(client: Client, name: str, team: str | None, *, quiet: bool) -> Json:
    found = client.get_if_any(path("pipelines", name))
    with output.action("Creating pipeline", quiet=quiet) as doing:
        if found is not None:
            doing.end = "done, it is there already"
            return found
        owner = {} if team is None else {"owner": {"type": "team", "id": client.get(path("teams", team))["id"]}}
        made: Json = client.call("POST", "/pipelines", {"name": name} | owner).data
        return made


def _connect(client: Client, pipeline: Json, repository: str, *, quiet: bool) -> None:
    where = path("pipelines", pipeline["id"], "repository")
    known = client.get_if_any(where)
    if known is not None and known["full_name"].casefold() != repository.casefold():
        raise Stop(f"Pipeline {pipeline['name']} is connected to {known['full_name']} already, not to {repository}.")
    with output.action("Linking to repo", quiet=quiet):
        if known is None:
            client.call("POST", where, {"repository": repository})


def _apps(
    client: Client, pipeline: Json, stages: dict[str, str], env: dict[str, str], *, quiet: bool
) -> dict[str, Json]:
    """Set up the apps that are not in the pipeline yet; returns their setups by name."""
    inside = client.everything(path("pipelines", pipeline["id"], "pipeline-couplings"))
    there = {it["app"]["name"]: it["stage"] for it in inside}
    made = {}
    for app, stage in stages.items():
        with output.action(f"Creating {stage} app {app}", quiet=quiet) as doing:
            if app in there:
                doing.end = f"done, it is there already ({there[app]})"
                continue
            body = {
                "app": {"name": app},
                "pipeline_coupling": {"pipeline": pipeline["id"], "stage": stage},
                "overrides": {"env": env},
            }
            made[app] = client.call("POST", "/app-setups", body).data
    return made


def _deployed(client: Client, made: dict[str, Json], *, quiet: bool) -> Stop | None:
    """Wait for the first releases; returns what the first one that failed ended with."""
    failed = None
    for app, begun in made.items():
        try:
            with output.action(f"Deploying {app}", quiet=quiet) as doing:
                done = following.follow(client, app, begun["id"], output=False)
                doing.end = f"done, v{done['release']['version']}" if done["release"] else "done"
        except Stop as stop:
            if stop.code is ExitCode.INTERRUPTED:
                raise
            failed = failed or stop
    return failed


def _configure(client: Client, pipeline: Json, staging: str, wanted: dict[str, bool]) -> None:
    if wanted["auto_deploy"]:
        body = {"auto_deploy": True, "wait_for_ci": wanted["wait_for_ci"]}
        client.call("PATCH", path("apps", staging, "github"), body)
    if wanted["review_apps"]:
        where = path("pipelines", pipeline["id"], "review-app-config")
        config = {
            "automatic_review_apps": wanted["automatic"],
            "destroy_stale_apps": wanted["destroy_stale"],
            "stale_days": _STALE_DAYS,
        }
        client.call("POST" if client.get_if_any(where) is None else "PATCH", where, config)


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command("pipelines:setup")(setup)
