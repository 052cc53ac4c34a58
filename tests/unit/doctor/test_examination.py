"""Every look has an answer, whatever becomes of it."""

from __future__ import annotations

import threading

import pytest

from nodeagent.doctor.check import Check, Verdict
from nodeagent.doctor.examination import Look, examine
from nodeagent.errors import Broken


def test_answers_come_in_order_and_errors_are_failures() -> None:
    def broken() -> Check:
        raise Broken("no bus")

    def missing() -> Check:
        raise FileNotFoundError(2, "No such file or directory", "/proc/x")

    fine = Check("fine", Verdict.OK, "well")
    looks = [Look("bus", broken, advice="start it"), Look("file", missing), Look("fine", lambda: fine)]
    bus, file, last = examine(looks)
    assert bus == Check("bus", Verdict.FAILED, "no bus", "start it")
    assert (file.verdict, file.explanation) == (Verdict.FAILED, "/proc/x: No such file or directory")
    assert last is fine


def test_one_that_hangs_is_left_behind() -> None:
    release = threading.Event()

    def hangs() -> Check:
        release.wait(60)
        return Check("late", Verdict.OK, "")

    try:
        late, fine = examine([Look("late", hangs, 0.05), Look("fine", lambda: Check("fine", Verdict.OK, ""))])
    finally:
        release.set()
    assert late.explanation == "no answer within 0.05 s"
    assert (late.verdict, fine.verdict) == (Verdict.FAILED, Verdict.OK)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_defect_is_told_apart_from_a_finding() -> None:
    def defect() -> Check:
        raise KeyError("x")

    (check,) = examine([Look("it", defect)])
    assert "defect" in check.explanation
