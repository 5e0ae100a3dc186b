"""An overview as it is shown: cards in columns, the same for everybody who may see them.

What changes a card changes the digest, by which an open page learns that it is to look again.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any, Final

from service.domain import downstream, overview
from service.domain.deploy_lock import LOCKABLE, DeployLock
from service.domain.downstream import Difference, Relation
from service.domain.facts import CommitsApart, Fact, FactKey, FactKind, ListedCommit, PullRequest
from service.domain.model import App, AppId, CiCounts, PromotionTarget, RepositoryId, ReviewApp, Sha, Stage, TargetState
from service.domain.overview import Said, Tone
from service.domain.promotion import downstream as next_stage
from service.settings import Settings
from service.shown import web_url
from service.store.overviews import Member, Overview

COLUMNS: Final = {
    Stage.REVIEW: "Review apps",
    Stage.DEVELOPMENT: "Development",
    Stage.STAGING: "Staging",
    Stage.PRODUCTION: "Production",
}
_NEWS: Final = timedelta(minutes=15)
"""For so long the last promotion is told of after its end."""
_TARGET_TONES: Final = {
    TargetState.PENDING: Tone.BUSY,
    TargetState.SUCCEEDED: Tone.GOOD,
    TargetState.FAILED: Tone.BAD,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """The commit of a card, as far as it is known."""

    sha: str
    url: str
    title: str = ""
    author: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """How far a card's code is from that of an app downstream."""

    app: App
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """An app, or a review app that has none yet; `touched_at` is when something was last deployed to it."""

    name: str
    app: App | None
    url: str
    state: Said
    version: int | None
    released_at: datetime | None
    code: Code | None
    ci: Said | None
    doing: tuple[Said, ...]
    notes: tuple[Said, ...]
    labels: tuple[str, ...] = ()
    pull_url: str = ""
    apart: tuple[Apart, ...] = ()
    touched_at: datetime | None = None

    @property
    def key(self) -> tuple[object, ...]:
        """All of it that is shown: other changes of the app are no news."""
        it = self
        switched = (it.app.promotable, it.app.auto_deploy, it.app.maintenance) if it.app is not None else None
        app = (it.app.id, it.app.owner_id, switched) if it.app is not None else None
        shown = (it.name, it.url, it.state, it.version, it.released_at, it.code, it.ci, it.doing, it.notes)
        return (app, *shown, it.labels, it.pull_url, *((each.app.id, each.text) for each in it.apart))


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An app that was promoted to, None if it is gone, and how that fares."""

    app: App | None
    state: Said
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Promoted:
    """The newest promotion; its source is None if it is gone."""

    source: App | None
    version: int | None
    by: str
    at: datetime
    targets: tuple[Target, ...]

    @property
    def key(self) -> tuple[object, ...]:
        """All of it that is shown."""
        names = [(it.app.name if it.app else "", it.state, it.why) for it in self.targets]
        return (self.source.name if self.source else "", self.version, self.by, self.at, names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """Cards by stage, and the promotion that there is to tell of."""

    columns: dict[Stage, list[Card]]
    promoted: Promoted | None
    notes: tuple[Said, ...]

    @property
    def digest(self) -> str:
        """What two boards that show the same have in common."""
        told = [(stage, [card.key for card in cards]) for stage, cards in self.columns.items()]
        return blake2b(
            repr((told, self.promoted and self.promoted.key, self.notes)).encode(), digest_size=12
        ).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Maker:
    """What cards are made of."""

    it: Overview
    settings: Settings
    our_app_id: int
    now: datetime
    commits: dict[Sha, ListedCommit]

    def of_member(self, member: Member) -> Card:
        app, release = member.app, member.release
        return Card(
            name=app.name,
            app=app,
            url=web_url(self.settings, app.name, review=app.is_review),
            state=overview.standing(app, member.engine_state, release),
            version=release.version if release else None,
            released_at=app.released_at,
            code=self._code(release.repository_id, release.commit) if release and release.commit else None,
            ci=self._ci(release.repository_id, release.commit) if release and release.commit else None,
            doing=tuple(overview.doing(request, step) for request, step in member.queue),
            notes=tuple(self._notes(member)),
            apart=tuple(self._apart(member)),
        )

    def of_review(self, review: ReviewApp, member: Member | None) -> Card:
        kind, _, name = review.ref.partition(":")
        fact = self.it.known.get(FactKey(FactKind.PULL_REQUEST, review.repository_id, name)) if kind == "pr" else None
        pull: PullRequest | None = fact.value if fact is not None else None
        known = self.of_member(member) if member is not None else None
        # Until an app is made for it, it is at no commit of its own.
        sha = review.sha if review.sha.strip("0") else pull.head_sha if pull is not None else None
        code = self._code(review.repository_id, sha) if sha is not None else None
        if code is not None and pull is not None:
            code = Code(sha=code.sha, url=code.url, title=pull.title, author=pull.author)
        notes = (Said(text=review.reason, tone=Tone.WAITING),) if review.reason else ()
        return Card(
            name=f"#{name}" if kind == "pr" else name,
            app=member.app if member else None,
            url=known.url if known else "",
            state=overview.review_standing(review, known.state if known else None),
            version=known.version if known else None,
            released_at=review.deployed_at,
            code=code,
            ci=self._ci(review.repository_id, review.sha),
            doing=known.doing if known else (),
            notes=(*notes, *(known.notes if known else ())),
            labels=_labels(review, pull),
            touched_at=review.deployed_at or review.created_at,
            pull_url=self._on_github(f"pull/{name}") if kind == "pr" else "",
        )

    def _code(self, repository_id: int | None, sha: Sha) -> Code:
        ours = self.it.repository is not None and self.it.repository.id == repository_id
        url, known = self._on_github(f"commit/{sha}") if ours else "", self.commits.get(sha)
        if known is None:
            return Code(sha=sha, url=url)
        return Code(sha=sha, url=url, title=known.subject, author=known.author, at=known.at)

    def _on_github(self, what: str) -> str:
        repository = self.it.repository
        return f"{self.settings.github_url}/{repository.full_name}/{what}" if repository is not None else ""

    def _ci(self, repository_id: RepositoryId | None, sha: Sha) -> Said | None:
        if repository_id is None:
            return None
        toggles, repository = self.it.pipeline.toggles, self.it.repository
        required: Fact[Any] | None = None
        if repository is not None and toggles.ci_counts is CiCounts.PROTECTED:
            required = self.it.known.get(FactKey(FactKind.REQUIRED, repository.id, repository.default_branch))
        fact = self.it.known.get(FactKey(FactKind.CI, repository_id, sha))
        return overview.ci(fact, toggles=toggles, required=required, our_app_id=self.our_app_id, now=self.now)

    def _notes(self, member: Member) -> list[Said]:
        found = [Said(text=each.text, tone=Tone.WAITING) for each in self._locks(member)]
        if failed := overview.in_vain(member.last):
            found.append(Said(text=failed, tone=Tone.BAD))
        if waits := overview.awaited(member.waits) if member.app.auto_deploy else "":
            found.append(Said(text=waits, tone=Tone.WAITING if waits.startswith("waiting") else Tone.QUIET))
        return found

    def _locks(self, member: Member) -> list[DeployLock]:
        return [each for each in self.it.locks if each.is_in_force(self.now) and each.app_id == member.app.id]

    def _apart(self, member: Member) -> list[Apart]:
        if member.release is None or next_stage(member.stage) is None:
            return []
        found = [(each.app, difference(self.it, member, each)) for each in self.it.downstream_of(member)]
        return [Apart(app=app, text=text) for app, apart in found if (text := _in_words(app.name, apart))]


def board(it: Overview, *, settings: Settings, our_app_id: int, now: datetime) -> Board:
    """Put the overview together."""
    make, members = _maker(it, settings, our_app_id, now), {each.app.id: each for each in it.members}
    columns: dict[Stage, list[Card]] = {stage: [] for stage in COLUMNS}
    shown = set()
    for review in it.reviews:
        member = members.get(review.app_id) if review.app_id is not None else None
        shown.add(review.app_id)
        columns[Stage.REVIEW].append(make.of_review(review, member))
    for member in it.members:
        if member.stage in columns and member.app.id not in shown:
            columns[member.stage].append(make.of_member(member))
    locked = [each for each in it.locks if each.pipeline_id is not None and each.is_in_force(now)]
    stages = ", ".join(sorted(LOCKABLE))
    notes = tuple(Said(text=f"The pipeline is {each.text} ({stages})", tone=Tone.WAITING) for each in locked)
    return Board(columns=columns, promoted=_promoted(it, members, now), notes=notes)


def difference(it: Overview, source: Member, target: Member) -> Difference:
    """How an app stands to one downstream of it."""
    key = downstream.question(source.running, target.running)
    return downstream.differ(source.running, target.running, it.known.get(key) if key else None)


def _maker(it: Overview, settings: Settings, our_app_id: int, now: datetime) -> _Maker:
    apart = [fact.value for fact in it.known.values() if isinstance(fact.value, CommitsApart)]
    return _Maker(it=it, settings=settings, our_app_id=our_app_id, now=now, commits=overview.listed(apart))


def _labels(review: ReviewApp, pull: PullRequest | None) -> tuple[str, ...]:
    found = ["pinned"] if review.pinned else []
    if pull is not None:
        found += ["draft"] if pull.draft else []
        found += ["fork"] if pull.is_fork else []
        found += pull.labels
    return tuple(found)


def _in_words(name: str, it: Difference) -> str:
    apart = it.apart
    match it.relation:
        case Relation.SAME:
            return f"same code as {name}"
        case Relation.AHEAD if apart is not None:
            return f"{_commits(apart.ahead)} ahead of {name}"
        case Relation.BEHIND if apart is not None:
            return f"{_commits(apart.behind)} behind {name}"
        case Relation.DIVERGED if apart is not None:
            return f"{_commits(apart.ahead)} ahead of and {apart.behind} behind {name}"
        case Relation.UNRELATED:
            return f"no commit in common with {name}"
        case _:
            return ""


def _commits(number: int) -> str:
    return f"{number} commit{'' if number == 1 else 's'}"


def _promoted(it: Overview, members: dict[AppId, Member], now: datetime) -> Promoted | None:
    told = it.promoted
    if told is None:
        return None
    open_ = any(each.state is TargetState.PENDING for each in told.targets)
    if not open_ and told.promotion.updated_at + _NEWS <= now:
        return None
    source = members.get(told.promotion.source_app_id)
    return Promoted(
        source=source.app if source else None,
        version=told.release.version if told.release else None,
        by=told.promotion.actor.removeprefix("user:"),
        at=told.promotion.created_at,
        targets=tuple(_target(each, members.get(each.app_id)) for each in told.targets),
    )


def _target(it: PromotionTarget, member: Member | None) -> Target:
    steps = [] if member is None else [doing for doing in member.queue if doing[0].id == it.request_id]
    text = overview.doing(*steps[0]).text.rpartition(": ")[2] if steps else it.state.value
    said = Said(text=text, tone=_TARGET_TONES[it.state])
    return Target(app=member.app if member else None, state=said, why=it.error)
