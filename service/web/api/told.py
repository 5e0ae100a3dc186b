"""What somebody was told that a change takes away: it takes away nothing else."""

from typing import Final

from aiohttp import web

NAME: Final = "told"
MEANING: Final = (
    "Names of review apps, separated by commas: if this would take away any other, it is refused "
    "(`review_apps_would_go`, with all of them in `review_apps`). Where they are too many for an address, what `told` "
    "is in that answer stands for them: `sha256:` and the digest of all names, sorted and separated by commas. Without "
    "it nothing is asked."
)
TAKEN: Final = {"Towpath-Takes": NAME}
"""The header of a pipeline's settings by which clients see that it is: a server from before would not ask."""


def told(request: web.Request) -> frozenset[str] | None:
    """The names of the review apps that may go, or their digest; None when whoever asks does not want to be told."""
    return None if NAME not in request.query else names(request.query[NAME])


def names(text: str) -> frozenset[str]:
    """Names that are separated by commas."""
    return frozenset(filter(None, map(str.strip, text.split(","))))
