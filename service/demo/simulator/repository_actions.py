"""What people do to repositories: create, fork, push, rename, archive, delete, protect."""

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from service.demo.simulator import git_diff, payloads, shapes
from service.demo.simulator.app_actions import AppActions
from service.demo.simulator.git_store import ZERO, Commit
from service.demo.simulator.state import Account, CheckSuite, Repository, RequiredCheck
from service.demo.simulator.world import RepositoryName

Files = Mapping[str, str | bytes | None]


class RepositoryActions(AppActions):
    """Repositories and pushes."""

    async def create_repo(
        self,
        full_name: str,
        *,
        files: Files | None = None,
        directory: Path | str | None = None,
        default_branch: str = "master",
        private: bool = False,
        installed: bool = True,
        hooked: bool = False,
        kind: Literal["User", "Organization"] = "Organization",
        message: str = "First commit",
    ) -> Repository:
        """Create `owner/name`, with a first commit if files are given, and our App installed on it.

        Sends what GitHub sends then: `installation.created` or `installation_repositories.added`,
        `repository.created`, and `push`. Not installed, nothing is sent unless it has a hook of its own.
        """
        owner_name, _, name = full_name.partition("/")
        owner, now = self.account(owner_name, kind), self.now()
        repo = Repository(
            id=self.next_id(), owner=owner, name=name, default_branch=default_branch, private=private, hooked=hooked,
            created_at=now, updated_at=now, pushed_at=now,
        )  # fmt: skip
        await self.git.create(repo.id, default_branch)
        self.repositories[repo.id] = repo
        if installed:
            self.cover(repo)
        self.emit("repository", repo, {"action": "created"}, owner)
        if files is not None or directory is not None:
            await self.push(repo, default_branch, files or {}, directory=directory, message=message, by=owner_name)
        return repo

    async def fork(self, repo: RepositoryName, owner: str) -> Repository:
        """Fork a repository for a user; our App is not installed on the fork."""
        base = self.repository(repo)
        made = await self.create_repo(
            f"{owner}/{base.name}", default_branch=base.default_branch, private=base.private,
            installed=False, kind="User",
        )  # fmt: skip
        made.parent = base
        await self.git.take(made.id, source=base.id, refspec="+refs/heads/*:refs/heads/*")
        return made

    async def push(
        self,
        repo: RepositoryName,
        branch: str,
        files: Files,
        *,
        directory: Path | str | None = None,
        message: str = "Change",
        by: str = "",
        parent: str | None = None,
        executable: Iterable[str] = (),
    ) -> str:
        """Commit files (None deletes one) and push; returns the sha.

        A new branch starts from the default branch. `parent` starts from another commit: a forced push
        when the branch exists and is not behind it.
        """
        one = self.repository(repo)
        content: dict[str, str | bytes | None] = dict(files)
        runnable = set(executable)
        if directory is not None:
            found, marked = await asyncio.to_thread(_read_directory, Path(directory))
            content |= found
            runnable |= marked
        author = by or one.owner.login
        async with self.lock(one):
            heads = await self.git.branches(one.id)
            before = heads.get(branch)
            sha = await self.git.commit(
                one.id, branch=branch, files=content, message=message, author=author, when=self.now(),
                parent=parent or before or heads.get(one.default_branch), executable=frozenset(runnable),
            )  # fmt: skip
            await self.pushed(one, f"refs/heads/{branch}", before or ZERO, sha, self.account(author))
        return sha

    async def set_branch(self, repo: RepositoryName, branch: str, sha: str, *, by: str = "") -> None:
        """Point a branch at an existing commit: a new branch, a fast forward or a forced push."""
        one = self.repository(repo)
        async with self.lock(one):
            before = (await self.git.branches(one.id)).get(branch, ZERO)
            await self.git.point(one.id, f"refs/heads/{branch}", sha)
            await self.pushed(one, f"refs/heads/{branch}", before, sha, self.account(by or one.owner.login))

    async def delete_branch(self, repo: RepositoryName, branch: str, *, by: str = "") -> None:
        """Delete a branch."""
        one = self.repository(repo)
        async with self.lock(one):
            before = (await self.git.branches(one.id))[branch]
            await self.git.point(one.id, f"refs/heads/{branch}", None)
            await self.pushed(one, f"refs/heads/{branch}", before, ZERO, self.account(by or one.owner.login))

    async def head(self, repo: RepositoryName, branch: str | None = None) -> str:
        """The sha a branch points at (default branch without a name)."""
        one = self.repository(repo)
        return (await self.git.branches(one.id))[branch or one.default_branch]

    async def pushed(self, repo: Repository, ref: str, before: str, after: str, by: Account) -> None:
        """Tell the world that a ref moved: `push`, our check suite, and the pull requests it heads."""
        repo.pushed_at = repo.updated_at = self.now()
        commits, head, forced = [], None, False
        if after != ZERO:
            head = await self.git.read(repo.id, after)
            forced = before != ZERO and await self.git.merge_base(repo.id, before, after) != before
            commits = await self._commits_between(repo, before, after)
        body = payloads.push(
            self.site, repo, ref=ref, before=before, after=after, forced=forced, commits=commits, head=head, pusher=by
        )
        self.emit("push", repo, body, by)
        if ref.startswith("refs/heads/"):
            branch = ref.removeprefix("refs/heads/")
            if after != ZERO:
                await self._own_suite(repo, branch, before, after, by)
            await self.head_moved(repo, branch, before, after, by)

    async def head_moved(self, repo: Repository, branch: str, before: str, after: str, by: Account) -> None:
        """A branch moved; pull requests follow."""

    async def _commits_between(
        self, repo: Repository, before: str, after: str
    ) -> list[tuple[Commit, dict[str, list[str]]]]:
        known = [] if before == ZERO else [f"^{before}"]
        if before == ZERO and (default := (await self.git.branches(repo.id)).get(repo.default_branch)) != after:
            known = [f"^{default}"] if default else []
        found = []
        for commit in reversed(await self.git.log(repo.id, "--max-count=50", after, *known)):
            files: dict[str, list[str]] = {}
            first = commit.parents[0] if commit.parents else ZERO
            for change in await git_diff.changes(self.git, repo.id, first, commit.sha):
                files.setdefault(change.status, []).append(change.path)
            found.append((commit, files))
        return found

    async def _own_suite(self, repo: Repository, branch: str, before: str, sha: str, by: Account) -> None:
        """GitHub makes a suite for every App with checks:write on every pushed commit, used or not."""
        if self.installation_of(repo) is None:
            return
        if any(suite.sha == sha and suite.app is self.app for suite in repo.suites.values()):
            return
        now = self.now()
        suite = CheckSuite(
            id=self.next_id(), app=self.app, sha=sha, branch=branch, before=before, created_at=now, updated_at=now
        )
        repo.suites[suite.id] = suite
        commit = await self.git.read(repo.id, sha)
        self.emit("check_suite", repo, payloads.check_suite(self.site, repo, suite, "requested", commit), by)

    # Settings ------------------------------------------------------------------------------------

    def rename_repo(self, repo: RepositoryName, name: str) -> Repository:
        """Rename; the old name redirects (`repository.renamed`)."""
        one = self.repository(repo)
        self.former_names[one.full_name.lower()] = one.id
        old, one.name = one.name, name
        self._changed(one, "renamed", {"repository": {"name": {"from": old}}})
        return one

    def transfer_repo(
        self, repo: RepositoryName, owner: str, *, kind: Literal["User", "Organization"] = "Organization"
    ) -> Repository:
        """Give it to another owner; the old name redirects.

        "This event is only sent to the account where the ownership is transferred. To receive the
        `repository.transferred` event, the new owner account must have the GitHub App installed" (GitHub's webhook
        description), on all its repositories: nobody can have chosen this one yet.
        """
        one = self.repository(repo)
        self.former_names[one.full_name.lower()] = one.id
        for installation in self.installations.values():
            if installation.repository_ids is not None:
                installation.repository_ids.discard(one.id)
        old, one.owner = one.owner, self.account(owner, kind)
        shown = shapes.user(self.site, old) if old.type == "User" else self.organization(old)
        whose = "user" if old.type == "User" else "organization"
        self._changed(one, "transferred", {"owner": {"from": {whose: shown}}})
        return one

    async def rename_branch(self, repo: RepositoryName, branch: str, name: str, *, by: str = "") -> None:
        """Rename a branch, the default one too.

        "Branch protection policies are also updated, as well as the base branch for open pull requests ... If the
        renamed branch is the head branch of an open pull request, this pull request is closed." (GitHub docs,
        Renaming a branch)
        """
        one = self.repository(repo)
        await self.set_branch(one, name, await self.head(one, branch), by=by)
        for where in (one.protection, one.rules):
            if branch in where:
                where[name] = where.pop(branch)
        await self.retarget(one, branch, name)
        if one.default_branch == branch:
            self.set_default_branch(one, name)
        await self.delete_branch(one, branch, by=by)

    async def retarget(self, repo: Repository, branch: str, name: str) -> None:
        """Open pull requests into a renamed branch go into it under its new name."""

    def set_default_branch(self, repo: RepositoryName, branch: str) -> None:
        """Change the default branch (`repository.edited`)."""
        one = self.repository(repo)
        old, one.default_branch = one.default_branch, branch
        self._changed(one, "edited", {"default_branch": {"from": old}})

    def set_archived(self, repo: RepositoryName, archived: bool = True) -> None:
        """Archive: read only (`repository.archived` or `.unarchived`)."""
        one = self.repository(repo)
        one.archived = archived
        self._changed(one, "archived" if archived else "unarchived")

    def set_private(self, repo: RepositoryName, private: bool = True) -> None:
        """Hide or publish (`repository.privatized` or `.publicized`)."""
        one = self.repository(repo)
        one.private = private
        self._changed(one, "privatized" if private else "publicized")

    def delete_repo(self, repo: RepositoryName) -> None:
        """Delete. No event: GitHub does not send `repository.deleted` to Apps."""
        one = self.repository(repo)
        del self.repositories[one.id]
        for installation in self.installations.values():
            if installation.repository_ids is not None:
                installation.repository_ids.discard(one.id)
        for other in self.repositories.values():
            for pull in other.pulls.values():
                if pull.head_repository is one:
                    pull.head_repository = None

    def add_collaborator(self, repo: RepositoryName, login: str, permission: str = "write") -> None:
        """Give a user `read`, `triage`, `write`, `maintain` or `admin` on a repository; `none` on a private one."""
        self.account(login)
        self.repository(repo).collaborators[login] = permission

    def protect(self, repo: RepositoryName, branch: str, contexts: Iterable[str] = (), *, rules: bool = False,
                app: str | None = None) -> None:  # fmt: skip
        """Require contexts on a branch: classic protection, or a ruleset with `rules`; none lifts it."""
        one = self.repository(repo)
        app_id = None if app is None else self.other_app(app).id
        where = one.rules if rules else one.protection
        required = [RequiredCheck(context=context, app_id=app_id) for context in contexts]
        action = "created" if branch not in where else "edited" if required else "deleted"
        where[branch] = required
        if not required:
            del where[branch]
        names = [each.context for each in required]
        if rules:
            self.emit("repository_ruleset", one, payloads.ruleset(one, branch, names, action), one.owner)
        else:
            self.emit("branch_protection_rule", one, payloads.protection(one, branch, names, action), one.owner)

    def _changed(self, repo: Repository, action: str, changes: dict[str, Any] | None = None) -> None:
        repo.updated_at = self.now()
        body: dict[str, Any] = {"action": action}
        self.emit("repository", repo, body if changes is None else body | {"changes": changes}, repo.owner)


def _read_directory(directory: Path) -> tuple[dict[str, bytes], set[str]]:
    """All files below a directory, and which of them are executable."""
    files, runnable = {}, set()
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory)
        if path.is_file() and ".git" not in name.parts:
            files[str(name)] = path.read_bytes()
            if path.stat().st_mode & 0o111:
                runnable.add(str(name))
    return files, runnable
