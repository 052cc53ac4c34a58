"""An API server in this process, over HTTP: lists in pages, watches with bookmarks, faults on demand."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from tests.fakes.objects import PATH, Json, Key, Objects, Refused, Request

_BOOKMARKS = 0.2  # seconds between two


class Api:
    """Runs between entering and leaving its context. `requests` are all that came; `fault` may raise Refused."""

    def __init__(self) -> None:
        self.store = Objects()
        self.requests: list[Request] = []
        self.fault: Callable[[Request], None] = lambda _request: None
        self.gone = False  # hangs up on whoever still has a connection
        self.mute = False  # open watches say nothing, not even bookmarks
        self.generation = 0  # of watches: those of an earlier one end
        self.errors: list[Json] = []  # ERROR events to send on the next watch
        self._server = _Server(self)
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.gone = True
        self.cut()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def kubeconfig(self, directory: Path, **user: str) -> str:
        """A kubeconfig for this server; `user` are fields of the user, such as token."""
        path = directory / "kubeconfig"
        named = {"name": "fake"}
        path.write_text(
            json.dumps(
                {
                    "clusters": [named | {"cluster": {"server": self.url}}],
                    "users": [named | {"user": user}],
                    "contexts": [named | {"context": {"cluster": "fake", "user": "fake"}}],
                    "current-context": "fake",
                }
            )
        )
        return str(path)

    def cut(self) -> None:
        """End all open watches."""
        with self.store.changed:
            self.generation += 1
            self.store.changed.notify_all()

    def counted(self) -> Counter[str]:
        """Requests by method, watches as WATCH."""
        return Counter("WATCH" if each.watches else each.method for each in list(self.requests))

    # What tests arrange, with the names of tests.cluster.client.Client

    def get(self, path: str) -> Any:
        return self.store.answer(Request("GET", path, {}), None, "")

    def create(self, path: str, obj: Any) -> Any:
        return self.store.answer(Request("POST", path, {}), obj, "")

    def patch(self, path: str, patch: Any, kind: str = "merge") -> Any:
        return self.store.answer(Request("PATCH", path, {}), patch, kind)

    def delete(self, path: str) -> Any:
        return self.store.answer(Request("DELETE", path, {}), None, "")

    def watch(self, request: Request) -> Iterator[Json | None]:
        """Events from the version of `request` on; None now and then, for the connection to be looked at."""
        found = PATH.match(request.path)
        assert found is not None
        key: Key = (found["api"], found["kind"], found["ns"] or "", "")
        generation, version = self.generation, int(request.query["resourceVersion"])
        while self.errors:
            yield {"type": "ERROR", "object": self.errors.pop()}
        if version < self.store.oldest:
            yield {"type": "ERROR", "object": Refused(410, f"too old resource version: {version}").status}
            return
        while generation == self.generation:
            with self.store.changed:
                now = self.store.version  # up to which a bookmark may say that everything was told
                news = [each for each in self.store.history if each.version > version]
                if not news or self.mute:
                    self.store.changed.wait(_BOOKMARKS)
            if self.mute:
                continue
            for write in news:
                version = write.version
                if kind := write.told(key, request.query):
                    yield {"type": kind, "object": write.object}
            if not news:
                yield {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(now)}}}
            yield None


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, api: Api) -> None:
        self.api = api
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        api = self.server.api
        address = urlsplit(self.path)
        token = self.headers.get("Authorization", "").partition(" ")[2]
        agent = self.headers.get("User-Agent", "")
        request = Request(self.command, address.path, dict(parse_qsl(address.query)), agent, token)
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "null")
        self.close_connection = self.close_connection or api.gone
        if api.gone:
            return
        api.requests.append(request)
        try:
            api.fault(request)
            if request.watches:
                self._stream(request)
            else:
                answer = api.store.answer(request, body, self.headers.get("Content-Type", ""))
                self._send(201 if self.command == "POST" else 200, answer, {})
        except Refused as refused:
            self._send(refused.code, refused.status, refused.headers)
        except ConnectionError:
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 (names of http.server)

    def _send(self, code: int, answer: Any, headers: dict[str, str]) -> None:
        data = json.dumps(answer).encode()
        self.send_response(code)
        for name, value in ({"Content-Length": str(len(data))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, request: Request) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for event in self.server.api.watch(request):
            if event is not None:
                line = json.dumps(event).encode() + b"\n"
                self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: object) -> None:
        """Say nothing."""
