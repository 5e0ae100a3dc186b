"""Help by topic, commands that are found although they are misspelt, and how all of them take an end from outside."""

from collections.abc import MutableMapping
from difflib import get_close_matches
from typing import Any, cast

from typer.core import TyperGroup

from service.cli.errors import ExitCode, Stop
from service.cli.loading import Commands

_SERVER = "The server"
_ITSELF = "The command line"
TOPICS = {
    "apps": "Apps",
    "maintenance": "Apps",
    "domains": "Apps",
    "git": "Apps",
    "pipelines": "Pipelines",
    "reviewapps": "Review apps",
    "deploy": "Deploys and releases",
    "builds": "Deploys and releases",
    "releases": "Deploys and releases",
    "locks": "Deploys and releases",
    "lock": "Deploys and releases",
    "unlock": "Deploys and releases",
    "config": "Config vars",
    "ps": "Processes and logs",
    "run": "Processes and logs",
    "logs": "Processes and logs",
    "orphans": "Processes and logs",
    "access": "Access",
    "auth": "Access",
    "login": "Access",
    "logout": "Access",
    "profiles": "Access",
    "authorizations": "Access",
    "teams": "Access",
    "members": "Access",
    "users": "Access",
    "github": "GitHub",
    "heroku": "Heroku's command line",
    "heroku-env": "Heroku's command line",
    "deliveries": "What happened and why",
    "why": "What happened and why",
    "webhooks": "What happened and why",
    "activity": "What happened and why",
    "spaces": "Apps",
    "dashboard": "What happened and why",
    "help": _ITSELF,
    "completion": _ITSELF,
}


def topic_of(command: str) -> str:
    """The heading a command stands under."""
    return TOPICS.get(command.partition(":")[0], _SERVER)


class ByTopic(TyperGroup):
    """Lists commands under headings, the server's own last."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.index = Commands(self.commands)
        self.commands = cast("MutableMapping[str, Any]", self.index)  # nobody adds to it

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - typer names it
        """All of them, in their order."""
        return list(self.index)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - typer names it
        """Write one section for each topic."""
        for topic in dict.fromkeys([*TOPICS.values(), _SERVER]):
            self.write(formatter, topic, [name for name in self.index if topic_of(name) == topic])

    def write(self, formatter: Any, topic: str, names: list[str]) -> None:
        """Write a section with what each command does."""
        if names:
            with formatter.section(topic):
                formatter.write_dl([(name, self.index.about(name)) for name in names])

    def invoke(self, ctx: Any) -> Any:
        """Run the command; Ctrl-C and a reader that has gone away end it in our own words."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Stop("Interrupted.", code=ExitCode.INTERRUPTED) from None
        except BrokenPipeError:
            raise Stop("", code=ExitCode.READER_GONE) from None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command; one that there is not is answered with those that are probably meant."""
        name, spaced = args[0], ":".join(args[:2])
        command = self.get_command(ctx, name)
        if command is None and not name.startswith("-"):
            other = "--version" if name == "version" else spaced if spaced in self.index else ""
            meant = f" Did you mean {other}?" if other else close(name, list(self.index))
            raise Stop(f"There is no command {name}.{meant} They are listed by: towpath help", code=ExitCode.USAGE)
        if command is not None and spaced != name and spaced in self.index and not _takes_words(command):
            raise Stop(f"{name} takes no words of its own. Did you mean {spaced}?", code=ExitCode.USAGE)
        return super().resolve_command(ctx, args)

    def siblings(self, name: str) -> list[str]:
        """The commands of the same topic, as `pipelines:add` to `pipelines`."""
        head = name.partition(":")[0]
        return [each for each in self.index if each.partition(":")[0] == head]


def _takes_words(command: Any) -> bool:
    return any(each.param_type_name == "argument" for each in command.params)


def close(name: str, known: list[str]) -> str:
    """A question after a name that is probably meant, or nothing."""
    # Who leaves the topic out means all that end so: `promote` is `pipelines:promote`.
    ending = sorted(each for each in known if each.endswith(f":{name}"))
    matches = ending or get_close_matches(name, known, n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(matches)}?" if matches else ""
