"""What a command acts on: the app of `-a`, of a git remote, or of the only Towpath remote; and its pipeline."""

import subprocess
from collections.abc import Mapping
from urllib.parse import urlsplit

from service.cli.client import Client, Json, path
from service.cli.errors import ApiError, ExitCode, Stop
from service.cli.profile import Profile


def git(*args: str) -> str | None:
    """What git says, or None when it refuses or is not there."""
    try:
        done = subprocess.run(["git", *args], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None


def same_host(one: str, other: str) -> bool:
    """Whether two hosts with their ports are one."""

    def plain(netloc: str) -> str:
        host, _, port = netloc.rpartition("@")[2].partition(":")
        return f"{'localhost' if host == '127.0.0.1' else host}:{port}"

    return plain(one) == plain(other)


def app_of_url(url: str, profile: Profile) -> str | None:
    """The app a git address belongs to, if it is one of this server."""
    parts = urlsplit(url)
    name = parts.path.strip("/")
    if not same_host(parts.netloc, profile.host) or not name.endswith(".git") or "/" in name:
        return None
    return name.removesuffix(".git")


def remotes(profile: Profile) -> Mapping[str, str]:
    """Apps by the name of their remote."""
    found = {}
    for line in (git("remote", "-v") or "").splitlines():
        remote, _, rest = line.partition("\t")
        app = app_of_url(rest.removesuffix(" (fetch)"), profile) if rest.endswith(" (fetch)") else None
        if app is not None:
            found[remote] = app
    return found


def app_name(profile: Profile, app: str | None, remote: str | None) -> str:
    """The app to act on; stops with how to name it when that is not clear."""
    if app is not None and remote is not None:
        raise Stop("Say either --app or --remote, not both.", code=ExitCode.USAGE)
    if app is not None:
        if not app:
            raise Stop("--app is empty: say -a APP.", code=ExitCode.USAGE)
        return app
    found = remotes(profile)
    if remote is not None:
        if remote not in found:
            known = f" There are: {', '.join(sorted(found))}." if found else ""
            raise Stop(f"There is no git remote {remote} of an app at {profile.url}.{known}", code=ExitCode.USAGE)
        return found[remote]
    match sorted(set(found.values())):
        case [only]:
            return only
        case []:
            raise Stop(
                "Which app? Say -a APP, or run this in a clone with a Towpath remote (towpath git:remote -a APP).",
                code=ExitCode.USAGE,
            )
        case _:
            raise Stop(
                f"Which app? This clone has several remotes of apps: {', '.join(sorted(found))}. Say -r REMOTE.",
                code=ExitCode.USAGE,
            )


def app_named(client: Client, app: str | None, remote: str | None) -> Json:
    """The app to act on, as the server knows it."""
    found: Json = client.get(path("apps", app_name(client.profile, app, remote)))
    return found


def given(word: str | None) -> bool:
    """Whether a word that may be left out is there; an empty one is none left out but a variable that was not set."""
    if word is not None and not word.strip():
        raise Stop("An argument is empty. Leave it out if that is meant.", code=ExitCode.USAGE)
    return word is not None


def release_of(client: Client, app: str, wanted: str) -> Json:
    """The release of an app that is meant: by number (`3`, `v3`), id or `current`; stops when there is none."""
    try:
        found: Json = client.get(path("apps", app, "releases", wanted))
    except ApiError as error:
        if error.id == "not_found" and "release" in error.message:
            raise Stop(f"{app} has no release {wanted}. They are listed by: towpath releases -a {app}") from None
        raise
    return found


def coupling_of(client: Client, app: str) -> Json:
    """Where the app is; stops when it is in no pipeline."""
    try:
        found: Json = client.get(path("apps", app, "pipeline-couplings"))
    except ApiError as error:
        if error.id == "not_found" and "coupling" in error.message:
            raise Stop(f"App {app} is in no pipeline. Add it: towpath pipelines:add PIPELINE -a {app}") from None
        raise
    return found


def pipeline(client: Client, named: str | None, *, app: str | None = None, remote: str | None = None) -> Json:
    """The pipeline that is named, else that of the app, else the only one there is."""
    if named is not None:
        return _read(client, named)
    if app is not None or remote is not None:
        coupling = coupling_of(client, app_name(client.profile, app, remote))
        return _read(client, coupling["pipeline"]["id"])
    match client.everything("/pipelines"):
        case [only]:
            return only
        case []:
            raise Stop("There is no pipeline yet. Make one: towpath pipelines:create NAME -a APP -s STAGE")
        case several:
            names = ", ".join(sorted(each["name"] for each in several))
            raise Stop(f"Which pipeline? There are: {names}. Say -p PIPELINE.", code=ExitCode.USAGE)


def pipeline_instead(client: Client, named: str | None, app: str | None, remote: str | None) -> Json | None:
    """The pipeline that is named in the place of an app; None when it is the app's turn, and a stop at both."""
    if named is None:
        return None
    if app is not None or remote is not None:
        raise Stop("Say either an app or --pipeline, not both.", code=ExitCode.USAGE)
    return pipeline(client, named)


def _read(client: Client, named: str) -> Json:
    found: Json = client.get(path("pipelines", named))
    return found
