"""The frame of the simulated REST API: routes, who may call, redirects, ETags and rate limits."""

import hashlib
import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC
from email.utils import format_datetime
from typing import Any

from aiohttp import web

from service.demo.simulator.calls import Answer, Call, Problem, Route, forbidden, not_found
from service.demo.simulator.signal_actions import SignalActions
from service.demo.simulator.state import RANK, Caller, Repository
from service.demo.simulator.tokens import BadCredentials


class Rest:
    """Turns routes into aiohttp handlers."""

    def __init__(self, sim: SignalActions) -> None:
        self.sim = sim
        self._used: dict[str, int] = {}
        self._window = 0
        self._written: list[float] = []
        self._points: list[tuple[float, int]] = []

    def add(self, app: web.Application, routes: Sequence[Route]) -> None:
        """Register routes below `/api/v3` and `/`, by name and by repository id."""
        for route in routes:
            handler = self._handler(route)
            paths = [route.path]
            if route.path.startswith("/repos/{owner}/{repo}"):
                paths.append(route.path.replace("/repos/{owner}/{repo}", "/repositories/{repository_id}", 1))
            for path in paths:
                for prefix in ("/api/v3", ""):
                    app.router.add_route(route.method, prefix + path, handler)

    def _handler(self, route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            key, answer = "", Answer()
            try:
                # The App's own id and secret are no token; the handler looks at them.
                caller = Caller(kind="anonymous") if route.needs == "client" else self._caller(request)
                key = _account_of(caller)
                self._count(key, route)
                answer = await route.handler(await self._call(route, request, caller))
            except BadCredentials as error:
                answer = Answer(status=401, body=Problem(401, str(error)).body)
            except Problem as problem:
                answer = Answer(status=problem.status, body=problem.body, headers=problem_headers(problem))
            return self._respond(request, answer, key)

        return handle

    def _caller(self, request: web.Request) -> Caller:
        return self.sim.keys.caller(request.headers.get("Authorization", ""), self.sim.now())

    async def _call(self, route: Route, request: web.Request, caller: Caller) -> Call:
        self._allowed(route, caller)
        repo = self._repository(route, request, caller) if "{owner}" in route.path else None
        body: Any = {}
        if raw := await request.read():
            try:
                body = json.loads(raw)
            except ValueError:
                raise Problem(400, "Problems parsing JSON") from None
            if not isinstance(body, dict):
                raise Problem(400, "Body should be a JSON object")
        return Call(
            sim=self.sim, request=request, caller=caller, body=body, limits=self.limits(_account_of(caller)), found=repo
        )

    def _allowed(self, route: Route, caller: Caller) -> None:
        if route.needs in {"none", "client"}:
            return
        if caller.kind == "anonymous":
            raise Problem(401, "Requires authentication")
        if (route.needs == "app") != (caller.kind == "app"):
            if route.needs == "app":
                raise BadCredentials("A JSON web token could not be decoded")
            raise Problem(403, "You must authenticate with an installation access token.")
        if caller.installation is not None and caller.installation.suspended_at:
            raise Problem(403, "This installation has been suspended")

    def _repository(self, route: Route, request: web.Request, caller: Caller) -> Repository:
        repo = self._named(request)
        permission, _, level = route.needs.partition(":")
        if permission == "app":
            return repo
        writing = route.method != "GET"
        if caller.installation is not None:
            inside = caller.installation.covers(repo)
            if caller.repository_ids is not None:
                inside = inside and repo.id in caller.repository_ids
            if not inside and (repo.private or writing):
                raise forbidden() if writing and not repo.private else not_found()
            has = caller.permissions.get(permission, "none")
            if inside and RANK[has] < RANK[level or "read"]:
                raise forbidden()
        else:
            assert caller.account is not None
            has = repo.permission(caller.account.login)
            if has == "none" or (permission == "administration" and has != "admin"):
                raise not_found()
            if RANK[has] < RANK[level or "read"]:
                raise Problem(403, "Must have push access to repository")
            self._within_token(caller, repo, permission, level or "read")
        if writing and repo.archived:
            raise Problem(403, "Repository was archived so is read-only.")
        return repo

    def _within_token(self, caller: Caller, repo: Repository, permission: str, level: str) -> None:
        """Hold a fine-grained token to its permissions; what is public is read by anybody, but for its settings."""
        everybody = level == "read" and not repo.private and permission not in {"administration", "repository_hooks"}
        if caller.may(permission, level, repo) or everybody:
            return
        raise not_found() if not caller.may("metadata", "read", repo) else forbidden("personal access token")

    def _named(self, request: web.Request) -> Repository:
        sim, words = self.sim, request.match_info
        if "repository_id" in words:
            number = words["repository_id"]
            if number.isdigit() and int(number) in sim.repositories:
                return sim.repositories[int(number)]
            raise not_found()
        name = f"{words['owner']}/{words['repo']}".lower()
        for repo in sim.repositories.values():
            if repo.full_name.lower() == name:
                return repo
        renamed = sim.repositories.get(sim.former_names.get(name, 0))
        if renamed is None:
            raise not_found()
        raw = request.rel_url.raw_path
        tail = raw.partition("/repos/")[2].split("/", 2)[2:]
        url = "/".join([f"{sim.api_url}/repositories/{renamed.id}", *tail])
        query = f"?{request.query_string}" if request.query_string else ""
        raise Problem(301 if request.method == "GET" else 307, "Moved Permanently", url=url + query)

    def _count(self, key: str, route: Route) -> None:
        """The hourly limit per token, and the limit on creating content."""
        moment = self.sim.now().timestamp()
        if moment // 3600 != self._window:
            self._window, self._used = int(moment // 3600), {}
        self._used[key] = self._used.get(key, 0) + 1
        if self._used[key] > self.sim.rate_limit and route.path != "/rate_limit":
            raise Problem(403, "API rate limit exceeded for installation.")
        self._limit_speed(route, moment)

    def _limit_speed(self, route: Route, moment: float) -> None:
        """The secondary limits: on all requests by their points, on those that create content by their number."""
        sim, counts = self.sim, list[tuple[int, int | None]]()
        if sim.points_limit is not None:
            points = 1 if route.method == "GET" else 5
            self._points = [each for each in self._points if each[0] > moment - 60] + [(moment, points)]
            counts.append((sum(each[1] for each in self._points), sim.points_limit))
        creates = route.method in {"POST", "PATCH", "PUT"} and "{owner}" in route.path
        if creates and {sim.content_limit, sim.hourly_content_limit} != {None}:
            self._written = [when for when in self._written if when > moment - 3600] + [moment]
            counts.append((sum(when > moment - 60 for when in self._written), sim.content_limit))
            counts.append((len(self._written), sim.hourly_content_limit))
        if any(limit is not None and count > limit for count, limit in counts):
            raise Problem(403, "You have exceeded a secondary rate limit. Please wait a few minutes.")

    def limits(self, key: str) -> dict[str, int]:
        """The numbers of `/rate_limit` and of the headers."""
        used = min(self._used.get(key, 0), self.sim.rate_limit)
        remaining, reset = self.sim.rate_limit - used, (self._window + 1) * 3600
        return {"limit": self.sim.rate_limit, "remaining": remaining, "reset": reset, "used": used}

    def _respond(self, request: web.Request, answer: Answer, key: str) -> web.Response:
        text = "" if answer.body is None else json.dumps(answer.body)
        headers = dict(answer.headers)
        if request.method == "GET" and answer.status == 200:
            headers["ETag"] = f'W/"{hashlib.sha256((key + text).encode()).hexdigest()}"'
            if request.headers.get("If-None-Match") == headers["ETag"]:
                # "a 304 ... does not count against your primary rate limit" (GitHub docs, best practices)
                self._used[key] = self._used.get(key, 1) - 1
                answer, text = Answer(status=304), ""
        headers |= {f"X-RateLimit-{name.title()}": str(number) for name, number in self.limits(key).items()}
        headers |= {"X-RateLimit-Resource": "core", "X-GitHub-Media-Type": "github.v3; format=json"}
        headers["Date"] = format_datetime(self.sim.now().astimezone(UTC), usegmt=True)
        headers["X-GitHub-Request-Id"] = hashlib.sha256(request.path.encode()).hexdigest()[:16].upper()
        if not text:
            return web.Response(status=answer.status, headers=headers)
        return web.Response(status=answer.status, headers=headers, text=text, content_type="application/json")


def _account_of(caller: Caller) -> str:
    """Whose rate limit is used up: an installation's tokens share one."""
    return caller.key if caller.installation is None else f"installation {caller.installation.id}"


def problem_headers(problem: Problem) -> dict[str, str]:
    """Headers that belong to an error: where it moved, when to come back."""
    if "url" in problem.body:
        return {"Location": problem.body["url"]}
    return {"Retry-After": "60"} if "secondary" in problem.body["message"] else {}
