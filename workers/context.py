"""What jobs get: everything a worker process opened at its start, passed explicitly."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from service.enact import Committer
from service.github.client import GitHub
from service.github.looks import Looks
from service.github.writes import Writes
from service.settings import Settings
from service.store.leases import LeaseTerms
from workers.builds.builder import Workshop
from workers.builds.download import Downloads
from workers.builds.slug import SlugStore
from workers.builds.source import Source
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

    @property
    def source(self) -> Source:
        """The mirrors."""
        return self.workshop.source

    @property
    def slugs(self) -> SlugStore:
        """The slugs."""
        return self.workshop.slugs
