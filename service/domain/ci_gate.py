"""Whether CI has passed for a commit, from everything GitHub says about it.

| what counts | looked at | ignored contexts |
|---|---|---|
| `all` | every status, check run and unfinished suite | left out, by their name or their App's |
| `required` | the contexts that the settings name | none can be among them |
| `protected` | what the branch requires; where none is left, as `all` | left out by name, required or not |

A branch's protection says what may be merged, the settings what is deployed: a check that only ever runs on pull
requests is required there, and would be waited for in vain on the branch. Events never decide: this is asked again with
the current signals, so a re-run turns a pass back into waiting.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Final

from service.domain.facts import CheckRun, CheckSuite, CiSignals, CommitStatus, Required, RequiredChecks

OUR_PREFIX: Final = "towpath/"
_GOOD_ENOUGH: Final = frozenset({"neutral", "skipped"})
_BAD: Final = frozenset({"failure", "cancelled", "timed_out", "action_required", "startup_failure"})
_NOT_STARTED: Final = frozenset({"queued", "requested", "pending"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What counts for a verdict: the required contexts, or `everything` there is, or both.

    `note` tells people why it is not what they chose.
    """

    required: tuple[Required, ...] = ()
    everything: bool = True
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """Deploy, if what it was concluded from was read at or after `read_after`.

    `text` also says what was not read, and so had no part in it.
    """

    text: str
    read_after: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """Do not deploy, unless a re-run turns it. After `until` nobody asks any more: only an event tells of one."""

    text: str
    failed: tuple[str, ...]
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """Not yet known. At `until` time alone may change the verdict."""

    text: str
    waiting_for: tuple[str, ...]
    until: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """Time was up at `since` without a verdict. A late success still passes."""

    text: str
    waiting_for: tuple[str, ...]
    since: datetime


Verdict = Passed | Failed | Pending | Missing


class _Mark(Enum):
    SUCCESS = auto()
    NEUTRAL = auto()
    BAD = auto()
    WAITING = auto()
    SETTLING = auto()


_Item = tuple[str, _Mark]


def evaluate(
    *,
    signals: CiSignals | None,
    counted: Counted,
    ignored: tuple[str, ...],
    our_app_id: int,
    now: datetime,
    settle_seconds: float,
    gate_seconds: float,
    deploy_without_ci: bool,
) -> Verdict:
    """The verdict on the signals as they are now.

    Where everything counts nothing passes within the settle time: right after a push, CI systems that have yet to begin
    look like none. Nor is there none where some of it is kept from us.
    """
    if signals is None:
        return Pending(text="waiting for: what GitHub says about the commit", waiting_for=(), until=None)
    settled_at = signals.first_seen + timedelta(seconds=settle_seconds)
    closes_at = signals.first_seen + timedelta(seconds=gate_seconds)
    signals = _without_ours(signals, our_app_id)
    settling = now < settled_at
    left_out = frozenset(name.casefold() for name in ignored)
    required = [each for each in counted.required if each.context.casefold() not in left_out]
    everything = counted.everything or not required
    items = [item for each in required for item in _required_items(signals, each)]
    if everything:
        items += _all_items(signals, left_out, settling=settling)
    if not items and deploy_without_ci and not signals.unread:
        if not settling:
            return Passed(text=f"no CI appeared within {settle_seconds:g} s", read_after=settled_at)
        return Pending(text="waiting for: a first status or check", waiting_for=(), until=settled_at)
    verdict = _verdict(items, now=now, settled_at=settled_at, closes_at=closes_at)
    if isinstance(verdict, Passed):
        verdict = replace(verdict, text=but_unread(verdict.text, signals))
    if not everything or not isinstance(verdict, Passed):
        return verdict
    if settling:
        text = f"waiting for: further statuses and checks, which have {settle_seconds:g} s to appear"
        return Pending(text=text, waiting_for=(), until=settled_at)
    return replace(verdict, read_after=settled_at)


def but_unread(reason: str, signals: CiSignals | None) -> str:
    """The reason, with what GitHub does not show of the signals: what passes without them passes by less."""
    return f"{reason}; {signals.unread}" if signals is not None and signals.unread else reason


def is_stopped(reason: str) -> bool:
    """Whether a reason says that CI stood in the way for good, so that "deploy anyway" is worth offering."""
    return reason.startswith(("CI failed", "CI timed out", "no CI found"))


def named(contexts: tuple[str, ...]) -> Counted:
    """Only the contexts that a pipeline's settings name, of whichever app; everything where they name none."""
    return Counted(required=tuple(Required(context=each) for each in contexts), everything=not contexts)


def of_branch(known: RequiredChecks, *, our_app_id: int) -> Counted:
    """What a branch requires, but for our own check, which would wait for itself.

    Everything counts where it requires nothing, as well as where GitHub does not show all that it requires: better a
    deploy that waits for too much than one that a branch's owners meant to keep back.
    """
    required = tuple(
        each
        for each in known.contexts
        if not each.context.casefold().startswith(OUR_PREFIX) and (not our_app_id or each.app_id != our_app_id)
    )
    note = f"{known.unread}: every status and check counts" if known.unread else ""
    return Counted(required=required, everything=bool(note) or not required, note=note)


def _verdict(items: list[_Item], *, now: datetime, settled_at: datetime, closes_at: datetime) -> Verdict:
    bad = _labels(items, _Mark.BAD)
    if bad:
        return Failed(text=f"CI failed: {', '.join(bad)}", failed=bad, until=closes_at)
    waiting = _labels(items, _Mark.WAITING, _Mark.SETTLING)
    good = _labels(items, _Mark.SUCCESS)
    if good and not waiting:
        return Passed(text=f"CI passed: {', '.join(good)}")
    if now >= closes_at:
        return Missing(text=_missing_text(items, waiting), waiting_for=waiting, since=closes_at)
    until = min(settled_at, closes_at) if _labels(items, _Mark.SETTLING) else closes_at
    return Pending(text=_pending_text(items, waiting), waiting_for=waiting, until=until)


def _pending_text(items: list[_Item], waiting: tuple[str, ...]) -> str:
    if waiting:
        return f"waiting for: {', '.join(waiting)}"
    if items:
        return "waiting for: a success; everything so far was skipped or neutral"
    return "waiting for: a first status or check"


def _missing_text(items: list[_Item], waiting: tuple[str, ...]) -> str:
    if waiting:
        return f"CI timed out, still waiting for: {', '.join(waiting)}"
    if items:
        return "CI timed out: everything was skipped or neutral, nothing succeeded"
    return "no CI found"


def _labels(items: list[_Item], *marks: _Mark) -> tuple[str, ...]:
    return tuple(dict.fromkeys(label for label, mark in items if mark in marks))


def _without_ours(signals: CiSignals, our_app_id: int) -> CiSignals:
    """Ours would wait for themselves, and those of an App that was ours before would never end."""
    named = [r for r in signals.runs if r.name.casefold().startswith(OUR_PREFIX)]
    of_ours = {r.suite_id for r in named} - {r.suite_id for r in signals.runs if r not in named}
    return CiSignals(
        sha=signals.sha,
        statuses=tuple(s for s in signals.statuses if not s.context.casefold().startswith(OUR_PREFIX)),
        runs=tuple(r for r in signals.runs if r not in named and (not our_app_id or r.app_id != our_app_id)),
        suites=tuple(s for s in signals.suites if s.id not in of_ours and (not our_app_id or s.app_id != our_app_id)),
        first_seen=signals.first_seen,
        unread=signals.unread,
    )


def _required_items(signals: CiSignals, required: Required) -> list[_Item]:
    """A status and a check run of one name are both needed."""
    name = required.context.casefold()
    statuses = [status for status in _latest_statuses(signals) if status.context.casefold() == name]
    items = [_of_status(status) for status in statuses if required.app_id in {None, status.app_id}]
    runs = [run for run in signals.runs if run.name.casefold() == name and required.app_id in {None, run.app_id}]
    items += [_of_run(run) for run in _latest_runs(runs)]
    return items or [(required.context, _Mark.WAITING)]


def _all_items(signals: CiSignals, ignored: frozenset[str], *, settling: bool) -> list[_Item]:
    runs = [run for run in signals.runs if not ignored & {run.name.casefold(), run.app_name.casefold()}]
    counted = {run.suite_id for run in runs}
    left_out = {run.suite_id for run in signals.runs} - counted
    items = [_of_status(s) for s in _latest_statuses(signals) if s.context.casefold() not in ignored]
    latest = list(_latest_runs(runs))
    items += [_of_run(run) for run in latest]
    told = left_out | {run.suite_id for run in latest if _of_run(run)[1] is _Mark.WAITING}
    for suite in signals.suites:
        if suite.id in told or suite.app_name.casefold() in ignored:
            continue
        mark = _of_suite(suite, settling=settling)
        if mark is not None:
            items.append((f"{suite.app_name} (further jobs)" if suite.runs else suite.app_name, mark))
    return items


def _latest_statuses(signals: CiSignals) -> Iterable[CommitStatus]:
    return {status.context.casefold(): status for status in signals.statuses}.values()


def _latest_runs(runs: Iterable[CheckRun]) -> Iterable[CheckRun]:
    """GitHub tells the latest of a name in each suite; a workflow that was started anew has a suite of its own."""
    return {(run.app_id, run.name): run for run in runs}.values()


def _of_status(status: CommitStatus) -> _Item:
    match status.state:
        case "success":
            return status.context, _Mark.SUCCESS
        case "error" | "failure":
            return status.context, _Mark.BAD
        case _:
            return status.context, _Mark.WAITING


def _of_run(run: CheckRun) -> _Item:
    label = f"{run.name} ({run.app_name})" if run.app_name else run.name
    return label, _of_conclusion(run.conclusion) if run.status == "completed" else _Mark.WAITING


def _of_suite(suite: CheckSuite, *, settling: bool) -> _Mark | None:
    """What a suite adds to its runs: jobs still to come, or that it fell over before it had any."""
    if suite.status == "completed":
        bad = not suite.runs and suite.conclusion in _BAD
        return _Mark.BAD if bad else None  # with runs, those are the newer truth: re-runs, ignored ones
    if suite.runs or suite.status not in _NOT_STARTED:
        return _Mark.WAITING
    # Many GitHub Apps get a suite for every push and never put a run into it.
    return _Mark.SETTLING if settling else None


def _of_conclusion(conclusion: str | None) -> _Mark:
    if conclusion == "success":
        return _Mark.SUCCESS
    if conclusion in _GOOD_ENOUGH:
        return _Mark.NEUTRAL
    if conclusion in _BAD:
        return _Mark.BAD
    return _Mark.WAITING  # `stale`, and words GitHub has yet to invent
