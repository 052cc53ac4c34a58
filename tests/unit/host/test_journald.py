"""journalctl is another program: what it says is bounded, and how it fails is told."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from nodeagent.errors import Broken, Transient
from nodeagent.host import journald

_Spawn = Callable[[str], None]


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> _Spawn:
    """Have a shell script run in journalctl's place."""
    spawn = subprocess.Popen

    def replace(script: str) -> None:
        def popen(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
            assert command[0] == "journalctl"
            assert "--unit=a.service" in command
            return spawn(["sh", "-c", script], **options)

        monkeypatch.setattr(subprocess, "Popen", popen)

    return replace


def test_the_last_whole_lines_are_kept(stand_in: _Spawn) -> None:
    stand_in("seq 1 100000")
    found = journald.lines(["a.service"], 10, 1000, 60.0)
    assert found[-1] == "100000"
    assert found[0] == f"{100000 - len(found) + 1}"
    assert sum(len(line) + 1 for line in found) <= 1000


def test_few_lines_are_all_kept(stand_in: _Spawn) -> None:
    stand_in("printf 'one\\ntwo\\n'")
    assert journald.lines(["a.service"], 10, 1000, 60.0) == ["one", "two"]


def test_one_that_fails_or_hangs_or_is_not_there(stand_in: _Spawn, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in("exit 1")
    with pytest.raises(Broken, match="status 1"):
        journald.lines(["a.service"], 10, 1000, 60.0)
    stand_in("exec sleep 60")
    with pytest.raises(Transient, match="in time"):
        journald.lines(["a.service"], 10, 1000, 0.1)

    def missing(*_: object, **__: object) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(subprocess, "Popen", missing)
    with pytest.raises(Broken, match="no journalctl"):
        journald.lines(["a.service"], 10, 1000, 60.0)
