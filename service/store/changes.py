"""What a transaction has changed that others may want to hear of.

It is put down where it is written, costs no statement, and is read once before the commit (`service/enact.py`). What a
transaction writes that nobody reads is thrown away by the next.
"""

from typing import Final

from sqlalchemy import Connection

from service.domain.happenings import Change, Engine, Thing
from service.domain.model import PipelineId

_KEY: Final = "towpath changes"


def note(conn: Connection, before: Thing | None, after: Thing, *, left: PipelineId | None = None) -> None:
    """Put a change down; `left` is the pipeline that an app goes from with it."""
    conn.info.setdefault(_KEY, []).append(Change(before=before, after=after, left=left))


def taken(conn: Connection) -> list[Change]:
    """All that was put down since this was last asked, each thing once: from what it was first to what it is now."""
    found: dict[tuple[type[Thing], str], Change] = {}
    for each in conn.info.pop(_KEY, ()):
        key = type(each.after), each.after.app.id if isinstance(each.after, Engine) else each.after.id
        first = found.get(key, each)
        found[key] = Change(before=first.before, after=each.after, left=each.left or first.left)
    return list(found.values())
