"""What programs write to terminals, as plain lines for a page. Pure.

Colors and whatever moves a cursor are left out, and so is what would turn the reading direction of a page around.
"""

import re
from typing import Final

LONGEST: Final = 4000
"""Characters of a line that are shown."""
_SEQUENCES: Final = re.compile(
    r"""(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?      # colors, moves
    | (?:\x1b\]|\x9d)[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?  # titles, links
    | (?:\x1b[PX^_])[^\x1b\x9c\n]*(?:\x1b\\|\x9c)?  # strings for the terminal
    | \x1b[ -/]*[0-~]?                         # the rest""",
    re.VERBOSE,
)
_CONTROLS: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_BREAKS: Final = str.maketrans({"\u2028": " ", "\u2029": " "})


def plain(text: str) -> str:
    """The text as it would stand on a terminal: of a line that was written over its last state."""
    lines = _SEQUENCES.sub("", text).translate(_BREAKS).split("\n")
    return "\n".join(_line(each) for each in lines)


def _line(text: str) -> str:
    *former, last = text.rstrip("\r").split("\r")
    shown = _CONTROLS.sub("", last or (former[-1] if former else ""))
    return shown if len(shown) <= LONGEST else f"{shown[:LONGEST]} … [{len(shown) - LONGEST} more characters]"
