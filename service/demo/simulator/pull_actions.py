"""What people do to pull requests: open, push to, label, merge, close, reopen, queue, comment."""

from collections.abc import Iterable
from typing import Any

from service.demo.simulator import git_diff, payloads, shapes_work
from service.demo.simulator.git_store import ZERO, GitFailed
from service.demo.simulator.repository_actions import RepositoryActions
from service.demo.simulator.state import Account, App, Comment, Pull, Repository
from service.demo.simulator.world import RepositoryName, Unknown


class PullActions(RepositoryActions):
    """Pull requests, their comments, and the merge queue."""

    async def open_pull(
        self,
        repo: RepositoryName,
        head: str,
        *,
        base: str | None = None,
        title: str = "A change",
        body: str | None = None,
        by: str = "",
        draft: bool = False,
        labels: Iterable[str] = (),
        head_repo: RepositoryName | None = None,
    ) -> Pull:
        """Open a pull request of branch `head`, of this repository or of the fork `head_repo`."""
        one = self.repository(repo)
        source = one if head_repo is None else self.repository(head_repo)
        heads, now = await self.git.branches(source.id), self.now()
        if head not in heads:
            raise Unknown(f"no branch {head} in {source.full_name}")
        base_ref = base or one.default_branch
        pull = Pull(
            id=self.next_id(), number=one.next_number, title=title, body=body, draft=draft,
            user=self.account(by or source.owner.login), head_repository=source, head_owner=source.owner,
            head_ref=head, head_sha=heads[head], base_ref=base_ref,
            base_sha=(await self.git.branches(one.id))[base_ref], labels=list(labels),
            created_at=now, updated_at=now,
        )  # fmt: skip
        one.next_number += 1
        await self._take_head(one, pull)
        one.pulls[pull.number] = pull
        self._tell(one, pull, "opened", pull.user)
        return pull

    async def retarget(self, repo: Repository, branch: str, name: str) -> None:
        """Open pull requests into a renamed branch go into it under its new name (`edited`)."""
        for pull in [one for one in repo.pulls.values() if one.state == "open" and one.base_ref == branch]:
            await self.edit_pull(repo, pull.number, base=name)

    async def head_moved(self, repo: Repository, branch: str, before: str, after: str, by: Account) -> None:
        """A branch moved: pull requests from it follow, those into it may be merged by that."""
        for base in tuple(self.repositories.values()):
            for pull in [one for one in base.pulls.values() if one.state == "open"]:
                if pull.head_repository is repo and pull.head_ref == branch:
                    await self._follow(base, pull, before, after, by)
                elif base is repo and pull.base_ref == branch and after != ZERO:
                    await self._notice_merge(base, pull, after, by)

    async def _follow(self, base: Repository, pull: Pull, before: str, after: str, by: Account) -> None:
        """`refs/pull/N/head` follows its branch (`synchronize`); a deleted branch closes."""
        if after == ZERO:
            self.close_pull(base, pull.number, by=by.login)
            return
        pull.head_sha = after
        pull.base_sha = (await self.git.branches(base.id)).get(pull.base_ref, pull.base_sha)
        await self._take_head(base, pull)
        self._tell(base, pull, "synchronize", by, before=before, after=after)

    async def _notice_merge(self, repo: Repository, pull: Pull, tip: str, by: Account) -> None:
        """Pushing a pull request's commits to its base by hand counts as merging it."""
        if await self.git.merge_base(repo.id, pull.head_sha, tip) == pull.head_sha:
            pull.state, pull.merge_commit_sha, pull.merged_by = "closed", tip, by
            pull.merged_at = pull.closed_at = self.now()
            self._tell(repo, pull, "closed", by)

    async def merge_pull(self, repo: RepositoryName, number: int, *, by: str = "", delete_branch: bool = False) -> str:
        """Merge with a merge commit; sends `pull_request.closed` and `push`; returns the commit's sha."""
        one, pull = self.repository(repo), self.pull(repo, number)
        person = self.account(by or one.owner.login)
        async with self.lock(one):
            base = (await self.git.branches(one.id))[pull.base_ref]
            message = f"Merge pull request #{number} from {pull.head_owner.login}/{pull.head_ref}\n\n{pull.title}"
            sha = await self.git.merge(one.id, base=base, head=pull.head_sha, message=message, when=self.now())
            if sha is None:
                raise ValueError(f"pull request {number} has conflicts with {pull.base_ref}")
            await self.git.point(one.id, f"refs/heads/{pull.base_ref}", sha)
            pull.state, pull.merge_commit_sha, pull.merged_by = "closed", sha, person
            pull.merged_at = pull.closed_at = self.now()
            self._tell(one, pull, "closed", person)
            await self.pushed(one, f"refs/heads/{pull.base_ref}", base, sha, person)
        if delete_branch and pull.head_repository is not None:
            await self.delete_branch(pull.head_repository, pull.head_ref, by=person.login)
        return sha

    def close_pull(self, repo: RepositoryName, number: int, *, by: str = "") -> None:
        """Close without merging."""
        one, pull = self.repository(repo), self.pull(repo, number)
        pull.state, pull.closed_at = "closed", self.now()
        self._tell(one, pull, "closed", self.account(by or one.owner.login))

    async def reopen_pull(self, repo: RepositoryName, number: int, *, by: str = "") -> None:
        """Reopen; the head is what its branch is now."""
        one, pull = self.repository(repo), self.pull(repo, number)
        if pull.merged_at or pull.head_repository is None:
            raise ValueError(f"pull request {number} cannot be reopened")
        pull.head_sha = (await self.git.branches(pull.head_repository.id))[pull.head_ref]
        await self._take_head(one, pull)
        pull.state, pull.closed_at = "open", None
        self._tell(one, pull, "reopened", self.account(by or one.owner.login))

    async def edit_pull(self, repo: RepositoryName, number: int, *, title: str | None = None, body: str | None = None,
                        base: str | None = None) -> None:  # fmt: skip
        """Change title, body or base branch; `changes` names what it was."""
        one, pull = self.repository(repo), self.pull(repo, number)
        changes: dict[str, Any] = {}
        if title is not None:
            changes["title"], pull.title = {"from": pull.title}, title
        if body is not None:
            changes["body"], pull.body = {"from": pull.body or ""}, body
        if base is not None:
            changes["base"] = {"ref": {"from": pull.base_ref}, "sha": {"from": pull.base_sha}}
            pull.base_ref, pull.base_sha = base, (await self.git.branches(one.id))[base]
            await self._take_head(one, pull)
        self._tell(one, pull, "edited", pull.user, changes=changes)

    def label_pull(self, repo: RepositoryName, number: int, label: str, *, by: str = "") -> None:
        """Put a label on."""
        one, pull = self.repository(repo), self.pull(repo, number)
        pull.labels.append(label)
        self._tell(one, pull, "labeled", self.account(by or one.owner.login),
                   label=shapes_work.label(self.site, one, label))  # fmt: skip

    def unlabel_pull(self, repo: RepositoryName, number: int, label: str, *, by: str = "") -> None:
        """Take a label off."""
        one, pull = self.repository(repo), self.pull(repo, number)
        pull.labels.remove(label)
        self._tell(one, pull, "unlabeled", self.account(by or one.owner.login),
                   label=shapes_work.label(self.site, one, label))  # fmt: skip

    def set_draft(self, repo: RepositoryName, number: int, draft: bool = True) -> None:
        """Convert to draft, or mark ready for review."""
        one, pull = self.repository(repo), self.pull(repo, number)
        pull.draft = draft
        self._tell(one, pull, "converted_to_draft" if draft else "ready_for_review", pull.user)

    async def refresh_mergeable(self, repo: Repository, pull: Pull) -> None:
        """Look whether an open pull request merges cleanly now."""
        if pull.state == "open" and (base := (await self.git.branches(repo.id)).get(pull.base_ref)):
            made = await self.git.merge(repo.id, base=base, head=pull.head_sha, message="Test", when=pull.created_at)
            pull.mergeable = made is not None

    # Conversation --------------------------------------------------------------------------------

    def comment(self, repo: RepositoryName, number: int, body: str, *, by: str = "", app: App | None = None) -> Comment:
        """Comment on a pull request, as a person or as an App's bot (`issue_comment.created`)."""
        one, pull, now = self.repository(repo), self.pull(repo, number), self.now()
        author = app.bot if app else self.account(by or one.owner.login)
        made = Comment(
            id=self.next_id(), number=number, body=body, user=author, by_app=app, created_at=now, updated_at=now
        )
        one.comments[made.id] = made
        self.emit("issue_comment", one, payloads.issue_comment(self.site, one, pull, made, "created"), author)
        return made

    def edit_comment(self, repo: RepositoryName, comment_id: int, body: str) -> Comment:
        """Rewrite a comment (`issue_comment.edited`)."""
        one = self.repository(repo)
        made = one.comments[comment_id]
        changes = {"body": {"from": made.body}}
        made.body, made.updated_at = body, self.now()
        shown = payloads.issue_comment(self.site, one, one.pulls[made.number], made, "edited")
        self.emit("issue_comment", one, shown | {"changes": changes}, made.user)
        return made

    def delete_comment(self, repo: RepositoryName, comment_id: int) -> None:
        """Remove a comment (`issue_comment.deleted`)."""
        one = self.repository(repo)
        made = one.comments.pop(comment_id)
        shown = payloads.issue_comment(self.site, one, one.pulls[made.number], made, "deleted")
        self.emit("issue_comment", one, shown, one.owner)

    # Merge queue ---------------------------------------------------------------------------------

    async def enqueue(self, repo: RepositoryName, number: int) -> str:
        """Put into the merge queue: a `gh-readonly-queue` branch, `merge_group.checks_requested`; returns its ref."""
        one, pull = self.repository(repo), self.pull(repo, number)
        async with self.lock(one):
            base = (await self.git.branches(one.id))[pull.base_ref]
            message = f"Merge pull request #{number}"
            sha = await self.git.merge(one.id, base=base, head=pull.head_sha, message=message, when=self.now())
            if sha is None:
                raise ValueError(f"pull request {number} has conflicts with {pull.base_ref}")
            ref = f"refs/heads/gh-readonly-queue/{pull.base_ref}/pr-{number}-{base}"
            await self.git.point(one.id, ref, sha)
            await self.pushed(one, ref, ZERO, sha, one.owner)
        await self._tell_group(one, ref, "checks_requested", pull.base_ref)
        return ref

    async def destroy_merge_group(self, repo: RepositoryName, ref: str, reason: str = "dequeued") -> None:
        """Take out of the merge queue; reasons: merged, invalidated, dequeued."""
        one = self.repository(repo)
        base = ref.removeprefix("refs/heads/gh-readonly-queue/").rpartition("/pr-")[0]
        await self._tell_group(one, ref, "destroyed", base, reason)
        await self.delete_branch(one, ref.removeprefix("refs/heads/"))

    async def _tell_group(self, repo: Repository, ref: str, action: str, base: str, reason: str | None = None) -> None:
        sha = await self.git.resolve(repo.id, ref)
        assert sha is not None
        body = payloads.merge_group(
            self.site, repo, ref=ref, commit=await self.git.read(repo.id, sha), base_ref=f"refs/heads/{base}",
            action=action, reason=reason,
        )  # fmt: skip
        self.emit("merge_group", repo, body, repo.owner)

    async def _take_head(self, repo: Repository, pull: Pull) -> None:
        """Bring the head's commits into the base repository as `refs/pull/N/head`, and count the change."""
        ref = f"refs/pull/{pull.number}/head"
        if pull.head_repository is not None and pull.head_repository is not repo:
            await self.git.take(repo.id, source=pull.head_repository.id, refspec=f"+refs/heads/{pull.head_ref}:{ref}")
        else:
            await self.git.point(repo.id, ref, pull.head_sha)
        start = await self.git.merge_base(repo.id, pull.base_sha, pull.head_sha)
        found = await git_diff.changes(self.git, repo.id, start or ZERO, pull.head_sha)
        pull.additions = sum(change.additions for change in found)
        pull.deletions = sum(change.deletions for change in found)
        pull.changed_files = len(found)
        try:
            count = await self.git.text(repo.id, "rev-list", "--count", f"{pull.base_sha}..{pull.head_sha}")
        except GitFailed:
            count = "1"
        pull.commits = int(count)

    def _tell(self, repo: Repository, pull: Pull, action: str, by: Account, **fields: Any) -> None:
        pull.updated_at = self.now()
        self.emit("pull_request", repo, payloads.pull_request(self.site, repo, pull, action, **fields), by)
