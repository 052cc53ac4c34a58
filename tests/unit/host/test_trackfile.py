"""The number that keepalived tracks, and the drains beside it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nodeagent.host import runfile
from nodeagent.host.trackfile import DRAIN, HANDOVER, HEARTBEAT, TRACK, TrackFile


def test_the_number_that_stands_there_is_read_back(tmp_path: Path) -> None:
    track = TrackFile(str(tmp_path / "run"))
    assert track.standing() is None
    for value in (0, -60, -254):
        track.write(value)
        assert track.standing() == value


@pytest.mark.parametrize("text", ["", "garbage\n", "-\n", "1.5\n", "--1\n"])
def test_what_is_no_number_stands_for_none(tmp_path: Path, text: str) -> None:
    (tmp_path / TRACK).write_text(text)
    assert TrackFile(str(tmp_path)).standing() is None


def test_the_deeper_drain_counts_and_each_is_ended_by_whoever_began_it(tmp_path: Path) -> None:
    by_command, by_agent = TrackFile(str(tmp_path)), TrackFile(str(tmp_path), HANDOVER)
    by_command.begin_drain(-100)
    by_agent.begin_drain(-253)
    assert by_command.drained() == by_agent.drained() == -253
    by_agent.end_drain()
    assert by_agent.drained() == -100
    by_agent.end_drain()
    by_command.end_drain()
    assert by_command.drained() == 0


def test_the_agents_own_drain_does_not_outlast_its_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 5000
    monkeypatch.setattr(runfile, "uptime", lambda: now)
    for name in (DRAIN, HANDOVER):
        TrackFile(str(tmp_path), name).begin_drain(-253)
    now += 1800
    assert TrackFile(str(tmp_path)).drained() == -253
    (tmp_path / DRAIN).unlink()
    now += 1
    assert TrackFile(str(tmp_path)).drained() == 0
    TrackFile(str(tmp_path), HANDOVER).begin_drain(-253)
    assert TrackFile(str(tmp_path)).drained() == -253, "asked for anew"


def test_a_drain_by_command_lasts(tmp_path: Path) -> None:
    (tmp_path / DRAIN).write_text("-254 0\n")
    assert TrackFile(str(tmp_path)).drained() == -254
    (tmp_path / DRAIN).write_text("-254\n")
    assert TrackFile(str(tmp_path)).drained() == -254


def test_what_is_given_up_is_zero_before_it_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    track = TrackFile(str(tmp_path))
    assert track.left() == ()
    track.write(-254)
    track.begin_drain(-20)
    assert track.left() == (DRAIN, HEARTBEAT, TRACK)
    seen: list[tuple[str, str]] = []
    unlink = os.unlink

    def noted(path: str) -> None:
        if os.path.lexists(path):
            seen.append((os.path.basename(path), (tmp_path / TRACK).read_text()))
        unlink(path)

    monkeypatch.setattr(os, "unlink", noted)
    track.give_up()
    assert seen == [(DRAIN, "0\n"), (HEARTBEAT, "0\n"), (TRACK, "0\n")]
    assert list(tmp_path.iterdir()) == []
    track.give_up()
    assert list(tmp_path.iterdir()) == []
