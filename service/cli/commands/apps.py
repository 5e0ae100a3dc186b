"""`towpath apps`: make, list, look at and destroy apps; the names they are served under, and the git remote of one."""

from typing import Annotated

import typer

from service.cli import asking, output, target
from service.cli.client import Client, path
from service.cli.commands import git
from service.cli.errors import ExitCode, Stop
from service.cli.options import AppOption, ConfirmOption, JsonOption, RemoteOption, TeamOption
from service.cli.profile import Profile, load

NameArgument = Annotated[str | None, typer.Argument(metavar="NAME")]
AppArgument = Annotated[str | None, typer.Argument(metavar="APP")]


def listing(team: TeamOption = None, json: JsonOption = False) -> None:
    """List the apps that you see, or those of a team."""
    client = Client(profile=load())
    apps = client.everything("/apps" if team is None else path("teams", team, "apps"))
    if json:
        output.show_json(apps)
        return
    if not apps:
        nothing, of = ("There is no app yet.", "") if team is None else (f"{team} has no app yet.", f" -t {team}")
        output.say(f"{nothing} Make one: towpath apps:create NAME{of}")
        return
    output.heading("Apps" if team is None else f"Apps of {team}")
    output.table([[app["name"], app["web_url"], "" if app["state"] == "active" else app["state"]] for app in apps])


def create(
    name: NameArgument = None,
    *,
    team: TeamOption = None,
    space: Annotated[str | None, typer.Option("--space", metavar="SPACE", help="Where it runs.")] = None,
    remote: Annotated[
        str, typer.Option("--remote", "-r", metavar="REMOTE", help="The git remote to make.")
    ] = "towpath",
    no_remote: Annotated[bool, typer.Option("--no-remote", help="Make no git remote.")] = False,
    json: JsonOption = False,
) -> None:
    """Create an app, with a made-up name if none is given."""
    client = Client(profile=load())
    body = {key: value for key, value in {"name": name, "space": space, "team": team}.items() if value is not None}
    with output.action(f"Creating {name or 'app'}", quiet=json) as doing:
        app = client.call("POST", "/apps", body).data
        doing.end = "done" if name else f"done, {app['name']}"
    if not no_remote and target.git("rev-parse", "--git-dir") is not None:
        added = target.git("remote", "add", remote, app["git_url"]) is not None
        output.note(f"Git remote {remote} {'added' if added else 'is there already: it stays as it is'}")
        git.know_token(client.profile, app["git_url"])
    if json:
        output.show_json(app)
    else:
        output.say(f"{app['web_url']} | {app['git_url']}")


def _named(profile: Profile, name: str | None, app: str | None, remote: str | None) -> str:
    """The app that is meant: some say its name, some say -a."""
    if name is not None and app is not None and name != app:
        raise Stop(f"Which app, {name} or {app}? Name one.", code=ExitCode.USAGE)
    return target.app_name(profile, name if app is None else app, remote)


def info(
    name: AppArgument = None, *, app: AppOption = None, remote: RemoteOption = None, json: JsonOption = False
) -> None:
    """Show an app."""
    profile = load()
    client = Client(profile=profile)
    found = client.get(path("apps", _named(profile, name, app, remote)))
    coupling = client.get_if_any(path("apps", found["id"], "pipeline-couplings"))
    if json:
        output.show_json({"app": found, "pipeline_coupling": coupling})
        return
    output.heading(found["name"])
    pipeline = f"{coupling['pipeline']['name']} - {coupling['stage']}" if coupling else ""
    rows = {
        "Web URL": found["web_url"],
        "Git URL": found["git_url"],
        "Owner": found["owner"]["email"],
        "Pipeline": pipeline,
        "Space": found["region"]["name"],
        "Stack": found["stack"]["name"],
        "Slug size": f"{found['slug_size'] / 1e6:.1f} MB" if found["slug_size"] else "",
        "Released": output.ago(found["released_at"]),
        "State": found["state"],
        "Maintenance": "on" if found["maintenance"] else "",
        "Promotable": "" if found["promotable"] else "no: its builds hold its own config vars",
        "Auto deploy": _auto_deploy(client, found["id"]),
        "Locked": _locked(client, found["id"]),
    }
    output.table([[f"{key}:", value] for key, value in rows.items() if value])


def _auto_deploy(client: Client, app: str) -> str:
    """Which branch is deployed by itself, and what keeps it from being deployed now."""
    found = client.get_if_any(path("apps", app, "github"))
    if found is None or not found["auto_deploy"]:
        return ""
    after = " after CI" if found["wait_for_ci"] else ""
    reason = f" ({found['reason']})" if found["reason"] else ""
    return f"{found['branch']}{after}{reason}"


def _locked(client: Client, app: str) -> str:
    """By whom, until when and why new code is kept out."""
    locks = client.everything(path("apps", app, "deploy-locks"))
    return "; ".join(it["message"].removeprefix("locked ") for it in locks)


def rename(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The new name.")],
    *,
    app: AppOption = None,
    remote: RemoteOption = None,
    json: JsonOption = False,
) -> None:
    """Give an app another name, and with it another address."""
    client = Client(profile=load())
    former = target.app_named(client, app, remote)
    with output.action(f"Renaming {former['name']} to {name}", quiet=json):
        renamed = client.call("PATCH", path("apps", former["id"]), {"name": name}).data
    for each, of in target.remotes(client.profile).items():
        if of == former["name"] and target.git("remote", "set-url", each, renamed["git_url"]) is not None:
            output.note(f"Git remote {each} set to {renamed['git_url']}")
    if json:
        output.show_json(renamed)
    else:
        output.say(f"{renamed['web_url']} | {renamed['git_url']}")


def destroy(
    name: AppArgument = None,
    *,
    app: AppOption = None,
    remote: RemoteOption = None,
    confirm: ConfirmOption = None,
    json: JsonOption = False,
) -> None:
    """Destroy an app with its releases and config."""
    profile = load()
    client = Client(profile=profile)
    found = client.get(path("apps", _named(profile, name, app, remote)))
    asking.confirm(found["name"], confirm, danger=f"This destroys {found['name']} for good.")
    with output.action(f"Destroying {found['name']}", quiet=json):
        destroyed = client.call("DELETE", path("apps", found["id"])).data
    if json:
        output.show_json(destroyed)


def domains(app: AppOption = None, remote: RemoteOption = None, json: JsonOption = False) -> None:
    """List the names under which an app is served.

    That is its own. For another, let a proxy in front of Towpath pass visitors on with the app's own as Host header.
    """
    client = Client(profile=load())
    found = client.everything(path("apps", target.app_name(client.profile, app, remote), "domains"))
    if json:
        output.show_json(found)
        return
    for it in found:
        output.heading(f"{it['app']['name']} Domain")
        output.say(it["hostname"])


def git_remote(
    app: AppOption = None,
    remote: Annotated[str, typer.Option("--remote", "-r", metavar="REMOTE", help="The remote's name.")] = "towpath",
    json: JsonOption = False,
) -> None:
    """Make an app's git remote: commands in this clone know it, git can push to it."""
    if not app:
        raise Stop("Which app? Say -a APP.", code=ExitCode.USAGE)
    if target.git("rev-parse", "--git-dir") is None:
        raise Stop("This is not a git repository. Run it in a clone of the app's code.")
    profile = load()
    url = Client(profile=profile).get(path("apps", app))["git_url"]
    known = remote in (target.git("remote") or "").split()
    if target.git("remote", "set-url" if known else "add", remote, url) is None:
        raise Stop(f"git refused to make the remote {remote}.")
    git.know_token(profile, url)
    if json:
        output.show_json({"remote": remote, "url": url})
    else:
        output.say(f"set git remote {remote} to {url}")


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.command("apps")(listing)
    cli.command("apps:create")(create)
    cli.command("apps:info")(info)
    cli.command("apps:rename")(rename)
    cli.command("apps:destroy")(destroy)
    cli.command("domains")(domains)
    cli.command("git:remote")(git_remote)
