"""Options that many commands share, so that they read and behave the same everywhere."""

from typing import Annotated

import typer

AppOption = Annotated[str | None, typer.Option("--app", "-a", metavar="APP", help="The app to act on.")]
RemoteOption = Annotated[
    str | None, typer.Option("--remote", "-r", metavar="REMOTE", help="The git remote of the app to act on.")
]
PipelineOption = Annotated[
    str | None, typer.Option("--pipeline", "-p", metavar="PIPELINE", help="The pipeline: its name or id.")
]
StageOption = Annotated[
    str | None, typer.Option("--stage", "-s", metavar="STAGE", help="development, staging or production.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
JsonLinesOption = Annotated[bool, typer.Option("--json", help="Print a JSON object for each line.")]
TeamOption = Annotated[str | None, typer.Option("--team", "-t", metavar="TEAM", help="The team: its name or id.")]
WaitOption = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the end and show the output.")]
ConfirmOption = Annotated[
    str | None, typer.Option("--confirm", "-c", metavar="NAME", help="The name again, instead of being asked.")
]
OverrideLockOption = Annotated[
    bool, typer.Option("--override-lock", help="Go past a deploy lock; the activity log says who did.")
]
ProfileOption = Annotated[
    str | None,
    typer.Option("--profile", metavar="PROFILE", help="The server to use, as towpath profiles lists them."),
]
