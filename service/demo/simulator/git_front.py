"""git on the simulated GitHub: who may fetch and push, and the events that a push causes."""

from aiohttp import web

from service.demo.simulator.git_http import GitBackend
from service.demo.simulator.git_store import ZERO
from service.demo.simulator.signal_actions import SignalActions
from service.demo.simulator.state import RANK, Account, Repository
from service.demo.simulator.tokens import BadCredentials, password
from service.demo.simulator.world import Unknown


class GitFront:
    """`/{owner}/{repo}.git/...`."""

    def __init__(self, sim: SignalActions) -> None:
        self.sim = sim
        self._backend = GitBackend(sim.git.root)

    def add(self, app: web.Application) -> None:
        """Register the routes of git's smart protocol."""
        for name in ("{repo}.git", "{repo}"):
            for tail in ("info/refs", "git-upload-pack", "git-receive-pack"):
                app.router.add_route("*", f"/{{owner}}/{name}/{tail}", self.handle)
        app.router.add_get(r"/_codeload/{id:\d+}/{sha:[0-9a-f]+}", self.archive)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Check the password, then let git talk; after a push, tell what moved."""
        path = request.path.partition(".git/")[2] or "/".join(request.path.split("/")[3:])
        pushing = "receive-pack" in path or request.query.get("service") == "git-receive-pack"
        try:
            repo, who = self._allowed(request, RANK["write" if pushing else "read"])
        except BadCredentials as error:
            return web.Response(status=401, text=str(error), headers={"WWW-Authenticate": 'Basic realm="GitHub"'})
        if repo is None or (pushing and repo.archived):
            return web.Response(status=404 if repo is None else 403, text="Repository not found.")
        if _named(request) != repo.full_name.lower():
            # "all `git clone`, `git fetch`, or `git push` operations targeting the previous location will continue to
            # function as if made on the new location": by a redirect.
            where = f"{self.sim.url}/{repo.full_name}.git/{path}?{request.query_string}"
            return web.Response(status=301, headers={"Location": where})
        info = f"/{repo.id}.git/{path}"
        if not (pushing and request.method == "POST"):
            response = await self._backend.serve(request, info, who.login)
            if request.method == "POST":
                repo.fetched_at = self.sim.now()
            return response
        async with self.sim.lock(repo):
            before = await self.sim.git.refs(repo.id)
            response = await self._backend.serve(request, info, who.login)
            after = await self.sim.git.refs(repo.id)
            for ref in sorted(before.keys() | after.keys()):
                old, new = before.get(ref, ZERO), after.get(ref, ZERO)
                if old != new and ref.startswith(("refs/heads/", "refs/tags/")):
                    await self.sim.pushed(repo, ref, old, new, who)
        return response

    def _allowed(self, request: web.Request, rank: int) -> tuple[Repository | None, Account]:
        """The repository (None: not there or not for you) and who asks."""
        sim, header = self.sim, request.headers.get("Authorization", "")
        repo: Repository | None
        try:
            repo = sim.repository(_named(request))
        except Unknown:
            repo = sim.repositories.get(sim.former_names.get(_named(request), 0))
        if not header:
            if repo is None or repo.private or rank > RANK["read"]:
                raise BadCredentials("Authentication required")
            return repo, sim.account("anonymous")
        token = password(header) if header.lower().startswith("basic ") else header.partition(" ")[2]
        if sim.keys.is_admin(token):
            return repo, repo.owner if repo else sim.account("admin")
        caller = sim.keys.token(token, sim.now())
        if repo is None:
            return None, caller.account or sim.app.bot
        if caller.account is not None:
            right = repo.permission(caller.account.login)
            level = "read" if rank <= RANK["read"] else "write"
            within = caller.may("contents", level, repo) or (level == "read" and not repo.private)
            return (repo if RANK[right] >= rank and within else None), caller.account
        installation = caller.installation
        assert installation is not None
        inside = installation.covers(repo) and (caller.repository_ids is None or repo.id in caller.repository_ids)
        enough = RANK[caller.permissions.get("contents", "none")] >= rank
        open_to_all = not repo.private and rank <= RANK["read"]
        allowed = (inside and enough and not installation.suspended_at) or open_to_all
        return (repo if allowed else None), sim.app.bot

    async def archive(self, request: web.Request) -> web.StreamResponse:
        """The tarball that `/tarball/{ref}` redirects to."""
        repo = self.sim.repositories.get(int(request.match_info["id"]))
        if repo is None:
            raise web.HTTPNotFound
        sha = request.match_info["sha"]
        prefix = f"{repo.owner.login}-{repo.name}-{sha[:7]}/"
        data = await self.sim.git.run(repo.id, "archive", "--format=tar.gz", f"--prefix={prefix}", sha)
        return web.Response(body=data, content_type="application/x-gzip")


def _named(request: web.Request) -> str:
    """The repository's name as it was asked for, in small letters."""
    return f"{request.match_info['owner']}/{request.match_info['repo']}".lower()
