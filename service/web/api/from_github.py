"""What Heroku's clients ask GitHub itself: a repository, how two commits differ, where an archive is.

Answered with this installation's own access, about repositories of pipelines that one sees; about others only to
whom GitHub lets write there.
"""

import re
from typing import Final

from aiohttp import web
from sqlalchemy import Connection

from service.domain.access import Person
from service.domain.errors import Refused
from service.domain.model import Repository, Sha
from service.store import repositories, sight
from service.web import rights
from service.web.api import answers, shapes
from service.web.api.on_github import check_on_github
from service.web.keys import CALLER, CONTEXT

_COMMITS: Final = re.compile(r"([0-9a-f]{40})\.\.\.([0-9a-f]{40})")


def _seen(conn: Connection, by: Person, full_name: str) -> Repository | None:
    known = repositories.by_name(conn, full_name)
    if known is None or all(each.repository_id != known.id for each in sight.seen_pipelines(conn, by)):
        return None
    return known


async def _repository(request: web.Request) -> Repository:
    context, caller = request.app[CONTEXT], request[CALLER]
    full_name = f"{request.match_info['owner']}/{request.match_info['name']}"
    known = await context.db.read(lambda conn: _seen(conn, caller.person, full_name))
    if known is not None:
        return known
    found = await context.lookup.repository(full_name)
    await check_on_github(context, caller.user, found)
    return found


async def info(request: web.Request) -> web.Response:
    """GET /repos/OWNER/NAME: the repository's number and default branch."""
    found = await _repository(request)
    shape = {
        "id": found.id,
        "full_name": found.full_name,
        "default_branch": found.default_branch,
        "archived": found.archived,
    }
    return answers.answer(request, shape)


async def compare(request: web.Request) -> web.Response:
    """GET /repos/OWNER/NAME/compare/BASE...HEAD: what one commit has that another has not."""
    commits = _COMMITS.fullmatch(request.match_info["commits"])
    if commits is None:
        raise Refused("commits: name two as BASE...HEAD, each by its 40 digits")
    found = await _repository(request)
    difference = await request.app[CONTEXT].lookup.difference(found, Sha(commits[1]), Sha(commits[2]))
    shape = {
        "ahead_by": difference.ahead_by,
        "behind_by": difference.behind_by,
        "total_commits": difference.ahead_by,
        "commits": [
            {
                "sha": each.sha,
                "commit": {
                    "message": each.title,
                    "author": {"name": each.author, "date": shapes.moment(each.written_at)},
                },
            }
            for each in difference.commits
        ],
    }
    return answers.answer(request, shape)


async def archive(request: web.Request) -> web.Response:
    """GET /github/repos/OWNER/NAME/tarball/REF: an address that builds and app setups take as that commit."""
    found, ref = await _repository(request), request.match_info["ref"]
    await request.app[CONTEXT].lookup.resolve(found, ref)
    link = f"{request.app[CONTEXT].settings.github_url}/{found.full_name}/archive/{ref}.tar.gz"
    return answers.answer(request, {"archive_link": link})


ROUTES = [
    rights.get("/repos/{owner}/{name}", info, rights.CALLER),
    rights.get("/repos/{owner}/{name}/compare/{commits}", compare, rights.CALLER),
    rights.get("/github/repos/{owner}/{name}/tarball/{ref:.+}", archive, rights.CALLER),
]
