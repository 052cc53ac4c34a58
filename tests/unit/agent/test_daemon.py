"""The daemon as a process: a thread that dies takes the whole with it, so that systemd starts it again."""

from __future__ import annotations

import threading

import pytest

from nodeagent.agent.process import ending_on_crash
from nodeagent.errors import Broken


def test_a_thread_that_crashes_ends_the_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", told.append)
    stop = threading.Event()

    def run() -> None:
        with ending_on_crash(stop):
            thread = threading.Thread(target=lambda: 1 // 0)
            thread.start()
            assert stop.wait(10.0)
            thread.join(10.0)

    with pytest.raises(Broken, match="ended by ZeroDivisionError, a defect"):
        run()
    assert [crash.exc_type for crash in told] == [ZeroDivisionError], "the traceback must still be printed"


def test_without_a_crash_nothing_is_said() -> None:
    hook = threading.excepthook
    with ending_on_crash(threading.Event()):
        assert threading.excepthook is not hook
    assert threading.excepthook is hook
