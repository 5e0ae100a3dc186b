"""Help by topic, and commands that are found although they are misspelt."""

from difflib import get_close_matches
from typing import Any

from typer.core import TyperGroup

TOPICS = {
    "apps": "Apps",
    "maintenance": "Apps",
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
}
_SERVER = "The server"


def topic_of(command: str) -> str:
    """The heading a command stands under."""
    return TOPICS.get(command.partition(":")[0], _SERVER)


class ByTopic(TyperGroup):
    """Lists commands under headings, the server's own last."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write one section for each topic."""
        for topic in dict.fromkeys([*TOPICS.values(), _SERVER]):
            self.write(ctx, formatter, topic, [name for name in self.list_commands(ctx) if topic_of(name) == topic])

    def write(self, ctx: Any, formatter: Any, topic: str, names: list[str]) -> None:
        """Write a section with what each command does."""
        commands = [(name, self.get_command(ctx, name)) for name in names]
        rows = [(name, command.get_short_help_str(90)) for name, command in commands if command and not command.hidden]
        if rows:
            with formatter.section(topic):
                formatter.write_dl(rows)

    def siblings(self, name: str) -> list[str]:
        """The commands of the same topic, as `pipelines:add` to `pipelines`."""
        head = name.partition(":")[0]
        return [each for each in self.commands if each.partition(":")[0] == head]


def close(name: str, known: list[str]) -> str:
    """A question after a name that is probably meant, or nothing."""
    matches = get_close_matches(name, known, n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(matches)}?" if matches else ""
