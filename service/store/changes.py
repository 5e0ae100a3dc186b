"""What a transaction has changed that others may want to hear of.

It is put down where it is written, costs no statement, and is read once before the commit (`service/enact.py`). What a
transaction writes that nobody reads is thrown away by the next.
"""

from typing import Final

from sqlalchemy import Connection

from service.domain.happenings import Change, Engine, Thing

_KEY: Final = "towpath changes"


def note(conn: Connection, before: Thing | None, after: Thing) -> None:
    """Put a change down."""
    conn.info.setdefault(_KEY, []).append(Change(before=before, after=after))


def taken(conn: Connection) -> list[Change]:
    """All that was put down since this was last asked, each thing once: from what it was first to what it is now."""
    found: dict[tuple[type[Thing], str], Change] = {}
    for each in conn.info.pop(_KEY, ()):
        key = type(each.after), each.after.app.id if isinstance(each.after, Engine) else each.after.id
        before = found[key].before if key in found else each.before
        found[key] = Change(before=before, after=each.after)
    return list(found.values())
