"""The control door: every action of the simulated GitHub over HTTP, for the demo and other processes."""

import inspect
from collections.abc import Callable
from typing import Any

import aiohttp
from aiohttp import web

from service.demo.simulator import shapes, shapes_checks, shapes_work
from service.demo.simulator.git_store import GitFailed
from service.demo.simulator.shapes import Site
from service.demo.simulator.signal_actions import SignalActions
from service.demo.simulator.state import CheckRun, CheckSuite, Comment, Installation, Pull, Repository, Status
from service.demo.simulator.world import Unknown

OPERATIONS = (
    "create_repo", "fork", "push", "set_branch", "delete_branch", "head", "rename_repo", "transfer_repo",
    "rename_branch", "set_default_branch", "set_archived", "set_private", "delete_repo", "add_collaborator", "protect",
    "open_pull", "merge_pull", "close_pull", "reopen_pull", "edit_pull", "label_pull", "unlabel_pull", "set_draft",
    "pull", "repository", "comment", "edit_comment", "delete_comment", "enqueue", "destroy_merge_group",
    "set_status", "create_check_run", "update_check_run", "suite", "rerequest", "press",
    "install", "uninstall", "suspend", "add_to", "remove_from",
    "accept_permissions", "approve_install", "join", "set_visitor", "set_refusal",
    "ping", "settled", "advance", "personal_token", "fine_grained_token", "reported",
)  # fmt: skip


class Door:
    """`POST /_sim/{operation}` with the operation's arguments as JSON; needs the admin token as Bearer."""

    def __init__(self, sim: SignalActions) -> None:
        self.sim = sim

    def add(self, app: web.Application) -> None:
        """Register the door's routes."""
        app.router.add_post("/_sim/{operation}", self.handle)

    async def handle(self, request: web.Request) -> web.Response:
        """Do one operation and show its result."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not self.sim.keys.is_admin(token):
            return web.json_response({"message": "The control door needs the admin token."}, status=401)
        try:
            arguments: dict[str, Any] = await request.json() if request.can_read_body else {}
            result = await self.perform(request.match_info["operation"], arguments)
        except Unknown as error:
            return web.json_response({"message": str(error)}, status=404)
        except (ValueError, TypeError, KeyError, GitFailed) as error:
            return web.json_response({"message": f"{type(error).__name__}: {error}"}, status=422)
        return web.json_response({"result": result})

    async def perform(self, operation: str, arguments: dict[str, Any]) -> Any:
        """Call the action of that name."""
        match operation:
            case "webhook":
                self.sim.webhook_url = str(arguments["url"])
                return None
            case "deliveries":
                return [one.item() for one in self.sim.deliveries]
            case "chaos":
                return self._chaos(**arguments)
            case _ if operation not in OPERATIONS:
                raise Unknown(f"no operation {operation}")
            case _:
                method = getattr(self.sim, operation)
                value = method(**arguments)
                if inspect.isawaitable(value):
                    value = await value
                repo = self.sim.repository(arguments["repo"]) if "repo" in arguments and value is not None else None
                return self._shown(repo, value)

    def _chaos(
        self,
        *,
        calm: bool = False,
        outage: bool | None = None,
        webhooks: dict[str, Any] | None = None,
        answer: dict[str, Any] | None = None,
    ) -> None:
        """Turn switches: see `Chaos` for their names."""
        chaos = self.sim.chaos
        if calm:
            chaos.calm()
        if outage is not None:
            chaos.outage = outage
        for name, value in (webhooks or {}).items():
            if not hasattr(chaos.webhooks, name):
                raise ValueError(f"no switch {name}")
            setattr(chaos.webhooks, name, value)
        if answer is not None:
            chaos.answer(**answer)

    def _shown(self, repo: Repository | None, value: Any) -> Any:
        site = self.sim.site
        alone: dict[type, Callable[[Any], Any]] = {
            Repository: lambda one: shapes.repository(site, one),
            Installation: lambda one: shapes.installation(site, one, self.sim.app),
            CheckSuite: lambda one: {"id": one.id, "head_sha": one.sha, "status": one.status},
        }
        within: dict[type, Callable[[Site, Repository, Any], Any]] = {
            Pull: shapes_work.pull_request,
            Status: shapes_checks.status,
            CheckRun: shapes_checks.check_run,
            Comment: shapes_work.comment,
        }
        if type(value) in alone:
            return alone[type(value)](value)
        if type(value) in within:
            assert repo is not None
            return within[type(value)](site, repo, value)
        return value


class DoorFailed(Exception):
    """The control door refused; the text says why."""


class DoorClient:
    """The other side of the door: `await door.call("open_pull", repo="acme/shop", head="topic")`."""

    def __init__(self, session: aiohttp.ClientSession, *, url: str, admin_token: str) -> None:
        self._session = session
        self._url = url
        self._headers = {"Authorization": f"Bearer {admin_token}"}

    async def call(self, operation: str, **arguments: Any) -> Any:
        """Do one operation; its result as JSON. Raises `DoorFailed`."""
        async with self._session.post(f"{self._url}/_sim/{operation}", json=arguments, headers=self._headers) as answer:
            body = await answer.json()
            if answer.status != 200:
                raise DoorFailed(body["message"])
            return body["result"]
