"""The adapter of systemd where there is none: each way in which it cannot be reached is told."""

from __future__ import annotations

import os
import socket
import sys
import time
import venv
from pathlib import Path

import pytest

from nodeagent.errors import Broken, Transient
from nodeagent.host.systemd import Systemd


def test_a_node_without_systemd_says_so(tmp_path: Path) -> None:
    assert not Systemd(run=str(tmp_path)).running()
    (tmp_path / "systemd/system").mkdir(parents=True)
    assert Systemd(run=str(tmp_path)).running()


def test_without_pystemd_the_agent_is_told_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    venv.create(tmp_path, with_pip=False)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin/python"))
    with pytest.raises(Broken, match=r"pip install 'nodeagent\[systemd\]'"):
        Systemd(run=str(tmp_path)).daemon_reload()


def test_an_interpreter_that_cannot_start_is_a_passing_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    with pytest.raises(Transient, match="No such file or directory"):
        Systemd().daemon_reload()


def test_a_child_that_dies_is_told_with_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dying = tmp_path / "python"
    dying.write_text("#!/bin/sh\necho out of memory >&2\nkill -9 $$\n")
    dying.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(dying))
    with pytest.raises(Transient, match="SIGKILL: out of memory"):
        Systemd().daemon_reload()


@pytest.fixture
def _pystemd() -> None:
    pytest.importorskip("pystemd", reason="needs pystemd: pip install nodeagent[systemd]")


@pytest.mark.usefixtures("_pystemd")
def test_both_sockets_are_named_when_neither_answers(tmp_path: Path) -> None:
    with pytest.raises(Transient) as caught:
        Systemd(run=str(tmp_path)).states(["a.service"])
    assert f"{tmp_path}/dbus/system_bus_socket: No such file" in str(caught.value)
    assert f"{tmp_path}/systemd/private: No such file" in str(caught.value)


@pytest.mark.usefixtures("_pystemd")
def test_a_socket_that_nobody_serves_does_not_hold_the_call(tmp_path: Path) -> None:
    (tmp_path / "dbus").mkdir()
    with socket.socket(socket.AF_UNIX) as silent:
        descriptor = os.open(tmp_path / "dbus", os.O_PATH)
        silent.bind(f"/proc/self/fd/{descriptor}/system_bus_socket")  # a socket's path has at most 107 bytes
        os.close(descriptor)
        silent.listen()
        began = time.monotonic()
        with pytest.raises(Transient, match="system_bus_socket: no answer"):
            Systemd(run=str(tmp_path)).states(["a.service"])
    assert time.monotonic() - began < 10.0


@pytest.mark.parametrize(
    "name", ["", "x", "x.service\n", "a b.service", "../x.service", "x.conf", "x" * 249 + ".service"]
)
def test_what_is_no_unit_name_reaches_nobody(name: str) -> None:
    with pytest.raises(Broken, match="not names of systemd units"):
        Systemd(run="/nonexistent").stop(name)


def test_nothing_to_do_asks_nobody() -> None:
    systemd = Systemd(run="/nonexistent")
    assert systemd.states([]) == {}
    systemd.carry_out([])
