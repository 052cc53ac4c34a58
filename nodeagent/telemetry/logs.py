"""Logs on the standard library's logging: one line an event, for people on a terminal, else as JSON.

Invariants: whatever a message holds, it is one line (a traceback's lines are indented) and cannot steer a
terminal; an event that repeats itself is held back and counted, and every count is shown in the end; memory
is bounded. Fields go by `extra`: log.info("drift found", extra={"path": path}).
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from nodeagent.settings import LogSettings
from nodeagent.telemetry.repeats import Repeats

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_COLOURS = {logging.DEBUG: "2", logging.WARNING: "33", logging.ERROR: "31", logging.CRITICAL: "1;31"}
# syslog(3) severities; journald takes the prefix off and keeps it as PRIORITY, see sd-daemon(3)
_SEVERITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


def configure(settings: LogSettings, stream: TextIO = sys.stderr, environ: Mapping[str, str] = os.environ) -> None:
    """Send all logging to `stream`, in the form and from the level of `settings`; may be called again."""
    handler = LineHandler(stream, time.monotonic)
    handler.setFormatter(_formatter(settings.format, stream, environ))
    logging.basicConfig(level=settings.level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    logging.raiseExceptions = False  # a log that cannot be written is no reason to write a traceback


def _formatter(form: str, stream: TextIO, environ: Mapping[str, str]) -> logging.Formatter:
    terminal = stream.isatty()
    if form == "human" or (form == "auto" and terminal):
        plain = not terminal or bool(environ.get("NO_COLOR")) or environ.get("TERM") == "dumb"
        return HumanFormatter(coloured=not plain)
    return JsonFormatter(severity=_is_journal(stream, environ))


def _is_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether `stream` goes to journald: $JOURNAL_STREAM names its device and inode, see systemd.exec(5)."""
    try:
        state = os.fstat(stream.fileno())
    except OSError:
        return False
    return environ.get("JOURNAL_STREAM") == f"{state.st_dev}:{state.st_ino}"


def fields(record: logging.LogRecord) -> dict[str, Any]:
    """What was given by `extra`."""
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


def one_line(text: str) -> str:
    """`text` with everything escaped that is not printable: newlines, terminal controls, bidi overrides."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _utc(seconds: float, *, milliseconds: bool) -> str:
    """RFC 3339."""
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1000):03d}Z" if milliseconds else f"{whole}Z"


class JsonFormatter(logging.Formatter):
    """A JSON object a line: time, level, logger, message, then the fields; `error` holds a traceback."""

    def __init__(self, *, severity: bool = False) -> None:
        super().__init__()
        self._severity = severity

    def format(self, record: logging.LogRecord) -> str:
        standard: dict[str, Any] = {
            "time": _utc(record.created, milliseconds=True),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            standard["error"] = self.formatException(record.exc_info)
        line = json.dumps({**standard, **fields(record), **standard}, default=str)
        return f"<{_SEVERITIES.get(record.levelno, 6)}>{line}" if self._severity else line


class HumanFormatter(logging.Formatter):
    """Time, level, message, then field=value; a traceback follows on indented lines."""

    def __init__(self, *, coloured: bool = False) -> None:
        super().__init__()
        self._coloured = coloured

    def format(self, record: logging.LogRecord) -> str:
        when = _utc(record.created, milliseconds=False)
        head = f"{when} {self._level(record)} {one_line(record.getMessage())}"
        tail = "".join(f"  {name}={_value(value)}" for name, value in fields(record).items())
        return head + tail + self._traceback(record)

    def _level(self, record: logging.LogRecord) -> str:
        colour = _COLOURS.get(record.levelno) if self._coloured else None
        level = f"{record.levelname.lower():<8}"
        return f"\x1b[{colour}m{level}\x1b[0m" if colour else level

    def _traceback(self, record: logging.LogRecord) -> str:
        if not record.exc_info:
            return ""
        return "".join(f"\n    {one_line(line)}" for line in self.formatException(record.exc_info).splitlines())


def _value(value: object) -> str:
    text = one_line(str(value))
    return json.dumps(text, ensure_ascii=False) if not text or set(text) & set(' "=') else text


class LineHandler(logging.StreamHandler[TextIO]):
    """Writes lines; of an event that repeats itself the first few, later how many were held back."""

    def __init__(self, stream: TextIO, clock: Callable[[], float]) -> None:
        super().__init__(stream)
        self._clock = clock
        self._repeats: Repeats[logging.LogRecord] = Repeats()

    def emit(self, record: logging.LogRecord) -> None:
        now = self._clock()
        self._write_counts(self._repeats.ended(now))
        admitted, displaced = self._repeats.admit(_event(record), record, now)
        self._write_counts(displaced)
        if admitted:
            super().emit(record)

    def close(self) -> None:
        """Show what is still held back: nothing is counted without being told."""
        self._write_counts(self._repeats.all())
        super().close()

    def _write_counts(self, counts: list[tuple[logging.LogRecord, int]]) -> None:
        for record, held_back in counts:
            super().emit(logging.makeLogRecord({**vars(record), "held_back": held_back}))


def _event(record: logging.LogRecord) -> tuple[object, ...]:
    """What makes two records the same event: all that is printed but the time."""
    return record.name, record.levelno, record.getMessage(), repr(fields(record))
