"""One measured number and how it stands to its goal; the table and the file that all of them become."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`ratio` is value by the peer's; `met` is None for what has no goal. `spread` is the lowest and highest value seen."""

    row: str
    value: float
    unit: str
    peer: str = ""
    ratio: float | None = None
    goal: str = ""
    met: bool | None = None
    spread: str = ""


def alone(row: str, values: Sequence[float], unit: str, *, most: float | None = None, note: str = "") -> Row:
    """A number of its own, the median of what was seen, with a limit or none."""
    value = median(values)
    goal, met = ("", None) if most is None else (f"<= {most:g} {unit}".strip(), value <= most)
    return Row(row=row, value=value, unit=unit, peer=note, goal=goal, met=met, spread=spread(values))


def against(
    row: str,
    values: Sequence[float],
    unit: str,
    *,
    peer: str,
    theirs: Sequence[float],
    most: float | None = None,
    least: float | None = None,
) -> Row:
    """The median beside the peer's of the same run, with a limit of their ratio: from above, from below, or none."""
    value = median(values)
    ratio = value / median(theirs)
    goal, met = "", None
    if most is not None:
        goal, met = f"<= {most:g} x", ratio <= most
    if least is not None:
        goal, met = f">= {least:g} x", ratio >= least
    shown = f"{peer}: {median(theirs):.4g} {unit} ({spread(theirs)})"
    return Row(row=row, value=value, unit=unit, peer=shown, ratio=ratio, goal=goal, met=met, spread=spread(values))


def at_most(row: str, value: float, unit: str, most: float) -> Row:
    """One value with a limit."""
    return alone(row, [value], unit, most=most)


def exactly(row: str, value: int, unit: str, wanted: int) -> Row:
    """A count that is right or wrong."""
    return Row(row=row, value=value, unit=unit, goal=f"= {wanted}", met=value == wanted)


def percentile(values: Sequence[float], percent: int) -> float:
    """The value below which so many percent lie."""
    return median(values) if percent == 50 else quantiles(values, n=100, method="inclusive")[percent - 1]


def spread(values: Sequence[float]) -> str:
    """The lowest and the highest."""
    return f"{min(values):.3g}-{max(values):.3g}" if len(values) > 1 else ""


def write(rows: Iterable[Row], place: Path) -> None:
    """Keep the rows for programs."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")


def table(rows: Iterable[Row]) -> str:
    """The rows for people."""
    shown = [("what", "median", "range", "peer in the same run", "ratio", "goal", "met")]
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.3g}"
        met = "" if row.met is None else "yes" if row.met else "NO"
        shown.append((row.row, f"{row.value:.4g} {row.unit}", row.spread, row.peer, ratio, row.goal, met))
    widths = [max(len(line[column]) for line in shown) for column in range(len(shown[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in shown]
    return "\n".join([lines[0], "-" * sum(widths, 2 * len(widths)), *lines[1:]])
