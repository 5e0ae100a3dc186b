"""What an engine runs that the database does not know is shown to people, and goes when one of them says so.

Nothing of it is taken away by itself, after however long. The engine knows an app by its id alone; which pull request
that was, if it was a review app at all, stood in the row that is gone, so that there is nobody on GitHub to ask whether
it is closed. That the database does not know it proves nothing: with an old backup brought back it does not know
production either.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import structlog

from service.domain.errors import Refused, Transient
from service.store import apps, orphans
from workers.context import Context
from workers.platforms.base import Fence, Fenced, Instance, Platform

log = structlog.get_logger()

_LAST: Final = Fence(generation=2**30, token=0)
"""Above whatever the engine has seen, for the database has forgotten how far that was."""


async def mind_orphans(context: Context, driver: str, platform: Platform, found: Sequence[Instance]) -> None:
    """Keep the list of them true, and take away those that a person wants to go."""
    running = _processes(found)
    known, listed = await context.db.read(
        lambda conn: (apps.known_among(conn, running), {each.app_id: each for each in orphans.listing(conn)})
    )
    strange = {app_id: shown for app_id, shown in running.items() if app_id not in known}
    before = {each.app_id: each.processes for each in listed.values() if each.driver == driver}
    for app_id in [each for each in strange if each in listed and listed[each].leaving]:
        log.warning("orphan is taken away", app=app_id)
        try:
            await platform.remove(app_id, fence=_LAST)
        except (Fenced, Refused, Transient) as error:  # tried again in the next round; the others are not to wait
            log.warning("orphan is still there", app=app_id, error=str(error))
        else:
            del strange[app_id]
    if strange != before:
        now = context.db.now()
        await context.db.write(lambda conn: orphans.keep(conn, driver=driver, found=strange, now=now))


def _processes(found: Sequence[Instance]) -> Mapping[str, str]:
    """The processes of each app, in words."""
    named: dict[str, list[str]] = {}
    for instance in found:
        named.setdefault(instance.app_id, []).append(instance.process)
    return {app_id: ", ".join(sorted(processes)) for app_id, processes in named.items()}
