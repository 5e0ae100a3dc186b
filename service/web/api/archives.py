"""Addresses of archives at GitHub, read as what they mean: a repository and a branch, tag or commit of it.

Nothing is fetched from an address that somebody sends. The commit is taken from the connected repository as for any
other build, which also says which commit it was.
"""

import re
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

from service.domain.errors import Refused
from service.domain.model import Repository
from service.settings import Settings

_NAME: Final = r"(?P<name>[\w.-]+/[\w.-]+)"
_PAGES: Final = re.compile(rf"/{_NAME}/archive/(?P<ref>.+?)\.(?:tar\.gz|tgz|zip)", re.ASCII)
_API: Final = re.compile(rf"/repos/{_NAME}/(?:tarball|zipball)/(?P<ref>.+)", re.ASCII)
_CODELOAD: Final = re.compile(rf"/{_NAME}/(?:legacy\.)?(?:tar\.gz|zip)/(?P<ref>.+)", re.ASCII)
_LONGEST: Final = 255
_HEADS: Final = ("refs/heads/", "refs/tags/")


class Archive(NamedTuple):
    """What an address of an archive means."""

    full_name: str
    ref: str


def read(url: str, settings: Settings) -> Archive | None:
    """What an address means, None when it is none of an archive at our GitHub."""
    bare, _, _ = url.partition("?")
    places = (
        (settings.github_api_url, _API),
        (settings.github_url, _PAGES),
        (settings.github_url.replace("//", "//codeload.", 1), _CODELOAD),
    )
    for place, pattern in places:
        # One GitHub may be at a path of another's host, as in the simulated one: the first that fits is meant.
        if bare.startswith(f"{place}/") and (match := pattern.fullmatch(unquote(bare.removeprefix(place)))):
            ref = match["ref"]
            for head in _HEADS:
                ref = ref.removeprefix(head)
            return Archive(match["name"], ref) if len(ref) <= _LONGEST else None
    return None


def ref_of(url: str, repository: Repository, settings: Settings) -> str:
    """The branch, tag or commit that an address names of the connected repository; refuses all other addresses."""
    archive = read(url, settings)
    if archive is None:
        host = urlsplit(settings.github_url).netloc
        raise Refused(
            f"source_blob.url: Towpath builds from the connected repository {repository.full_name}; leave it out and "
            "give a branch or commit as source_blob.version, or give the address of an archive of it, like "
            f"https://{host}/{repository.full_name}/archive/{repository.default_branch}.tar.gz"
        )
    if archive.full_name.lower() != repository.full_name.lower():
        raise Refused(
            f"source_blob.url: {archive.full_name} is not the connected repository, which is {repository.full_name}."
        )
    return archive.ref
