"""What jobs get: everything a worker process opened at its start, passed explicitly."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from service.domain.model import Repository
from service.enact import Committer
from service.github.client import GitHub
from service.github.looks import Looks
from service.github.writes import Writes
from service.settings import Settings
from service.store.leases import LeaseTerms
from workers.builds.builder import Workshop
from workers.builds.download import Downloads
from workers.builds.slug import SlugStore
from workers.builds.source import Remote, Source
from workers.platforms.base import Platform


@dataclass(frozen=True, slots=True, kw_only=True)
class Context(Committer):
    """A worker's open parts. `platforms` maps the name of a space's driver to it."""

    settings: Settings
    terms: LeaseTerms
    github: GitHub
    looks: Looks
    writes: Writes
    platforms: Mapping[str, Platform]
    workshop: Workshop
    stack: str
    downloads: Downloads = field(default_factory=Downloads)
    work_cap: int = 4

    async def remote_of(self, repository: Repository) -> Remote:
        """Where git fetches a repository from by the name that we know, and as whom."""
        return Remote(
            repository_id=repository.id,
            url=f"{self.settings.github_url}/{repository.full_name}.git",
            token=await self.github.git_token(repository),
        )

    @property
    def source(self) -> Source:
        """The mirrors."""
        return self.workshop.source

    @property
    def slugs(self) -> SlugStore:
        """The slugs."""
        return self.workshop.slugs
