"""Logs: one line an event, whatever it holds; for people on a terminal, else for machines."""

from __future__ import annotations

import io
import json
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.settings import LogSettings
from nodeagent.telemetry import logs
from nodeagent.telemetry.repeats import BURST, WINDOW

log = logging.getLogger("nodeagent.test")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, raising = root.handlers[:], root.level, logging.raiseExceptions
    root.handlers = []
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers = handlers
    root.setLevel(level)
    logging.raiseExceptions = raising
    logging.captureWarnings(capture=False)


def configured(stream: io.StringIO, settings: LogSettings | None = None, **environ: str) -> io.StringIO:
    logs.configure(settings or LogSettings(), stream, environ)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_without_a_terminal_each_line_is_a_json_object() -> None:
    stream = configured(io.StringIO())
    log.warning("drift of %s", "x", extra={"path": "/etc/motd", "kind": "mode", "writer": Path("/bin/sh")})
    (line,) = lines(stream)
    when = line.pop("time")
    assert len(when) == len("2026-11-23T01:07:41.123Z")
    assert when.endswith("Z")
    assert line == {
        "level": "warning",
        "logger": "nodeagent.test",
        "message": "drift of x",
        "path": "/etc/motd",
        "kind": "mode",
        "writer": "/bin/sh",
    }


def test_a_field_cannot_take_the_place_of_the_level() -> None:
    stream = configured(io.StringIO())
    log.warning("message", extra={"level": "debug", "time": "never"})
    (line,) = lines(stream)
    assert line["level"] == "warning"
    assert line["time"] != "never"


def test_on_a_terminal_a_line_is_for_people() -> None:
    stream = configured(Terminal(), NO_COLOR="1")
    log.info("drift found", extra={"path": "/etc/my file", "kind": "mode", "unit": ""})
    when, _, rest = stream.getvalue().partition(" ")
    assert when.endswith("Z")
    assert rest == 'info     drift found  path="/etc/my file"  kind=mode  unit=""\n'


@pytest.mark.parametrize(
    ("stream", "environ", "coloured"),
    [
        (Terminal(), {}, True),
        (Terminal(), {"NO_COLOR": ""}, True),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {}, False),
    ],
)
def test_colour_is_for_terminals_that_want_it(stream: io.StringIO, environ: dict[str, str], coloured: bool) -> None:
    configured(stream, LogSettings(format="human"), **environ)
    log.error("failed")
    assert ("\x1b[31m" in stream.getvalue()) is coloured


def test_the_format_can_be_forced() -> None:
    stream = configured(Terminal(), LogSettings(format="json"))
    log.info("started")
    assert lines(stream)[0]["message"] == "started"


def test_less_severe_messages_are_left_out() -> None:
    stream = configured(io.StringIO(), LogSettings(level="warning"))
    log.info("started")
    log.warning("late")
    assert [line["message"] for line in lines(stream)] == ["late"]


@given(st.text())
def test_any_text_becomes_one_printable_line(text: str) -> None:
    assert logs.one_line(text).isprintable()


@pytest.mark.parametrize("form", ["human", "json"])
@given(message=st.text(), value=st.text())
def test_nothing_that_is_logged_can_forge_a_line_or_steer_a_terminal(form: str, message: str, value: str) -> None:
    record = logging.makeLogRecord({"msg": message, "levelno": logging.INFO, "levelname": "INFO", "path": value})
    formatter = logs.HumanFormatter() if form == "human" else logs.JsonFormatter()
    forbidden = {*map(chr, range(32)), "\x85", "\u2028", "\u202e"}
    assert not forbidden & set(formatter.format(record))


def test_a_traceback_is_a_field_in_json_and_indented_for_people() -> None:
    with pytest.raises(ValueError, match="two") as raised:
        int("two\nlines \x1b[2J")
    exception = raised.type, raised.value, raised.tb
    record = log.makeRecord(log.name, logging.ERROR, __file__, 1, "failed", (), exc_info=exception)
    assert "ValueError: invalid literal" in json.loads(logs.JsonFormatter().format(record))["error"]
    _, *traceback = logs.HumanFormatter().format(record).splitlines()
    assert traceback
    assert all(line.startswith("    ") and line.isprintable() for line in traceback)


def test_what_journald_reads_carries_the_severity(tmp_path: Path) -> None:
    with (tmp_path / "journal").open("w+") as stream:
        state = os.fstat(stream.fileno())
        logs.configure(LogSettings(), stream, {"JOURNAL_STREAM": f"{state.st_dev}:{state.st_ino}"})
        log.error("failed")
        log.info("went on")
        stream.seek(0)
        first, second = stream.read().splitlines()
    assert first.startswith('<3>{"time"')
    assert second.startswith('<6>{"time"')


def test_another_stream_than_the_journals_carries_no_severity(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w+") as stream:
        logs.configure(LogSettings(), stream, {"JOURNAL_STREAM": "8:1"})
        log.error("failed")
        stream.seek(0)
        assert stream.read().startswith("{")


def test_an_event_that_repeats_itself_is_counted_and_the_count_is_shown() -> None:
    now = 0.0
    stream = io.StringIO()
    handler = logs.LineHandler(stream, lambda: now)
    handler.setFormatter(logs.JsonFormatter())
    repeated = logging.makeLogRecord({"msg": "busy", "levelno": logging.INFO, "levelname": "INFO", "path": "/a"})
    for _ in range(BURST + 7):
        handler.handle(repeated)
    other = logging.makeLogRecord({"msg": "busy", "levelno": logging.INFO, "levelname": "INFO", "path": "/b"})
    handler.handle(other)
    assert [line["path"] for line in lines(stream)] == ["/a"] * BURST + ["/b"]
    now = WINDOW
    handler.handle(other)
    assert [line.get("held_back") for line in lines(stream)[-2:]] == [7, None]


def test_what_was_held_back_is_told_at_the_end() -> None:
    stream = io.StringIO()
    handler = logs.LineHandler(stream, lambda: 0.0)
    handler.setFormatter(logs.HumanFormatter())
    for _ in range(BURST + 3):
        handler.handle(logging.makeLogRecord({"msg": "busy", "levelname": "INFO"}))
    handler.close()
    assert stream.getvalue().splitlines()[-1].endswith("busy  held_back=3")


def test_warnings_are_logged() -> None:
    with warnings.catch_warnings():
        stream = configured(io.StringIO())
        warnings.simplefilter("always")
        warnings.warn("old", stacklevel=1)
    assert lines(stream)[0]["logger"] == "py.warnings"


def test_configuring_again_replaces_the_stream() -> None:
    first, second = configured(io.StringIO()), configured(io.StringIO())
    log.info("started")
    assert (first.getvalue(), len(lines(second))) == ("", 1)


def test_a_stream_that_cannot_be_written_stops_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stream = (tmp_path / "closed").open("w")
    logs.configure(LogSettings(), stream, {})
    stream.close()
    log.info("into the void")
    assert capsys.readouterr().err == ""
    logging.getLogger().handlers.clear()
