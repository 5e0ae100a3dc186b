"""Columns stay under one another, whatever is in them and however narrow the terminal is."""

import time

import pytest

from service.cli import columns
from service.cli.output import Waiting
from service.cli.topics import close

WIDTHS = [
    ("plain letters", "example", 7),
    ("wide letters", "佐藤", 4),
    ("letters with marks of their own", "cafe\u0301", 4),
    ("a picture", "🚀", 2),
    ("color", "\x1b[32mup\x1b[0m", 2),
    ("nothing", "", 0),
]


@pytest.mark.parametrize(("text", "cells"), [row[1:] for row in WIDTHS], ids=[row[0] for row in WIDTHS])
def test_a_text_is_as_wide_as_it_is_shown(text: str, cells: int) -> None:
    assert columns.width(text) == cells
    assert columns.width(columns.padded(text, 9)) == 9


BROKEN = [
    ("what fits", "a few", 5, ["a few"]),
    ("words", "a few words", 6, ["a few", "words"]),
    ("a word that is too long", "abcdefgh", 3, ["abc", "def", "gh"]),
    ("a long word after a short one", "a bcdefgh", 4, ["a", "bcde", "fgh"]),
    ("wide letters", "佐藤さん", 5, ["佐藤", "さん"]),
    ("a painted state", "\x1b[32msucceeded\x1b[0m", 4, ["\x1b[32msucceeded\x1b[0m"]),
]


@pytest.mark.parametrize(("text", "cells", "pieces"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_a_text_that_is_too_long_goes_on_below_and_nothing_is_lost(text: str, cells: int, pieces: list[str]) -> None:
    assert columns.broken(text, cells) == pieces
    assert "".join(pieces).replace(" ", "") == text.replace(" ", "")


FITTED = [
    ("room for all", 40, [4, 20]),
    ("no end of room", None, [4, 20]),
    ("too little for the last", 20, [4, 14]),
    ("too little for anything", 5, [4, 6]),
]


@pytest.mark.parametrize(("room", "widths"), [row[1:] for row in FITTED], ids=[row[0] for row in FITTED])
def test_the_widest_column_gives_way_first(room: int | None, widths: list[int]) -> None:
    assert columns.fitted([["name", "x" * 20], ["ab", ""]], columns=room) == widths


def test_a_row_takes_as_many_lines_as_its_highest_cell() -> None:
    assert columns.lines(["ab", "one two"], [2, 3]) == [["ab", "one"], ["", "two"]]


def test_what_is_probably_meant_is_asked_after() -> None:
    known = ["pipelines:promote", "pipelines", "apps", "apps:info", "releases:info"]
    assert close("pipelnies", known) == " Did you mean pipelines or pipelines:promote?"
    assert close("aps", known) == " Did you mean apps?"
    assert close("promote", known) == " Did you mean pipelines:promote?"
    assert close("info", known) == " Did you mean apps:info or releases:info?"
    assert close("zebra", known) == ""


def test_where_nothing_can_turn_a_line_says_now_and_then_that_it_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    sign = Waiting("Waiting for example")
    sign.show()
    assert capsys.readouterr().err == ""
    sign = Waiting("Waiting for example", _since=time.monotonic() - 61)
    sign.show()
    sign.show()
    assert capsys.readouterr().err == "Waiting for example... (1 min so far)\n"
    sign.hide()
    sign.show()
    assert capsys.readouterr().err == ""
