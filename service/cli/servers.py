"""The server's own commands. They start processes and import neither store nor workers, so that the CLI stays light."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryFile
from typing import Annotated

import typer

from service.cli.options import JsonOption
from service.cli.profile import running_port
from service.settings import BadSetting, Settings, from_environment

Data = Annotated[Path | None, typer.Option("--data", help="Where everything is kept.", show_default=False)]
Port = Annotated[int | None, typer.Option("--port", help="The one port to listen on (5080).", show_default=False)]
Pull = Annotated[
    bool | None,
    typer.Option(
        "--pull/--no-pull",
        help="Fetch GitHub's deliveries from its API, as is done by itself where GitHub cannot reach this machine.",
        show_default=False,
    ),
]


def _environment(*, data: Path | None = None, port: int | None = None) -> dict[str, str]:
    env = dict(os.environ)
    if data is not None:
        env["TOWPATH_DATA"] = str(data.expanduser().absolute())
    if port is not None:
        env["TOWPATH_PORT"] = str(port)
    return env


def _settings(env: dict[str, str]) -> Settings:
    try:
        settings = from_environment(env)
    except BadSetting as error:
        raise _fail(str(error), code=2) from None
    env["TOWPATH_DATA"] = str(settings.data)
    return settings


def _fail(message: str, *, code: int = 1) -> typer.Exit:
    print(f" ▸    {message}", file=sys.stderr)
    return typer.Exit(code)


def _writable(data: Path) -> None:
    """Make the data directory, or say why it cannot be."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=data):
            pass
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise _fail(f"Nothing can be kept in {data} ({reason}). Name a directory of yours with --data.") from None


def _for_all() -> None:
    """Services and apps have users of their own, who read what we make. Who may enter the data directory was said."""
    os.umask(0o022)


def _run(module: str, *args: str, env: Mapping[str, str]) -> None:
    """Become the process: it gets our terminal, signals and exit code."""
    _for_all()
    os.execve(sys.executable, (sys.executable, "-m", module, *args), dict(env))  # noqa: S606


def up(data: Data = None, port: Port = None, pull: Pull = None, allow_weak_isolation: bool = False) -> None:
    """Run everything on this machine, on one port, until Ctrl-C."""
    import asyncio  # here, because it takes longer to import than most commands to run

    from service.cli.parts import CannotStart
    from service.cli.up import up as serve

    env = _environment(data=data, port=port)
    if allow_weak_isolation:
        env["TOWPATH_ALLOW_WEAK_ISOLATION"] = "1"
    if pull is not None:
        env["TOWPATH_GITHUB_PULL"] = "on" if pull else "off"
    settings = _settings(env)
    _writable(settings.data)
    _for_all()
    try:
        asyncio.run(serve(settings, env))
    except CannotStart as error:
        raise _fail(str(error)) from None


def web(data: Data = None) -> None:
    """Run only the web process (webhooks and API)."""
    _run("service.web", env=_environment(data=data))


def worker(data: Data = None) -> None:
    """Run only a worker."""
    _run("workers", "worker", env=_environment(data=data))


def router(data: Data = None, port: Port = None) -> None:
    """Run only the router."""
    _run("service.router", env=_environment(data=data, port=port))


def runner(data: Data = None) -> None:
    """Run only the runner, which holds the apps' processes."""
    from service.cli.parts import runner_argv

    env = _environment(data=data)
    _run(*runner_argv(_settings(env)), env=env)


def migrate(
    data: Data = None,
    moved: Annotated[bool, typer.Option("--moved", help="The installation is on another machine from now on.")] = False,
) -> None:
    """Bring the database's tables up to date."""
    _run("service.store", "migrate", *(["--moved"] if moved else []), env=_environment(data=data))


def rotate(data: Data = None) -> None:
    """Seal all secrets with the newest key of the keys file.

    Add the key's line to the file and restart the servers first.
    """
    _run("service.store", "rotate", env=_environment(data=data))


def _checks(env: Mapping[str, str]) -> list[dict[str, object]]:
    done = subprocess.run(
        [sys.executable, "-m", "workers", "doctor", "--ask"], env=dict(env), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise _fail(done.stderr.strip())
    found: list[dict[str, object]] = json.loads(done.stdout)
    return found


def doctor(data: Data = None, as_json: JsonOption = False) -> None:
    """Say what this machine can do, which isolation apps get, and what would improve it."""
    env = _environment(data=data)
    settings = _settings(env)
    _writable(settings.data)
    # It is the `up` that runs here that people ask about, whatever port that was given.
    env.setdefault("TOWPATH_PORT", str(running_port(settings.data) or settings.port))
    found = _checks(env)
    failed = not all(check["ok"] for check in found)
    if as_json:
        print(json.dumps(found, indent=2))
        raise typer.Exit(1 if failed else 0)
    for check in found:
        print(f"{'ok' if check['ok'] else '!!':3} {check['name']}: {check['why']}")
        if check["advice"] and not check["ok"]:
            print(f"    {check['advice']}")
    raise typer.Exit(1 if failed else 0)


def demo(data: Data = None, port: Port = None, keep: bool = False) -> None:
    """Tell the whole story on this machine, with a simulated GitHub."""
    import asyncio

    from service.demo.story import tell

    raise typer.Exit(asyncio.run(tell(data=data, port=port, keep=keep)))


def github_sim(
    data: Annotated[Path, typer.Option("--data", help="Where its repositories, key and github.env are kept.")] = Path(
        "github-sim"
    ),
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="The port to listen on.")] = 5090,
    webhook_url: Annotated[
        str, typer.Option("--webhook-url", metavar="URL", help="Where its webhooks go.")
    ] = "http://127.0.0.1:5080/github/webhooks",
) -> None:
    """Run the simulated GitHub alone."""
    import asyncio

    from service.cli.parts import CannotStart
    from service.cli.starting import listen
    from service.demo.github_sim import serve

    place = data.expanduser().absolute()
    _writable(place)
    try:
        listen(port).close()
    except CannotStart as error:
        raise _fail(str(error)) from None
    asyncio.run(serve(port=port, data=place, webhook_url=webhook_url))


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for name, command in (
        ("up", up),
        ("web", web),
        ("worker", worker),
        ("router", router),
        ("runner", runner),
        ("migrate", migrate),
        ("secrets:rotate", rotate),
        ("doctor", doctor),
        ("demo", demo),
        ("github-sim", github_sim),
    ):
        app.command(name, rich_help_panel="Server")(command)
