"""Streams hold what was written, in order, without secrets and within bounds."""

import base64
import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from urllib.parse import quote, quote_plus

import pytest

from service.domain.errors import Transient
from service.domain.model import Position
from service.store import logs
from service.store.database import Database
from service.store.redaction import Redactor
from tests.waiting import until

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)


async def stream(database: Database) -> str:
    return await database.write(lambda conn: logs.open_log(conn, NOW))


async def text_of(database: Database, log_id: str) -> tuple[str, bool]:
    chunks, closed = await database.read(lambda conn: logs.read(conn, log_id))
    assert [chunk.seq for chunk in chunks] == list(range(1, len(chunks) + 1))
    return "".join(chunk.text for chunk in chunks), closed


async def test_lines_become_visible_while_the_writer_goes_on(database: Database) -> None:
    log_id = await stream(database)
    async with logs.LogSink(database, log_id) as sink:
        await sink.write("first\nsec")

        async def first() -> bool:
            return await text_of(database, log_id) == ("first\n", False)

        await until(first)
        await sink.write("ond\nno end")
    assert await text_of(database, log_id) == ("first\nsecond\nno end", True)


async def test_a_reader_asks_for_what_came_after(database: Database) -> None:
    log_id = await stream(database)
    for text in ("one\n", "two\n"):
        async with logs.LogSink(database, log_id) as sink:
            await sink.write(text)
    chunks, _ = await database.read(lambda conn: logs.read(conn, log_id, 1))
    assert [chunk.text for chunk in chunks] == ["two\n"]
    assert await database.read(lambda conn: logs.tail(conn, log_id, 6)) == "e\ntwo\n"


async def test_a_successor_goes_on_in_a_stream_that_stays_open_for_it(database: Database) -> None:
    log_id = await stream(database)
    with suppress(Transient):
        async with logs.LogSink(database, log_id) as sink:
            await sink.write("one\n")
            raise Transient("again later")
    assert await text_of(database, log_id) == ("one\n", False)
    async with logs.LogSink(database, log_id) as sink:
        await sink.write("two\n")
    assert await text_of(database, log_id) == ("one\ntwo\n", True)


def at(offset: int, *, run: str = "first") -> Position:
    return Position(run=run, offset=offset)


async def test_how_far_a_command_s_output_is_kept_is_known_as_soon_as_a_reader_finds_it(database: Database) -> None:
    log_id = await stream(database)
    async with logs.LogSink(database, log_id) as sink:
        assert await sink.position("build") is None
        await sink.write_from("one\ntw", source="build", position=at(6))
        await sink.write_from("o\n", source="build", position=at(8))
        await sink.write_from("three\n", source="release", position=at(6, run="second"))

        async def kept() -> bool:
            return (await text_of(database, log_id))[0] != ""

        await until(kept)
        assert await text_of(database, log_id) == ("one\ntwo\nthree\n", False)
        assert (await sink.position("build"), await sink.position("release")) == (at(8), at(6, run="second"))
        await sink.write_from("no end", source="build", position=at(14))
        await sink.settle()
        assert await sink.position("build") == at(14)
    successor = logs.LogSink(database, log_id)
    assert (await successor.position("build"), await text_of(database, log_id)) == (
        at(14),
        ("one\ntwo\nthree\nno end", True),
    )


async def test_a_line_that_is_not_kept_yet_is_told_again_to_a_successor(database: Database) -> None:
    log_id = await stream(database)
    sink = logs.LogSink(database, log_id)
    await sink.write_from("one\n", source="build", position=at(4))
    await sink.write_from("tw", source="build", position=at(6))

    async def kept() -> bool:
        return (await text_of(database, log_id))[0] == "one\n"

    await until(kept)
    assert await logs.LogSink(database, log_id).position("build") == at(4)
    await sink.close()


async def test_a_successor_never_begins_within_a_private_key(database: Database) -> None:
    log_id = await stream(database)
    sink = logs.LogSink(database, log_id)
    await sink.write_from("before\n", source="build", position=at(7))
    await sink.write_from("-----BEGIN PRIVATE KEY-----\nMIIEvQIB\n", source="build", position=at(44))
    await sink.write_from("ADANBgkq\n", source="build", position=at(53))

    async def kept() -> bool:
        return "[redacted]" in (await text_of(database, log_id))[0]

    await until(kept)
    assert await logs.LogSink(database, log_id).position("build") == at(7)
    await sink.write_from("-----END PRIVATE KEY-----\nafter\n", source="build", position=at(85))
    await sink.settle()
    assert await logs.LogSink(database, log_id).position("build") == at(85)
    await sink.close()


async def test_what_goes_nowhere_is_not_kept(database: Database) -> None:
    log_id = await stream(database)
    async with logs.LogSink(database, log_id, ours=lambda _: False) as sink:
        await sink.write_from("one\n", source="build", position=at(4))
        await sink.settle()
        await sink.settle()
        assert await sink.position("build") is None
    assert await text_of(database, log_id) == ("", False)


async def test_a_secret_that_arrives_in_pieces_is_not_stored(database: Database) -> None:
    log_id = await stream(database)
    async with logs.LogSink(database, log_id, secrets=["hunter2-hunter2"]) as sink:
        for letter in "password is hunter2-hunter2!\n":
            await sink.write(letter)
        await sink.write("x" * 70_000 + "hunter2-")
        await sink.write("hunter2\0 \udc80\n")
    text, _ = await text_of(database, log_id)
    assert text == f"password is [redacted]!\n{'x' * 70_000}[redacted] ?\n"


async def test_a_token_at_the_end_of_a_piece_of_an_endless_line_is_taken_out_whole(database: Database) -> None:
    log_id = await stream(database)
    async with logs.LogSink(database, log_id) as sink:
        await sink.write("x" * 70_000 + " ghs_" + "a1" * 10)
        for part in ("b2" * 10, "c3", " end\n"):
            await sink.write(part)
    text, _ = await text_of(database, log_id)
    assert text == f"{'x' * 70_000} [redacted] end\n"


async def test_a_long_secret_in_an_endless_line_is_taken_out_whole(database: Database) -> None:
    log_id, secret = await stream(database), "k" * 40_000 + "!"
    async with logs.LogSink(database, log_id, secrets=[secret]) as sink:
        for part in ("x" * 70_000 + secret[:20_000], secret[20_000:30_000], secret[30_000:] + " end" + "x" * 70_000):
            await sink.write(part)
    text, _ = await text_of(database, log_id)
    assert text == f"{'x' * 70_000}[redacted] end{'x' * 70_000}"


async def test_a_secret_that_a_writer_had_the_first_half_of_is_not_stored_when_another_goes_on(
    database: Database,
) -> None:
    """Whoever goes on is told again what is not kept."""
    log_id = await stream(database)
    with suppress(Transient):
        async with logs.LogSink(database, log_id, secrets=["hunter2-hunter2"]) as sink:
            await sink.write_from("whole\n", source="build", position=at(6))
            await sink.write_from("password is hunter2-", source="build", position=at(26))
            raise Transient("again later")
    assert await text_of(database, log_id) == ("whole\n", False)
    async with logs.LogSink(database, log_id, secrets=["hunter2-hunter2"]) as sink:
        assert await sink.position("build") == at(6)
        await sink.write("password is hunter2-hunter2\n")
    assert await text_of(database, log_id) == ("whole\npassword is [redacted]\n", True)


async def test_a_stream_ends_visibly_when_it_is_too_long(database: Database) -> None:
    log_id = await stream(database)
    async with logs.LogSink(database, log_id, most=200_000) as sink:
        for _ in range(30_000):
            await sink.write("more and more\n")
    text, closed = await text_of(database, log_id)
    assert text.endswith("\n[the log ends here: it is longer than 195 kB]\n")
    assert len(text) < 200_100
    assert closed


JWT = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiIxMjM0NTY3In0.c2lnbmF0dXJlLXNpZ25hdHVyZQ"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param(f"token ghs_{'a1' * 18}.", "token [redacted]", id="an installation token"),
        pytest.param(f"x github_pat_{'a1' * 40} y", "x [redacted] y", id="a personal token"),
        pytest.param(f"jwt={JWT};", "jwt=[redacted];", id="a JWT"),
        pytest.param(
            "git clone https://bob:s3cret@host/x", "git clone https://[redacted]@host/x", id="a password in a URL"
        ),
        pytest.param("Authorization: Basic Zm9vOmJhcg==", "Authorization: Basic [redacted]", id="a header"),
        pytest.param("https://host:8080/a@b", "https://host:8080/a@b", id="a port is no password"),
        pytest.param("git@github.com:org/repo", "git@github.com:org/repo", id="an ssh address is no secret"),
        pytest.param("sha 0123456789abcdef", "sha 0123456789abcdef", id="a commit is no secret"),
    ],
)
def test_what_has_the_shape_of_a_secret_is_taken_out(text: str, shown: str) -> None:
    assert Redactor().redact(text) == shown


def test_a_private_key_is_taken_out_over_several_lines() -> None:
    redactor = Redactor()
    lines = ["a -----BEGIN RSA PRIVATE KEY-----\n", "MIIEow\n", "-----END RSA PRIVATE KEY----- b\n", "c\n"]
    assert "".join(map(redactor.redact, lines)) == "a [redacted] b\nc\n"


def test_the_beginning_of_a_key_does_not_hide_all_that_follows() -> None:
    redactor = Redactor()
    lines = ["-----BEGIN PRIVATE KEY-----\n", *["A" * 64 + "\n"] * 300, "the cause\n"]
    shown = "".join(map(redactor.redact, lines))
    assert shown.startswith("[redacted]")
    assert shown.endswith("the cause\n")
    assert len(shown) < 4000


def test_short_values_are_left_alone_and_long_ones_of_several_lines_are_not() -> None:
    redactor = Redactor(["true", "first-line\nsecond-line"])
    assert redactor.redact("true first-line") == "true [redacted]"


ODD = 'p&ss/w+rd "ü"\\ of 2026'
PRINTED: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "in JSON": lambda it: json.dumps({"key": it}),
    "in JSON with all its letters": lambda it: json.dumps({"key": it}, ensure_ascii=False),
    "by its representation": lambda it: repr({"key": it}),
    "in an address": quote,
    "as a part of an address": lambda it: quote(it, safe=""),
    "as a form": quote_plus,
    "in base64": lambda it: base64.b64encode(it.encode()).decode(),
    "in base64 behind one letter": lambda it: base64.b64encode(f"a{it}:b".encode()).decode(),
    "in base64 behind two letters": lambda it: base64.b64encode(f"ab{it}:b".encode()).decode(),
    "in base64 behind a name": lambda it: base64.b64encode(f"user:{it}".encode()).decode(),
    "in the base64 of addresses": lambda it: base64.urlsafe_b64encode(it.encode()).decode(),
    "in base64 of several lines": lambda it: base64.encodebytes(it.encode()).decode(),
    "in hexadecimal": lambda it: it.encode().hex(),
    "in capital hexadecimal": lambda it: it.encode().hex().upper(),
}


@pytest.mark.parametrize("secret", [ODD, ODD * 9, f"{ODD}\n{ODD[::-1]}"], ids=["a value", "a long one", "two lines"])
@pytest.mark.parametrize("way", list(PRINTED), ids=list(PRINTED))
def test_a_known_value_is_taken_out_printed(way: str, secret: str) -> None:
    printed = PRINTED[way](secret)
    shown = Redactor([secret]).redact(f"before {printed} behind")
    assert "[redacted]" in shown
    assert shown.startswith("before ")
    assert shown.endswith(" behind")
    left = shown.replace("[redacted]", "\n")
    # What is left of it are the digits that it shares with what stands beside it.
    assert [line for line in left.splitlines() if len(line.strip()) > 9 and line.strip() in printed] == []
