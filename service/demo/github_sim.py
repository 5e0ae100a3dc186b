"""A simulated GitHub: REST, git, webhooks and a control door in one small server, for the demo and the tests.

    sim = GitHubSim(data)
    async with running(sim):
        sim.webhook_url = "http://127.0.0.1:5080/github/webhooks"
        repo = await sim.create_repo("acme/shop", files={"Procfile": "web: ./serve"})
        await sim.push(repo, "topic", {"index.html": "hello"})
        pull = await sim.open_pull(repo, "topic", title="Say hello")
        await sim.settled()
        assert sim.reported(repo)["check_runs"]

Its rules are GitHub's, each quoted where it is; whether its words are is checked against GitHub's own
description of REST and webhooks by `tests/github_contract`.
"""

import asyncio
import json
import os
import shlex
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Middleware

from service.demo.simulator import (
    rest_app,
    rest_deliveries,
    rest_deployments,
    rest_git,
    rest_hooks,
    rest_pulls,
    rest_repositories,
    rest_signals,
    shapes_checks,
    shapes_work,
)
from service.demo.simulator.app_pages import AppPages
from service.demo.simulator.calls import not_found
from service.demo.simulator.chaos import Chaos, Handler
from service.demo.simulator.delivery import Delivery
from service.demo.simulator.door import Door, DoorClient, DoorFailed
from service.demo.simulator.git_front import GitFront
from service.demo.simulator.rest import Rest
from service.demo.simulator.sign_in_pages import SignInPages
from service.demo.simulator.signal_actions import SignalActions
from service.demo.simulator.state import CheckRun, Comment, Deployment, Installation, Pull, Repository, Status
from service.demo.simulator.world import RepositoryName, Unknown

__all__ = [
    "GitHubSim", "build_app", "running", "serve", "DoorClient", "DoorFailed", "Chaos", "CheckRun", "Comment",
    "Delivery", "Deployment", "Installation", "Pull", "Repository", "Status", "Unknown",
]  # fmt: skip


class GitHubSim(SignalActions):
    """The simulated GitHub: its state and everything people, CI systems and chaos can do to it."""

    def reported(self, repo: RepositoryName) -> dict[str, Any]:
        """What our App wrote on a repository, in REST's words, oldest first.

        Keys: `check_runs`, `statuses`, `deployments` (each with its `statuses`), `comments`, and the
        `environments` that deployments left behind.
        """
        one, site = self.repository(repo), self.site
        deployments = [
            shapes_work.deployment(site, one, made)
            | {
                "state": made.state,
                "statuses": [shapes_work.deployment_status(site, one, made, state) for state in made.statuses],
            }
            for made in one.deployments.values()
        ]
        return {
            "check_runs": [
                shapes_checks.check_run(site, one, run) | {"actions": run.actions}
                for run in one.runs.values()
                if run.suite.app is self.app
            ],
            "statuses": [
                shapes_checks.status(site, one, status) | {"sha": status.sha}
                for status in one.statuses
                if status.creator is self.app.bot
            ],
            "deployments": deployments,
            "comments": [
                shapes_work.comment(site, one, comment) | {"number": comment.number}
                for comment in one.comments.values()
                if comment.by_app is self.app
            ],
            "environments": sorted(one.environments),
        }


def build_app(sim: GitHubSim, *, middlewares: Sequence[Middleware] = ()) -> web.Application:
    """The server; `middlewares` see every request that chaos lets through, and its true answer."""

    @web.middleware
    async def through_chaos(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith("/_sim/"):
            return await handler(request)
        try:
            return await sim.chaos.act(request, handler)
        except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
            return web.json_response(not_found().body, status=404)

    app = web.Application(middlewares=[through_chaos, *middlewares], client_max_size=32 * 1024**2)
    rest = Rest(sim)
    for module in (rest_app, rest_signals, rest_deployments, rest_pulls, rest_repositories, rest_git, rest_hooks):
        rest.add(app, module.ROUTES)
    rest.add(app, rest_deliveries.ROUTES)
    Door(sim).add(app)
    AppPages(sim).add(app)
    SignInPages(sim).add(app)
    GitFront(sim).add(app)

    async def sending(_: web.Application) -> AsyncIterator[None]:
        await sim.sender.start()
        yield
        await sim.sender.stop()

    app.cleanup_ctx.append(sending)
    return app


@asynccontextmanager
async def running(
    sim: GitHubSim, *, host: str = "127.0.0.1", port: int = 0, middlewares: Sequence[Middleware] = ()
) -> AsyncIterator[GitHubSim]:
    """Serve within this event loop; port 0 takes a free one. `sim.url` is right from here on."""
    runner = web.AppRunner(build_app(sim, middlewares=middlewares), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        sim.site.url = f"http://{host}:{runner.addresses[0][1]}"
        yield sim
    finally:
        await runner.cleanup()


async def serve(*, port: int, data: Path, host: str = "127.0.0.1", webhook_url: str = "") -> None:
    """Serve until SIGTERM or Ctrl-C. Writes `data/github.env` and `data/github.json`, then prints the URL.

    The App's key stays the same over restarts; repositories do not: they live as long as the server.
    """
    await asyncio.to_thread(_prepare, data)
    sim = GitHubSim(data, keep_key=True)
    sim.webhook_url = webhook_url
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running(sim, host=host, port=port):
        await asyncio.to_thread(_announce, sim, data)
        sys.stdout.write(f"Simulated GitHub is ready: {sim.url}\n")
        sys.stdout.flush()
        await stop.wait()


def _prepare(data: Path) -> None:
    data.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(data / "repositories", ignore_errors=True)


def _announce(sim: GitHubSim, data: Path) -> None:
    key_file = data.absolute() / "app.pem"
    _write_private(key_file, sim.private_key_pem)
    facts = {
        "url": sim.url,
        "api_url": sim.api_url,
        "app_id": sim.app_id,
        "private_key_file": str(key_file),
        "webhook_secret": sim.webhook_secret,
        "admin_token": sim.admin_token,
    }
    environment = {
        "TOWPATH_GITHUB_URL": sim.url,
        "TOWPATH_GITHUB_API_URL": sim.api_url,
        "TOWPATH_GITHUB_APP_ID": sim.app_id,
        "TOWPATH_GITHUB_PRIVATE_KEY_FILE": key_file,
        "TOWPATH_GITHUB_WEBHOOK_SECRET": sim.webhook_secret,
        "GITHUB_SIM_URL": sim.url,
        "GITHUB_SIM_TOKEN": sim.admin_token,
    }
    lines = [f"export {name}={shlex.quote(str(value))}\n" for name, value in environment.items()]
    _write_private(data / "github.env", "".join(lines))
    # Last: whoever waits for this file finds everything there.
    _write_private(data / "github.json", json.dumps(facts, indent=2) + "\n")


def _write_private(path: Path, text: str) -> None:
    """Write through a new file, so that nobody sees half of it or reads it with other rights."""
    temporary = path.with_suffix(path.suffix + ".new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)
    temporary.replace(path)
