"""The `towpath` command: every verb, and how each end becomes a sentence and an exit code."""

import itertools
import os
import re
import sys
from collections.abc import Sequence
from typing import Annotated, cast
from urllib.parse import unquote

import typer

from service.cli import profile
from service.cli.errors import ApiError, ExitCode, Stop
from service.cli.options import ProfileOption
from service.cli.output import note, paint
from service.cli.topics import ByTopic, close

_ABOUT = "Continuous delivery on machines you own: review apps, staging, promotion."
_NAMED = re.compile(r"/(?P<kind>apps|pipelines|teams|users)/(?P<name>[^/?]+)")
_CALLED = {"apps": "app", "pipelines": "pipeline", "teams": "team", "users": "account"}
_SHOWN_AS = {"users": "email"}
_INSIDE = {
    "authorizations": "authorization",
    "builds": "build",
    "dynos": "dyno",
    "orphans": "orphan",
    "webhooks": "webhook",
    "webhook-events": "webhook event",
    "webhook-deliveries": "webhook delivery",
}
"""What is within something else, or has no name that could be meant, by its word in a path."""


def help_(
    ctx: typer.Context,
    topic: Annotated[str | None, typer.Argument(metavar="COMMAND|TOPIC")] = None,
) -> None:
    """Show help for a command or a topic."""
    assert ctx.parent is not None
    group = cast("ByTopic", ctx.parent.command)
    if topic is None:
        typer.echo(ctx.parent.get_help())
        return
    related = group.siblings(topic)
    command = group.get_command(ctx.parent, topic)
    if command is None and not related:
        raise Stop(f"There is no command or topic {topic}.{close(topic, list(group.index))}", code=ExitCode.USAGE)
    if command is not None:
        with command.make_context(topic, [], parent=ctx.parent, resilient_parsing=True) as inner:
            typer.echo(command.get_help(inner))
    if len(related) > 1:
        formatter = ctx.make_formatter()
        group.write(formatter, "Related", related)
        typer.echo(f"\n{formatter.getvalue().rstrip()}")


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version  # takes longer to import than most commands to run

        typer.echo(f"towpath {version('towpath')}")
        raise typer.Exit


def _options(
    name: ProfileOption = None,
    _version_asked: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Take the options that stand before a command."""
    profile.choose(name)


def build_cli() -> typer.Typer:
    """Put the command line together."""
    cli = typer.Typer(
        name="towpath",
        cls=ByTopic,
        epilog="Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 build failed, 4 release failed, "
        "5 promotion failed, 6 server unreachable, 130 interrupted.",
        rich_markup_mode=None,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 110},
    )
    cli.callback(help=_ABOUT)(_options)
    cli.command("help")(help_)
    return cli


def _explained(error: Stop) -> str:
    """The error's text, with the names that are probably meant when a thing was not found."""
    if not isinstance(error, ApiError) or error.id != "not_found":
        return error.message
    named = _NAMED.match(error.target)
    if named is None or error.message != f"Couldn't find that {_CALLED[named['kind']]}.":
        return _with_its_name(error)
    from service.cli.client import Client  # there already, if a server was asked

    name, key = unquote(named["name"]), _SHOWN_AS.get(named["kind"], "name")
    try:
        known = [each[key] for each in Client(profile=profile.load(quiet=True)).everything(f"/{named['kind']}")]
    except Stop:
        known = []
    return f"Couldn't find the {named['kind'].removesuffix('s')} {name}.{close(name, known)}"


def _with_its_name(error: ApiError) -> str:
    for word, name in itertools.pairwise(error.target.partition("?")[0].split("/")):
        if word in _INSIDE and error.message == f"Couldn't find that {_INSIDE[word]}.":
            return f"Couldn't find the {_INSIDE[word]} {unquote(name)}."
    return error.message


def run(args: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    profile.choose(None)
    try:
        code = _run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        code = ExitCode.READER_GONE
    if code == ExitCode.READER_GONE:
        # Python would complain again when it flushes at exit.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nowhere, stream.fileno())
    return code


def _run(args: Sequence[str] | None) -> int:
    try:
        build_cli()(args=args, prog_name="towpath")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Stop as stop:
        if stop.message:
            note(f"{paint(' ▸', 'red', stream=sys.stderr)}    {_explained(stop)}")
        return stop.code
    except KeyboardInterrupt:
        note("Interrupted.")
        return ExitCode.INTERRUPTED
    return ExitCode.OK


def main() -> None:
    """Run the command of this process."""
    sys.exit(run())


if __name__ == "__main__":
    main()
