"""What people do with our App: install it, suspend it, give it repositories and take them away."""

from collections.abc import Iterable

from service.demo.simulator import payloads
from service.demo.simulator.state import Installation, Repository
from service.demo.simulator.world import RepositoryName, World


class InstallationActions(World):
    """Installations of our App."""

    def cover(self, repo: Repository) -> Installation:
        """Install our App on a repository, with the event that this causes."""
        for one in self.installations.values():
            if one.account.id == repo.owner.id:
                if not one.covers(repo):
                    self.add_to(one.id, repo)
                return one
        return self.install(repo.owner.login, [repo])

    def install(self, login: str, repos: Iterable[RepositoryName] | None = None) -> Installation:
        """Install our App on an account, on all its repositories or on some (`installation.created`)."""
        chosen = None if repos is None else {self.repository(repo).id for repo in repos}
        made = Installation(
            id=self.next_id(), account=self.account(login), created_at=self.now(),
            permissions=dict(self.app.permissions), repository_ids=chosen,
        )  # fmt: skip
        self.installations[made.id] = made
        self._tell_installation(made, "created")
        return made

    def uninstall(self, installation_id: int) -> None:
        """Uninstall: its tokens die (`installation.deleted`)."""
        one = self.installations[installation_id]
        self._tell_installation(one, "deleted")
        del self.installations[installation_id]
        self.keys.revoke_installation(one)

    def suspend(self, installation_id: int, suspended: bool = True) -> None:
        """Suspend or unsuspend an installation."""
        one = self.installations[installation_id]
        one.suspended_at = self.now() if suspended else None
        self._tell_installation(one, "suspend" if suspended else "unsuspend")

    def add_to(self, installation_id: int, repo: RepositoryName) -> None:
        """Give an installation one more repository (`installation_repositories.added`)."""
        self._change_installation(installation_id, added=[self.repository(repo)], removed=[])

    def remove_from(self, installation_id: int, repo: RepositoryName) -> None:
        """Take a repository from an installation (`installation_repositories.removed`)."""
        self._change_installation(installation_id, added=[], removed=[self.repository(repo)])

    def choose_repositories(self, installation_id: int, ids: set[int] | None) -> None:
        """Give an installation these repositories and no others, or all; an event for each kind of change."""
        one = self.installations[installation_id]
        before = {repo.id: repo for repo in self.repositories_of(one)}
        one.repository_ids = ids
        after = {repo.id: repo for repo in self.repositories_of(one)}
        for added, removed in (
            ([after[each] for each in after.keys() - before.keys()], []),
            ([], [before[each] for each in before.keys() - after.keys()]),
        ):
            if added or removed:
                self._tell_change(one, added=added, removed=removed)

    def accept_permissions(self, installation_id: int) -> None:
        """An owner accepts what our App asks for by now (`installation.new_permissions_accepted`)."""
        one = self.installations[installation_id]
        one.permissions = dict(self.app.permissions)
        self._tell_installation(one, "new_permissions_accepted")

    def repositories_of(self, installation: Installation) -> list[Repository]:
        """The repositories an installation covers."""
        return [repo for repo in self.repositories.values() if installation.covers(repo)]

    def _change_installation(self, number: int, *, added: list[Repository], removed: list[Repository]) -> None:
        one = self.installations[number]
        if one.repository_ids is None:
            one.repository_ids = {repo.id for repo in self.repositories_of(one)}
        one.repository_ids |= {repo.id for repo in added}
        one.repository_ids -= {repo.id for repo in removed}
        self._tell_change(one, added=added, removed=removed)

    def _tell_change(self, one: Installation, *, added: list[Repository], removed: list[Repository]) -> None:
        body = payloads.installation_repositories(self.site, one, self.app, added=added, removed=removed)
        self.emit_installation("installation_repositories", one, body)

    def _tell_installation(self, one: Installation, action: str) -> None:
        body = payloads.installation(self.site, one, self.app, action, self.repositories_of(one))
        self.emit_installation("installation", one, body)
