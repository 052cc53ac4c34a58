"""Requests: credentials that change under way, deadlines, hostile answers."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nodeagent.errors import Broken, Transient
from nodeagent.kube import connection as module
from nodeagent.kube.connection import Connection, Patch, connect
from nodeagent.kube.errors import Throttled, Unauthorised, Unavailable
from tests.contract.kube import NODES, node
from tests.fakes.api import Api
from tests.fakes.objects import Refused, Request


def _knowing(token: str) -> Callable[[Request], None]:
    def fault(request: Request) -> None:
        if request.token != token:
            raise Refused(401, "Unauthorized")

    return fault


@contextmanager
def _answering(reply: Callable[[socket.socket], None], tmp_path: Path) -> Iterator[Connection]:
    """A connection to a server that answers its one request with `reply`."""

    def serve() -> None:
        peer, _ = listener.accept()
        with peer:
            peer.recv(65536)
            reply(peer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield connect(_kubeconfig(tmp_path, f"http://127.0.0.1:{listener.getsockname()[1]}"), "nodeagent/test")
        thread.join()


def _kubeconfig(directory: Path, server: str) -> str:
    entry = {"name": "x"}
    config = {
        "clusters": [entry | {"cluster": {"server": server}}],
        "users": [entry | {"user": {}}],
        "contexts": [entry | {"context": {"cluster": "x", "user": "x"}}],
        "current-context": "x",
    }
    path = directory / "kubeconfig-of-its-own"
    path.write_text(json.dumps(config))
    return str(path)


def test_a_token_file_that_rotates_costs_one_401(api: Api, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old\n")
    connection = connect(api.kubeconfig(tmp_path, tokenFile=str(token)), "nodeagent/test")
    api.fault = _knowing("old")
    connection.get(NODES)
    token.write_text("new")
    api.fault = _knowing("new")
    connection.get(NODES)
    connection.get(NODES)
    assert [each.token for each in api.requests] == ["old", "old", "new", "new"]


def test_a_kubeconfig_that_changes_is_read_again(api: Api, tmp_path: Path) -> None:
    connection = connect(api.kubeconfig(tmp_path, token="old"), "nodeagent/test")
    connection.get(NODES)
    api.kubeconfig(tmp_path, token="newer")
    connection.get(NODES)
    assert [each.token for each in api.requests] == ["old", "newer"]


def test_who_stays_unknown_is_told(api: Api, tmp_path: Path) -> None:
    connection = connect(api.kubeconfig(tmp_path, token="hunter2"), "nodeagent/test")
    api.fault = _knowing("other")
    with pytest.raises(Unauthorised) as raised:
        connection.get(NODES)
    assert "hunter2" not in str(raised.value)
    assert len(api.requests) == 2


def test_credentials_that_cannot_be_read_are_told_without_their_text(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    with pytest.raises(Transient, match=f"the kubeconfig {path} cannot be used"):
        connect(str(path), "nodeagent/test").get(NODES)
    path.write_text("users: [hunter2\n  token: hunter2")
    with pytest.raises(Transient, match=f"the kubeconfig {path} cannot be used") as raised:
        connect(str(path), "nodeagent/test").get(NODES)
    assert "hunter2" not in str(raised.value)


def test_a_pod_without_its_service_account_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "")
    with pytest.raises(Transient, match="the pod's service account cannot be used"):
        connect("", "nodeagent/test").get(NODES)


def test_credentials_do_not_show(api: Api, tmp_path: Path) -> None:
    connection = connect(api.kubeconfig(tmp_path, token="hunter2"), "nodeagent/test")
    session = connection._credentials.session()
    assert session.headers["Authorization"].endswith("hunter2")
    assert "hunter2" not in repr(session)


def test_answers_are_asked_for_uncompressed_and_patches_named(api: Api, connection: Connection) -> None:
    api.create(NODES, node("a"))
    connection.patch(
        f"{NODES}/a", {"metadata": {"labels": {"a": "ö"}}}, Patch.MERGE, {"fieldManager": "me", "force": True}
    )
    assert api.requests[-1].query == {"fieldManager": "me", "force": "true"}
    assert api.get(f"{NODES}/a")["metadata"]["labels"] == {"a": "ö"}
    assert connection._headers["Accept-Encoding"] == "identity"


def test_how_long_to_wait_is_told(api: Api, connection: Connection) -> None:
    def busy(request: Request) -> None:
        raise Refused(429, "too many requests", {"Retry-After": "7"})

    api.fault = busy
    with pytest.raises(Throttled) as raised:
        connection.get(NODES)
    assert raised.value.after == 7
    assert len(api.requests) == 1


def test_a_server_that_hangs_is_given_up(tmp_path: Path) -> None:
    with _answering(lambda _peer: time.sleep(0.6), tmp_path) as connection:
        began = time.monotonic()
        with pytest.raises(Unavailable, match="timed out"):
            connection.get(NODES, deadline=0.3)
        assert time.monotonic() - began < 0.6


def test_an_answer_that_trickles_is_given_up(tmp_path: Path) -> None:
    def trickle(peer: socket.socket) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            for _ in range(20):
                peer.sendall(b"1\r\n \r\n")
                time.sleep(0.05)
        except ConnectionError:
            return

    with _answering(trickle, tmp_path) as connection, pytest.raises(Unavailable, match="did not end in time"):
        connection.get(NODES, deadline=0.3)


def test_an_answer_without_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BODY", 1 << 20)

    def flood(peer: socket.socket) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                peer.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        except ConnectionError:
            return

    with _answering(flood, tmp_path) as connection, pytest.raises(Broken, match="too long to be read"):
        connection.get(NODES)


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n<html>hunter2</", b"garbage\r\n\r\n", b""]
)
def test_what_is_no_api_server_is_told(tmp_path: Path, answer: bytes) -> None:
    with _answering(lambda peer: peer.sendall(answer), tmp_path) as connection, pytest.raises(Unavailable) as raised:
        connection.get(NODES)
    assert "hunter2" not in str(raised.value)
    assert f"GET {NODES}" in str(raised.value)


def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    moved = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n"
    with _answering(lambda peer: peer.sendall(moved), tmp_path) as connection, pytest.raises(Broken, match="302"):
        connection.get(NODES)


def test_no_more_requests_than_its_width_at_a_time(api: Api, tmp_path: Path) -> None:
    now, most, lock = 0, 0, threading.Lock()

    def slow(request: Request) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.05)
        with lock:
            now -= 1

    api.fault = slow
    connection = connect(api.kubeconfig(tmp_path), "nodeagent/test", width=2)
    threads = [threading.Thread(target=connection.get, args=(NODES,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 2


def test_a_kubeconfig_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(Transient, match=f"the kubeconfig {tmp_path}/none cannot be used: there is no such file"):
        connect(f"{tmp_path}/none", "nodeagent/test").get("/api")


def test_out_of_a_pod_the_way_to_name_a_kubeconfig_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(Transient, match=r"this is no pod.*--cluster-kubeconfig"):
        connect("", "nodeagent/test").get("/api")
