"""Questions to the person: answered on the terminal or from standard input, never guessed when nobody answers."""

from collections.abc import Sequence

from service.cli.errors import ExitCode, Stop

STAGES = ("development", "staging", "production")
CONFIG_STAGES = ("review", "test", *STAGES)
"""Those whose new apps get config vars."""
_ENDINGS = {
    "development": ("dev", "development", "uat", "tst", "test", "qa"),
    "staging": ("stg", "staging"),
    "production": ("prd", "prod", "production", "admin", "demo"),
}


def ask(question: str, *, default: str, option: str) -> str:
    """Ask; an empty answer is the default. Nobody there: stop, naming the option that would have answered."""
    try:
        answer = input(f"? {question}: ({default}) " if default else f"? {question}: ").strip()
    except EOFError:
        print()
        raise Stop(f"Nobody answered. Give {option}.", code=ExitCode.USAGE) from None
    return answer or default


def confirmed(question: str) -> bool:
    """Ask a question of yes or no; an empty answer is yes."""
    while True:
        answer = ask(f"{question} (Y/n)", default="", option="--yes").lower()
        if answer in {"", "y", "yes", "n", "no"}:
            return answer in {"", "y", "yes"}


def split_name(app: str) -> tuple[str, str]:
    """What an app's name suggests: the pipeline's name and the stage."""
    base, dash, ending = app.rpartition("-")
    for stage, endings in _ENDINGS.items():
        if dash and ending in endings:
            return base, stage
    return app, "production"


def check_stage(stage: str, known: Sequence[str] = STAGES) -> str:
    """The stage if there is one of that name."""
    if stage not in known:
        raise Stop(f"There is no stage {stage!r}; there are: {', '.join(known)}.", code=ExitCode.USAGE)
    return stage


def confirm(name: str, given: str | None, *, danger: str) -> None:
    """Make sure that a destruction is meant: the name has to be given again."""
    if given is None:
        given = ask(f"{danger} To go on, type {name}", default="", option=f"--confirm {name}")
    if given != name:
        raise Stop(f"Confirmation {given!r} does not match {name!r}. Nothing was done.")
