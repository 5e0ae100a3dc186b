"""What people do on that day: each takes one pull request after the other from its first push to its end."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.walk.stage import Pipeline, Stage

PATIENCE = 8.0
"""So many seconds somebody may look at a review app before the pull request goes on."""


@dataclass(slots=True, kw_only=True)
class Team:
    """Who works on which pipelines, and what they know of their own commits: the truth that all is compared with."""

    stage: Stage
    dice: random.Random
    pipelines: list[Pipeline]
    commits: dict[tuple[int, str], list[str]] = field(default_factory=lambda: defaultdict(list))
    """By repository and branch, in the order in which they were pushed."""
    green: set[str] = field(default_factory=set)
    red: set[str] = field(default_factory=set)
    open: list[tuple[Pipeline, int]] = field(default_factory=list)
    closed: int = 0
    merged: int = 0

    async def work(self, *, pulls: int, people: int) -> None:
        """Let so many people open and end so many pull requests; about one in ten stays open."""
        numbers = iter(range(pulls))
        await asyncio.gather(*(self._person(numbers) for _ in range(people)))

    async def _person(self, numbers: Iterator[int]) -> None:
        for number in numbers:
            await self._pull_request(self.pipelines[number % len(self.pipelines)], f"topic-{number}")

    async def _pull_request(self, pipeline: Pipeline, branch: str) -> None:
        github = self.stage.github
        await self.push(pipeline, branch, 1)
        pull = await github.open_pull(pipeline.repo, branch, title=f"Work on {branch}")
        await self.judge(pipeline, pull.head_sha, green=True)
        for attempt in range(2, 2 + self.dice.choice((0, 0, 1, 1, 2))):
            await self._look(pipeline, pull.head_sha)
            await self.judge(pipeline, await self.push(pipeline, branch, attempt), green=True)
        await self._look(pipeline, pull.head_sha)
        end = self.dice.random()
        if end < 0.1:
            self.open.append((pipeline, pull.number))
        elif end < 0.4:
            github.close_pull(pipeline.repo, pull.number)
            self.closed += 1
        else:
            merge = await github.merge_pull(pipeline.repo, pull.number)
            self.commits[pipeline.repo.id, "master"].append(merge)
            self.merged += 1
            await self.judge(pipeline, merge, green=self.dice.random() < 0.8)

    async def push(self, pipeline: Pipeline, branch: str, attempt: int) -> str:
        """Commit to a branch."""
        sha = await self.stage.github.push(pipeline.repo, branch, {f"notes/{branch}.txt": f"{attempt}\n"})
        self.commits[pipeline.repo.id, branch].append(sha)
        return sha

    async def judge(self, pipeline: Pipeline, sha: str, *, green: bool) -> None:
        """CI runs and says what it thinks of a commit."""
        github = self.stage.github
        await github.set_status(pipeline.repo, sha, "pending")
        (self.green if green else self.red).add(sha)
        await github.set_status(pipeline.repo, sha, "success" if green else "failure")

    async def _look(self, pipeline: Pipeline, sha: str) -> None:
        """Every second time somebody waits until the check is there; else work just goes on."""
        if self.dice.random() < 0.5:
            return
        end = asyncio.get_running_loop().time() + PATIENCE
        while asyncio.get_running_loop().time() < end:
            check = self.stage.check(pipeline, sha)
            if check is not None and check["conclusion"]:
                return
            await asyncio.sleep(0.2)
