"""Which SQL statements are executed, and how SQLite would go about them."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

BIG = (
    "deliveries",
    "requests",
    "releases",
    "builds",
    "activity",
    "log_chunks",
    "log_streams",
    "reports",
    "subjects",
    "facts",
    "webhook_events",
    "webhook_deliveries",
)

Statement = tuple[str, Any]


@contextmanager
def counted() -> Iterator[list[Statement]]:
    """The statements that are executed within, of readers and writers alike, without those that begin and end."""
    seen: list[Statement] = []

    def see(_conn: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        if not statement.startswith("BEGIN"):
            seen.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", see)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", see)


def scans(database: Path, statements: list[Statement]) -> list[str]:
    """Where a statement would read a big table from its beginning to its end."""
    found = []
    with sqlite3.connect(database) as connection:
        for statement, parameters in {text: (text, given) for text, given in statements}.values():
            one = parameters[0] if isinstance(parameters, list) else parameters
            for *_, step in connection.execute(f"EXPLAIN QUERY PLAN {statement}", one):
                match = re.match(r"SCAN (\w+)", step)
                # The newest so many, whatever they are, are not read to the end.
                newest = "LIMIT" in statement and "WHERE" not in statement
                if match and match[1] in BIG and not newest:
                    found.append(f"{step}: {statement}")
    connection.close()
    return found
