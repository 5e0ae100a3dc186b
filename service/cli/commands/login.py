"""`towpath login` and the profiles it makes: which servers this machine's user works with, and as whom."""

import re
import sys
from typing import Annotated

import typer

from service.cli import asking, logins, output, profile
from service.cli.client import Client
from service.cli.errors import ApiError, ExitCode, Stop
from service.cli.options import JsonOption
from service.cli.profile import DEFAULT, LOCAL, Profile

_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,63}", re.ASCII)
_NO_TOKEN = "That is no token: it holds characters that no token has. Nothing was kept."  # noqa: S105
ServerArgument = Annotated[
    str | None, typer.Argument(metavar="URL", help="The server, such as https://towpath.example.com.")
]


def login(
    server: ServerArgument = None,
    *,
    token_stdin: Annotated[
        bool, typer.Option("--token-stdin", help="Read the token from standard input instead of asking for it.")
    ] = False,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Accept http:// although others on the way can read the token.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Keep a server and your token for it, as a profile.

    The token is checked before it is kept, and is asked for without being shown: it stands in no list of processes
    and in no history. --profile names the profile, for who works with several servers.
    """
    name = _name()
    if server is None and asking.somebody_there():
        server = asking.ask("Server", default="", option="URL")
    url = _url(server or "")
    if profile.is_plain(url):
        _accept_plain(url, insecure=insecure)
    made = Profile(url=url, token=_token(url, from_stdin=token_stdin), plain=True)
    email = _whose(made, quiet=json)
    path = profile.logins_file()
    kept = dict(logins.read(path))
    former = kept.get(name)
    kept[name] = logins.Login(url=url, token=made.token, email=email, plain=profile.is_plain(url))
    logins.write(path, kept)
    if former is not None and former.url != url:
        output.note(f"Profile {name} was {former.url}; for both say --profile NAME with each login.")
    if first := profile.from_environment():
        output.note(f" !    {first}, which goes before profiles: unset that to use this one.")
    if json:
        output.show_json({"profile": name, "url": url, "email": email})
    elif name != DEFAULT:
        output.say(f"Use it with --profile {name}, or TOWPATH_PROFILE={name}.")


def _name() -> str:
    name = profile.wanted() or DEFAULT
    _refuse_local(name)
    if not _NAME.fullmatch(name):
        raise Stop(f"{name!r} cannot be a profile's name: say letters, digits, . _ and -.", code=ExitCode.USAGE)
    return name


def _refuse_local(name: str) -> None:
    if name == LOCAL:
        raise Stop(f"{LOCAL} is the `towpath up` of this machine: it needs no login.", code=ExitCode.USAGE)


def _url(server: str) -> str:
    """The address that is meant: who leaves out how it is spoken means https, but on this machine."""
    url = server.strip().rstrip("/")
    if url and "://" not in url:
        host = url.partition("/")[0].rpartition(":")[0] or url.partition("/")[0]
        url = f"{'http' if profile.is_loopback(host) else 'https'}://{url}"
    if not url:
        raise Stop("Which server? Say its URL, as `towpath login https://towpath.example.com`.", code=ExitCode.USAGE)
    profile.check_url(url, repr(url), "The address", code=ExitCode.USAGE)
    return url


def _accept_plain(url: str, *, insecure: bool) -> None:
    if not insecure:
        raise Stop(
            f"{url} is not encrypted: others on the way could read your token. Use https://, or say --insecure where "
            "you trust the whole way, as within a VPN.",
            code=ExitCode.USAGE,
        )
    output.note(f" !    {url} is not encrypted: others on the way can read your token.")


def _token(url: str, *, from_stdin: bool) -> str:
    """The token as it was given, which is shown nowhere."""
    if not asking.somebody_there():
        if not from_stdin:
            raise Stop("Nobody can be asked for the token: give it with --token-stdin.", code=ExitCode.USAGE)
        try:
            token = sys.stdin.read() if sys.stdin is not None else ""
        except UnicodeDecodeError:
            raise Stop(_NO_TOKEN, code=ExitCode.USAGE) from None
    else:
        from getpass import getpass  # only who is asked needs it

        try:
            token = getpass(f"? Token for {url}: ")
        except EOFError:
            token = ""
    token = token.strip()
    if not token:
        raise Stop("No token was given, and nothing was kept.", code=ExitCode.USAGE)
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise Stop(_NO_TOKEN, code=ExitCode.USAGE)
    return token


def _whose(made: Profile, *, quiet: bool) -> str:
    """Ask the server whose token it is; stops when it knows of none."""
    with output.action(f"Logging in to {made.url}", quiet=quiet) as doing:
        try:
            email = Client(profile=made).get("/account")["email"]
        except ApiError as error:
            if error.status != 401:
                raise
            raise Stop(
                f"{made.url} does not know this token, and nothing was kept. Tokens are made by "
                "`towpath authorizations:create`, or by an administrator (`towpath users:create`)."
            ) from None
        except (KeyError, TypeError):
            told = f"What answers at {made.url} is not Towpath. Nothing was kept."
            raise Stop(told, code=ExitCode.UNREACHABLE) from None
        doing.end = f"done, as {email}"
    return str(email)


def logout(json: JsonOption = False) -> None:
    """Forget a server and your token for it.

    The token stays good until it is revoked.
    """
    path = profile.logins_file()
    kept = dict(logins.read(path))
    name = profile.wanted() or (next(iter(kept)) if len(kept) == 1 else DEFAULT)
    _refuse_local(name)
    if name not in kept:
        there = f"Say --profile NAME; there are: {', '.join(sorted(kept))}." if kept else "You are logged in nowhere."
        raise Stop(f"There is no profile {name}. {there}", code=ExitCode.USAGE)
    gone = kept.pop(name)
    with output.action(f"Logging out of {gone.url}", quiet=json):
        logins.write(path, kept)
    output.note("The token itself stays good until it is revoked: towpath authorizations:revoke ID")
    if json:
        output.show_json({"profile": name, "url": gone.url, "email": gone.email})


def token(json: JsonOption = False) -> None:
    """Print the token in use, for programs."""
    used = profile.load()
    if json:
        output.show_json({"token": used.token, "url": used.url})
    else:
        output.say(used.token)


def profiles(json: JsonOption = False) -> None:
    """List the servers you are logged in to."""
    kept = logins.read(profile.logins_file())
    rows = [{"name": name, "url": it.url, "email": it.email} for name, it in sorted(kept.items())]
    if running := profile.running_url():
        rows.append({"name": LOCAL, "url": running, "email": ""})
    used = _used()
    shown = [it | {"current": it["name"] == used} for it in rows]
    if json:
        output.show_json(shown)
    elif not shown:
        output.say("There is no profile yet. Log in: towpath login URL")
    else:
        table = [["*" if it["name"] == used else "", it["name"], it["url"], it["email"]] for it in rows]
        output.table(table, header=["", "profile", "server", "user"])
    if first := profile.from_environment():
        output.note(f" !    {first}, which goes before profiles.")


def _used() -> str | None:
    """The profile that a command without --profile goes to; None where the environment or nothing says."""
    try:
        return None if profile.from_environment() else profile.load(quiet=True).name or LOCAL
    except Stop:
        return None


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.command("login")(login)
    cli.command("logout")(logout)
    cli.command("auth:token")(token)
    cli.command("profiles")(profiles)
