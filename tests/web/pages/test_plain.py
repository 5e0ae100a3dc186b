"""Output of programs as the dashboard shows it."""

import pytest

from service.web.pages.plain import LONGEST, plain

TEXTS = {
    "lines stay as they are": ("a\n\n  b\tc\n", "a\n\n  b\tc\n"),
    "colors are left out": ("\x1b[1;32mok\x1b[0m \x1b[38;5;9mred\x1b[m", "ok red"),
    "moves of the cursor are left out": ("\x1b[2K\x1b[1Aup \x9b3Jand away", "up and away"),
    "a title of the window is left out": ("\x1b]0;root@host\x07$ make", "$ make"),
    "of a link its text stays": ("\x1b]8;;http://evil.example\x1b\\here\x1b]8;;\x1b\\", "here"),
    "a sequence that breaks off takes no line with it": ("\x1b]0;never ends\nnext\n\x1b[", "\nnext\n"),
    "a line that was written over is in its last state": ("10%\r55%\r100%\ndone\r\n", "100%\ndone\n"),
    "control characters are left out": ("a\x00b\x07c\x08d\x7fe\x85f", "abcdef"),
    "nothing turns the reading direction around": ("\u202egpj.exe\u2069 \u200fx", "gpj.exe x"),
    "markup is text": ("<script>alert(1)</script>", "<script>alert(1)</script>"),
    "words of other languages stay": ("עברית 🚀 naïve", "עברית 🚀 naïve"),
}


@pytest.mark.parametrize(("text", "shown"), TEXTS.values(), ids=TEXTS)
def test_output_becomes_plain_text(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_of_a_line_without_end_the_beginning_is_shown() -> None:
    assert plain("x" * (LONGEST + 7) + "\ny") == f"{'x' * LONGEST} … [7 more characters]\ny"
