"""One-off dynos: their names, their terminals, and what is said about their end."""

from datetime import UTC, datetime, timedelta

import pytest

from service.domain.model import AppId, ReleaseId
from service.domain.one_offs import FIRST_NUMBER, LAST_NUMBER, OneOff, OneOffState, Order, free_numbers, why_ended

NOW = datetime(2026, 11, 28, tzinfo=UTC)


def one_off(**changes) -> OneOff:
    usual = {
        "id": "1", "app_id": AppId("a"), "release_id": ReleaseId("r"), "version": 3, "name": "run.1234", "command": "ls",
        "attached": False, "tty": False, "state": OneOffState.UP, "exit_code": None, "reason": "", "stopping": False,
        "actor": "user:a@b.c", "ends_at": NOW, "created_at": NOW - timedelta(hours=1), "updated_at": NOW,
    }  # fmt: skip
    return OneOff(**usual | changes)


ENDS = [
    ("it ends by itself", {}, 0, NOW, False, ""),
    ("it fails by itself", {}, 1, NOW, False, ""),
    ("somebody stops it", {"stopping": True, "reason": "stopped by user:x"}, 143, NOW, False, "stopped by user:x"),
    ("its time is over", {}, 124, NOW, False, "its time to live has passed"),
    ("it exits as if its time were over", {}, 124, NOW - timedelta(seconds=1), False, ""),
    ("its app goes", {}, 137, NOW, True, "its app was destroyed"),
    ("its app goes, and nobody knows the code", {}, None, NOW, True, "its app was destroyed"),
    ("its client goes", {"attached": True}, 129, NOW, False, "its client has gone"),
    ("it exits as if a client had gone", {}, 129, NOW, False, ""),
]


@pytest.mark.parametrize(("changes", "code", "now", "goes", "why"), [row[1:] for row in ENDS], ids=[r[0] for r in ENDS])
def test_what_ended_it_is_said_if_it_was_not_the_command(changes, code, now, goes, why) -> None:
    assert why_ended(one_off(**changes), code, now=now, app_goes=goes) == why


SIZES = [
    ("as the client says", {"LINES": "50", "COLUMNS": "132"}, (50, 132)),
    ("a client that says nothing", {}, (24, 80)),
    ("nonsense", {"LINES": "many", "COLUMNS": "-1"}, (24, 80)),
    ("more than a terminal can have", {"LINES": "99999", "COLUMNS": "0"}, (24, 80)),
]


@pytest.mark.parametrize(("env", "window"), [row[1:] for row in SIZES], ids=[row[0] for row in SIZES])
def test_a_terminal_is_as_large_as_its_client_says(env, window) -> None:
    assert Order(command="ls", env=env).window == window


def test_a_name_is_given_once_and_never_one_of_the_formation() -> None:
    free = free_numbers({"run.1000", "web.1001", "run.1"}, "run")
    assert (free[0], free[-1], len(free)) == (1001, LAST_NUMBER, LAST_NUMBER - FIRST_NUMBER)
