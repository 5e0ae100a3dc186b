"""Whether a fact is good enough to act on, and what to do while it is not.

An error is never an answer: it is waited out and read again, and nothing is deployed or destroyed because of it, nor
because of what was known before it.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, assert_never

from service.domain.ci_gate import Counted, Failed, Missing, Passed, Pending, Verdict, evaluate, named, of_branch
from service.domain.decisions import Look, Wait
from service.domain.facts import CiSignals, Fact, FactKey, FactKind, RequiredChecks
from service.domain.model import CiCounts, Toggles

ACTED_ON_FOR: Final = timedelta(minutes=5)
"""How old what GitHub said may be when an app is created or deployed because of it."""
REQUIRED_FOR: Final = timedelta(minutes=5)
"""How old what a branch requires may be: GitHub tells only Apps with a say in a repository's settings of a change."""
_RETRY_ERROR: Final = timedelta(minutes=1)
_LAST_READ: Final = timedelta(minutes=1)
_UNASKED: Final = "GitHub could not be asked"
_COALESCE_SECONDS: Final = 10.0
# Webhooks tell at once; this is for the lost ones: minutes from the commit to the last read -> minutes to the next.
_POLLS: Final = ((1, 1), (3, 2), (8, 5))
_SLOWEST_POLL: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """The CI gate does not open now: why, for people, and what happens next."""

    reason: str
    then: Look | Wait


def lacking(fact: Fact[Any] | None, key: FactKey, *, now: datetime, age: timedelta | None = None) -> Look | Wait | None:
    """What has to come before `fact` may be believed; None if it may. Without `age` it may be old, but not outdated."""
    trouble = f"; {_UNASKED}: {fact.error}" if fact is not None and fact.error else ""
    if fact is None or fact.looked_at is None:
        return Look(fact=key, why=f"not known yet{trouble}")
    if fact.stale:
        return Look(fact=key, why=f"newer is out{trouble}")
    if fact.error or fact.value is None:
        again = fact.looked_at + _RETRY_ERROR
        if now >= again:
            return Look(fact=key, why=f"the last look failed: {fact.error}")
        return Wait(reason=f"{_UNASKED}: {fact.error}", until=again)
    if age is not None and not fact.fresh(since=now - age):
        return Look(fact=key, why="too old to act on")
    return None


def ci_gate(
    fact: Fact[CiSignals] | None,
    key: FactKey,
    *,
    branch: str,
    required: Fact[RequiredChecks] | None,
    since: datetime | None,
    toggles: Toggles,
    our_app_id: int,
    now: datetime,
) -> Closed | None:
    """What keeps the gate closed; None if CI has passed and was read just now.

    Its times count from `since`, when the branch or pull request came to the commit: another's CI says little about
    what is begun for this one. Where that is not known, from when we learned of the commit. `required` is what `branch`
    requires, where the settings leave it to that.
    """
    counted = _counted(key, branch, required, toggles=toggles, our_app_id=our_app_id, now=now)
    if isinstance(counted, Look | Wait):
        return Closed(reason=f"waiting for: what GitHub requires for {branch}", then=counted)
    known = fact if fact is not None and fact.key == key else None
    signals = known.value if known is not None else None
    if signals is not None and since is not None:
        signals = replace(signals, first_seen=since)
    verdict = evaluate(
        signals=signals,
        counted=counted,
        ignored=toggles.ignored_contexts,
        our_app_id=our_app_id,
        now=now,
        settle_seconds=toggles.settle_seconds,
        gate_seconds=toggles.gate_seconds,
        deploy_without_ci=toggles.deploy_without_ci,
    )
    if known is None or known.looked_at is None or known.stale or known.error or signals is None:
        then = _coalesced(known, toggles=toggles, now=now) or lacking(known, key, now=now)
    else:
        then = _once_read(verdict, known.looked_at, key, now=now, since_seen=known.looked_at - signals.first_seen)
    if then is None:
        return None
    reason = "waiting for: CI to be read again" if isinstance(verdict, Passed) else verdict.text
    trouble = f"{_UNASKED}: {known.error}" if known is not None and known.error else ""
    unread = signals.unread if signals is not None else ""
    return Closed(reason="; ".join(filter(None, (reason, trouble, unread, counted.note))), then=then)


def _counted(
    ci: FactKey,
    branch: str,
    required: Fact[RequiredChecks] | None,
    *,
    toggles: Toggles,
    our_app_id: int,
    now: datetime,
) -> Counted | Look | Wait:
    match toggles.ci_counts:
        case CiCounts.ALL:
            return Counted()
        case CiCounts.REQUIRED:
            return named(toggles.required_contexts)
        case CiCounts.PROTECTED:
            key = FactKey(FactKind.REQUIRED, ci.repository_id, branch)
            known = required if required is not None and required.key == key else None
            lack = lacking(known, key, now=now, age=REQUIRED_FOR)
            if lack is not None or known is None or known.value is None:
                return lack or Look(fact=key, why="not known yet")
            return of_branch(known.value, our_app_id=our_app_id)
        case _:
            assert_never(toggles.ci_counts)


def _once_read(
    verdict: Verdict, looked_at: datetime, key: FactKey, *, now: datetime, since_seen: timedelta
) -> Look | Wait | None:
    if isinstance(verdict, Passed):
        fresh = looked_at >= max(now - _LAST_READ, verdict.read_after or looked_at)
        return None if fresh else Look(fact=key, why="the last read before the deploy")
    ends = _polled_until(verdict)
    if ends is not None and looked_at >= ends:
        return Wait(reason=verdict.text)  # an event, a person or the next commit
    poll_at = looked_at + _poll_interval(since_seen)
    if ends is not None:
        poll_at = min(poll_at, ends)
    if now >= poll_at:
        return Look(fact=key, why="an event may have been lost", poll=True)
    until = verdict.until if isinstance(verdict, Pending) else None
    return Wait(reason=verdict.text, until=min(until, poll_at) if until else poll_at)


def _polled_until(verdict: Failed | Pending | Missing) -> datetime | None:
    """Until when GitHub is asked about it by itself, with one read at that very time."""
    match verdict:
        case Failed(until=until):
            return until
        case Missing(since=since):
            return since
        case Pending():
            return None


def _coalesced(fact: Fact[CiSignals] | None, *, toggles: Toggles, now: datetime) -> Wait | None:
    """A busy CI sends an event a second; all of them are one read."""
    if fact is None or fact.looked_at is None or not fact.stale:
        return None
    again = fact.looked_at + timedelta(seconds=min(_COALESCE_SECONDS, toggles.settle_seconds))
    return Wait(reason="waiting for: CI to be read again", until=again) if now < again else None


def _poll_interval(since_seen: timedelta) -> timedelta:
    for upto, minutes in _POLLS:
        if since_seen < timedelta(minutes=upto):
            return timedelta(minutes=minutes)
    return _SLOWEST_POLL
