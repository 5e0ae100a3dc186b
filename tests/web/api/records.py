"""What the activity log says of each change that the audit makes."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple


class Entry(NamedTuple):
    """What is on record of a change: the act, by name the app and pipeline that it is about, and what was changed."""

    action: str
    app: str = ""
    pipeline: str = ""
    ref: str = ""
    sha: str = ""
    data: Any = MappingProxyType({})


RECORDS: Mapping[str, list[Entry]] = {}
