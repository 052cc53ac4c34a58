"""Notifications to systemd, received on a socket as systemd would."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeagent.telemetry.health import Beats
from nodeagent.telemetry.notify import Notifier, Watchdog


class Systemd:
    """The receiving end."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.settimeout(10)

    def received(self) -> list[str]:
        return self._socket.recv(4096).decode().split("\n")

    def hears_nothing_for(self, seconds: float) -> bool:
        self._socket.settimeout(seconds)
        try:
            self._socket.recv(4096)
        except TimeoutError:
            return True
        finally:
            self._socket.settimeout(10)
        return False

    def drain(self) -> None:
        self._socket.setblocking(False)
        try:
            while True:
                self._socket.recv(4096)
        except BlockingIOError:
            self._socket.settimeout(10)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    address = f"{tmp_path}/notify" if request.param == "path" else f"@nodeagent-test-{os.getpid()}"
    listening = Systemd(address)
    yield listening
    listening.close()


def test_states_arrive_as_systemd_reads_them(systemd: Systemd) -> None:
    notifier = Notifier(systemd.address)
    notifier.ready("watching 12 files")
    assert systemd.received() == ["READY=1", "STATUS=watching 12 files"]
    notifier.status("applying")
    assert systemd.received() == ["STATUS=applying"]
    notifier.alive()
    assert systemd.received() == ["WATCHDOG=1"]
    notifier.stopping()
    assert systemd.received() == ["STOPPING=1"]


def test_a_status_cannot_forge_another_state(systemd: Systemd) -> None:
    Notifier(systemd.address).status("fine\nMAINPID=1\n" + "x" * 5000)
    (line,) = systemd.received()
    assert line.startswith("STATUS=fine\\nMAINPID=1")
    assert len(line) < 600


def test_the_environment_is_taken_so_that_children_do_not_inherit_it() -> None:
    environ = {
        "NOTIFY_SOCKET": "/run/systemd/notify",
        "WATCHDOG_USEC": "30000000",
        "WATCHDOG_PID": str(os.getpid()),
        "PATH": "/bin",
    }
    assert Notifier.taken_from(environ).watchdog == 30.0
    assert environ == {"PATH": "/bin"}


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"NOTIFY_SOCKET": "/run/systemd/notify"},
        {"NOTIFY_SOCKET": "/run/systemd/notify", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"},
        {"NOTIFY_SOCKET": "/run/systemd/notify", "WATCHDOG_USEC": "soon"},
        {"NOTIFY_SOCKET": "/run/systemd/notify", "WATCHDOG_USEC": "-1"},
        {"WATCHDOG_USEC": "30000000"},
        {"NOTIFY_SOCKET": "vsock:2:1234", "WATCHDOG_USEC": "30000000"},
    ],
)
def test_a_watchdog_that_is_not_ours_is_not_fed(environ: dict[str, str]) -> None:
    notifier = Notifier.taken_from(environ)
    assert notifier.watchdog == 0.0
    watchdog = Watchdog(notifier, Beats())
    watchdog.start()
    assert not any(thread.name == "watchdog" for thread in threading.enumerate())
    watchdog.close()


def test_a_watchdog_without_a_pid_is_meant_for_us() -> None:
    assert Notifier.taken_from({"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "500000"}).watchdog == 0.5


def test_a_socket_that_is_away_is_logged_and_stops_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Notifier(f"{tmp_path}/nobody").ready("")
    assert "could not be notified" in caplog.text


def test_without_a_socket_nothing_happens(caplog: pytest.LogCaptureFixture) -> None:
    Notifier().ready("fine")
    assert caplog.text == ""


def test_a_receiver_that_does_not_read_does_not_hold_us_up(
    systemd: Systemd, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nodeagent.telemetry.notify._DEADLINE", 0.05)
    notifier = Notifier(systemd.address)
    while "could not be notified" not in caplog.text:
        notifier.alive()


def test_the_watchdog_is_fed_only_while_no_loop_is_stuck(systemd: Systemd) -> None:
    now = 0.0
    beats = Beats(lambda: now)
    beats.expect("drift", allowance=5.0)
    watchdog = Watchdog(Notifier(systemd.address, watchdog=0.1), beats)
    watchdog.start()
    try:
        assert systemd.received() == ["WATCHDOG=1"]
        now = 6.0
        heard = systemd.received()
        while heard == ["WATCHDOG=1"]:
            heard = systemd.received()
        assert heard == ["STATUS=stuck: drift"]
        assert systemd.hears_nothing_for(0.3)
        beats.beat("drift")
        assert systemd.received() == ["STATUS=running"]
        assert systemd.received() == ["WATCHDOG=1"]
    finally:
        watchdog.close()
    systemd.drain()
    assert systemd.hears_nothing_for(0.2)
