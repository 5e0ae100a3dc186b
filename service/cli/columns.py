"""Text in columns: as wide as it is shown, and no wider than the terminal."""

import re
from collections.abc import Sequence

_PAINT = re.compile(r"\x1b\[[0-9;]*m")
_NARROWEST = 6
GAP = 2


def width(text: str) -> int:
    """How many cells of a terminal a text takes: none for color, two for wide characters, none for marks on others."""
    if text.isascii() and "\x1b" not in text:
        return len(text)
    from unicodedata import category, east_asian_width  # few texts need them

    return sum(
        0 if category(each) in {"Mn", "Me", "Cf"} else 2 if east_asian_width(each) in "WF" else 1
        for each in _PAINT.sub("", text)
    )


def padded(text: str, cells: int) -> str:
    """A text with spaces after it until it takes so many cells."""
    return text + " " * (cells - width(text))


def fitted(rows: Sequence[Sequence[str]], *, columns: int | None) -> list[int]:
    """How wide each column is to be: as its widest cell, but all together no wider than `columns`, if that can be."""
    widths = [max(width(row[number]) for row in rows) for number in range(len(rows[0]))]
    if columns is None:
        return widths
    least = [min(each, _NARROWEST) for each in widths]
    while sum(widths) + GAP * (len(widths) - 1) > columns and widths != least:
        # What is wide gives way first, and of those equally wide the last: names stand before reasons.
        widest = max(range(len(widths)), key=lambda number: (widths[number] > least[number], widths[number], number))
        widths[widest] -= 1
    return widths


def lines(row: Sequence[str], widths: Sequence[int]) -> list[list[str]]:
    """A row as the lines that it takes when no cell is wider than its column."""
    cells = [broken(cell, cells) for cell, cells in zip(row, widths, strict=True)]
    height = max(len(cell) for cell in cells)
    return [[cell[number] if number < len(cell) else "" for cell in cells] for number in range(height)]


def broken(text: str, cells: int) -> list[str]:
    """A text in pieces of at most so many cells: between words where that can be, and none of it lost."""
    if width(text) <= cells:
        return [text]
    if "\x1b" in text:  # a state, painted: one word
        return [text]
    pieces, line = [], ""
    for word in re.findall(r"\s*\S+", text):
        if width(line + word) <= cells:
            line += word
            continue
        if line:
            pieces.append(line)
        *full, line = _cut(word.lstrip() if pieces or line else word, cells)
        pieces += full
    return [*pieces, line]


def _cut(word: str, cells: int) -> list[str]:
    """A word that has no room in one line."""
    pieces = [""]
    for each in word:
        if pieces[-1] and width(pieces[-1] + each) > cells:
            pieces.append("")
        pieces[-1] += each
    return pieces
