"""What is pushed to apps: a repository for each, which the web process fills. Of it we read objects, and delete it."""

import asyncio
import re
import time
import uuid
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from workers.builds.processes import delete_tree

_APP_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushes:
    """The repositories below a directory."""

    directory: Path

    def of(self, app_id: str) -> Path:
        """The repository that an app is pushed to."""
        return self.directory / f"{uuid.UUID(app_id)}.git"

    def apps(self) -> set[str]:
        """The ids of the apps that have one."""
        return {place.stem for place in self.directory.glob("*.git") if _APP_ID.fullmatch(place.stem)}

    async def drop(self, app_ids: Collection[str]) -> None:
        """Delete those of these apps, which are gone."""
        for app_id in app_ids:
            await asyncio.to_thread(delete_tree, self.of(app_id))

    async def drop_half_made(self, *, older_than: timedelta) -> None:
        """Delete what whoever made such a repository left when they were killed."""
        before = time.time() - older_than.total_seconds()
        for left in self.directory.glob(".new-*"):
            with suppress(FileNotFoundError):  # it is in its place by now
                if left.lstat().st_mtime < before:
                    await asyncio.to_thread(delete_tree, left)
