"""What else a node needs to carry the VIP's traffic."""

from __future__ import annotations

import http.server
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nodeagent.host.fitness import EtcdMember, cramped, unanswered
from nodeagent.host.livez import HealthServer


class _Member(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name that http.server gives it
        """Quiet."""


@contextmanager
def _served() -> Iterator[http.server.ThreadingHTTPServer]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Member) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def test_a_port_that_answers_is_told_from_one_that_does_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert unanswered("127.0.0.1", port, 2.0) == ""
    assert unanswered("127.0.0.1", port, 2.0) == "Connection refused"


@pytest.mark.parametrize(("status", "complaint"), [(200, ""), (503, "answers 503"), (403, "answers 403")])
def test_an_etcd_member_is_well_or_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, complaint: str
) -> None:
    monkeypatch.setattr(_Member, "status", status)
    with _served() as server:
        health = HealthServer("127.0.0.1", server.server_address[1], 2.0, tls=False)
        absent = EtcdMember(health, str(tmp_path / "etcd.yaml"))
        assert absent.complaint() == "", "no member is expected here"
        (tmp_path / "etcd.yaml").touch()
        for _ in range(2):
            assert EtcdMember(health, str(tmp_path / "etcd.yaml")).complaint() == complaint
        health.close()


def test_a_full_file_system_is_named_and_one_that_is_not_there_is_not(tmp_path: Path) -> None:
    assert cramped([str(tmp_path / "gone")], 99) == ""
    assert cramped([str(tmp_path)], 0) == ""
    room = os.statvfs(tmp_path)
    free = room.f_bavail * 100 // room.f_blocks
    assert f"{tmp_path} has {free} percent of its bytes free" == cramped([str(tmp_path)], 100)
