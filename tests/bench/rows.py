"""One measured number and how it stands to its goal; the table and the file that all of them become."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles

NO_PEER = "no peer in this version"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`ratio` is value by the peer's; `met` is None for what has no goal, or none that this version measures."""

    row: str
    value: float
    unit: str
    peer: str = NO_PEER
    ratio: float | None = None
    goal: str = ""
    met: bool | None = None


def at_most(row: str, value: float, unit: str, most: float) -> Row:
    """A number of its own with a limit."""
    return Row(row=row, value=value, unit=unit, goal=f"<= {most:g} {unit}", met=value <= most)


def against(row: str, value: float, unit: str, *, peer: str, theirs: float, most: float | None) -> Row:
    """A number beside what the peer took in the same run."""
    ratio = value / theirs
    goal, met = ("", None) if most is None else (f"<= {most:g} x", ratio <= most)
    return Row(row=row, value=value, unit=unit, peer=f"{peer}: {theirs:.4g} {unit}", ratio=ratio, goal=goal, met=met)


def percentile(values: Sequence[float], percent: int) -> float:
    """The value below which so many percent lie."""
    return median(values) if percent == 50 else quantiles(values, n=100, method="inclusive")[percent - 1]


def write(rows: Iterable[Row], place: Path) -> None:
    """Keep the rows for programs."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")


def table(rows: Iterable[Row]) -> str:
    """The rows for people."""
    shown = [("what", "value", "peer in the same run", "ratio", "goal", "met")]
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.3g}"
        met = "" if row.met is None else "yes" if row.met else "NO"
        shown.append((row.row, f"{row.value:.4g} {row.unit}", row.peer, ratio, row.goal, met))
    widths = [max(len(line[column]) for line in shown) for column in range(6)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in shown]
    return "\n".join([lines[0], "-" * sum(widths, 10), *lines[1:]])
