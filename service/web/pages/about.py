"""What this program is, under which license, and what it is made of."""

import asyncio
import re
from functools import cache
from importlib import metadata
from typing import Final

from aiohttp import web

from service.web import rights
from service.web.keys import VISITOR
from service.web.pages.rendering import page
from service.web.pages.signed_in import PATH

_OURS: Final = "towpath"
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")
_LONGEST: Final = 60
"""Some packages put the whole text of their license where its name belongs."""


@cache
def packages() -> tuple[tuple[str, str, str], ...]:
    """What is installed for us to run: (package, version, license as the package says it), by name."""
    found = dict[str, tuple[str, str, str]]()
    wanted = [_OURS]
    while wanted:
        name = wanted.pop()
        key = re.sub(r"[-_.]+", "-", name).lower()
        if key in found:
            continue
        try:
            it = metadata.distribution(name)
        except metadata.PackageNotFoundError:  # for other systems, or for an extra that is not asked for
            continue
        found[key] = (it.metadata["Name"], it.version, _license(it))
        wanted += [match[0] for each in it.requires or () if "extra ==" not in each and (match := _NAME.match(each))]
    return tuple(sorted((each for key, each in found.items() if key != _OURS), key=lambda each: each[0].lower()))


def _license(it: metadata.Distribution) -> str:
    for each in (*(it.metadata.get_all("License-Expression") or ()), *(it.metadata.get_all("License") or ())):
        said = str(each).strip()
        if 0 < len(said) <= _LONGEST and "\n" not in said:
            return said
    classified = [each.rpartition(" :: ")[2] for each in it.metadata.get_all("Classifier") or () if "License" in each]
    return ", ".join(classified) or "said in its own files"


async def about(request: web.Request) -> web.Response:
    """GET /dashboard/about."""
    listed = await asyncio.to_thread(packages)
    return page("dashboard/about.html", visitor=request[VISITOR], version=metadata.version(_OURS), packages=listed)


ROUTES = [rights.get(f"{PATH}/about", about, rights.page(rights.CALLER))]
