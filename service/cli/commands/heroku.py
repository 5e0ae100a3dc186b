"""`towpath heroku` and `towpath heroku-env`: Heroku's own command line, unmodified, on any Towpath server."""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Final

import typer

from service.cli.errors import ExitCode, Stop
from service.cli.output import note
from service.cli.profile import Profile, load

_DASHBOARD: Final = frozenset({"ci:open", "dashboard", "orgs:open", "pipelines:open"})
Words = Annotated[
    list[str] | None, typer.Argument(metavar="-- COMMAND", help="What to run, after two dashes.", show_default=False)
]


def heroku(
    args: Annotated[
        list[str] | None,
        typer.Argument(metavar="-- ARGS", help="A command of Heroku's, after two dashes.", show_default=False),
    ] = None,
) -> None:
    """Run Heroku's own command line on this Towpath.

    It gets a home, a netrc and a git config that are thrown away, and no way out but to Towpath: what it would ask of
    Heroku and of GitHub, Towpath answers.
    """
    profile, environ, words = load(), os.environ, args or []
    if words and words[0] in _DASHBOARD:
        raise Stop(
            f"heroku {words[0]} opens Heroku's dashboard, which does not know your pipelines. "
            "Look with: towpath pipelines:info"
        )
    program = shutil.which("heroku", path=environ.get("PATH"))
    if program is None:
        raise Stop(
            "Heroku's command line is not installed: npm install --global heroku@11 (or put its directory into PATH)."
        )
    raise typer.Exit(_run([program, *words], profile, environ))


def heroku_env(command: Words = None) -> None:
    """Run a program, or your shell, in which heroku works on this Towpath.

    Whatever it starts has a home that is thrown away, and no way out but to Towpath.
    """
    profile, environ = load(), os.environ
    if not command and sys.stdin.isatty():
        note(f"Here heroku works on {profile.url}, and nothing else is reached by a proxy. Leave with: exit")
    raise typer.Exit(_run(command or [environ.get("SHELL") or "/bin/sh"], profile, environ))


def _run(argv: Sequence[str], profile: Profile, environ: Mapping[str, str]) -> int:
    import asyncio  # here, because these take longer to import than most commands to run
    import logging

    from service.cli.heroku.child import run

    if sys.platform == "win32":
        raise Stop("This needs Linux or macOS.", code=ExitCode.USAGE)
    # That a connection broke is the child's to tell.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    return asyncio.run(run(argv, profile=profile, environ=environ))


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    passing = {"allow_interspersed_args": False}
    cli.command("heroku", context_settings=passing)(heroku)
    cli.command("heroku-env", context_settings=passing)(heroku_env)
