"""What tokens are for: each is asked for with the permissions that this takes, and no others."""

from collections.abc import Mapping
from enum import Enum, unique
from typing import Final


@unique
class Purpose(Enum):
    """What a token is for, with the permissions that takes."""

    READ = "read"
    GIT = "git"
    CHECKS = "checks"
    STATUSES = "statuses"
    DEPLOYMENTS = "deployments"
    COMMENTS = "comments"

    @property
    def permissions(self) -> Mapping[str, str]:
        """The permissions to ask for."""
        return _PERMISSIONS[self]


_PERMISSIONS: Final[Mapping[Purpose, Mapping[str, str]]] = {
    Purpose.READ: {
        "metadata": "read",
        "contents": "read",
        "pull_requests": "read",
        "statuses": "read",
        "checks": "read",
    },
    Purpose.GIT: {"contents": "read"},
    Purpose.CHECKS: {"checks": "write"},
    Purpose.STATUSES: {"statuses": "write"},
    Purpose.DEPLOYMENTS: {"deployments": "write"},
    Purpose.COMMENTS: {"pull_requests": "write"},
}
