"""Fetching over https: real TLS on loopback, verified bytes only, a cache that is checked."""

from __future__ import annotations

import hashlib
import http.server
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme

from nodeagent.errors import Transient
from nodeagent.host.fetch import Fetcher
from nodeagent.host.store import Store
from nodeagent.host.tree import Tree


@dataclass
class Site:
    """A server on loopback with what it serves and what it was asked."""

    base: str = ""
    pages: dict[str, bytes] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def url(self, path: str) -> str:
        return self.base + path


def _handler(site: Site) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked.append((self.path, self.headers.get("X-Token")))
            if self.path in site.redirects:
                self.send_response(302)
                self.send_header("Location", site.redirects[self.path])
                self.end_headers()
                return
            body = site.pages.get(self.path)
            self.send_response(404 if body is None else 200)
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            """The test says what matters."""

    return Handler


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    for variable in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    found = Site()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(found))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    found.base = f"https://localhost:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()
    thread.join(10)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    (tmp_path / "root").mkdir()
    with Tree(str(tmp_path / "root")) as tree:
        made = Store(tree, "/state")
        made.prepare()
        yield made
        made.close()


def only(expected: bytes) -> Accept:
    return Accept(hashlib.sha256(expected).digest())


@dataclass
class Accept:
    digest: bytes

    def __call__(self, data: bytes) -> bytes:
        if hashlib.sha256(data).digest() != self.digest:
            raise ValueError("the contents are others")
        return data


def test_a_verified_body_is_fetched_once(site: Site, store: Store) -> None:
    site.pages["/x"] = b"contents"
    fetcher = Fetcher(store, 10.0, 1 << 20)
    for _ in range(2):
        assert fetcher.fetch(site.url("/x"), {"X-Token": "t"}, only(b"contents")) == b"contents"
    assert site.asked == [("/x", "t")]


def test_a_refused_body_is_not_kept(site: Site, store: Store) -> None:
    site.pages["/x"] = b"tampered"
    with pytest.raises(ValueError, match="others"):
        Fetcher(store, 10.0, 1 << 20).fetch(site.url("/x"), {}, only(b"contents"))
    assert store.names("fetched") == ()


def test_a_cached_body_that_is_refused_is_fetched_anew(site: Site, store: Store) -> None:
    site.pages["/x"] = b"old"
    fetcher = Fetcher(store, 10.0, 1 << 20)
    fetcher.fetch(site.url("/x"), {}, only(b"old"))
    site.pages["/x"] = b"new"
    assert fetcher.fetch(site.url("/x"), {}, only(b"new")) == b"new"


def test_a_redirect_within_https_is_followed(site: Site, store: Store) -> None:
    site.pages["/x"] = b"contents"
    site.redirects["/old"] = site.url("/x")
    assert Fetcher(store, 10.0, 1 << 20).fetch(site.url("/old"), {}, only(b"contents")) == b"contents"


@pytest.mark.parametrize("target", ["http://localhost:1/x", "file:///etc/passwd", "ftp://localhost/x"])
def test_a_redirect_out_of_https_is_refused(site: Site, store: Store, target: str) -> None:
    site.redirects["/old"] = target
    with pytest.raises(Transient, match="cannot be fetched"):
        Fetcher(store, 10.0, 1 << 20).fetch(site.url("/old"), {}, only(b"contents"))


def test_declared_headers_do_not_follow_a_redirect_to_another_host(site: Site, store: Store) -> None:
    site.pages["/x"] = b"contents"
    site.redirects["/same"] = site.url("/x")
    site.redirects["/other"] = site.url("/x").replace("localhost", "127.0.0.1")
    fetcher = Fetcher(store, 10.0, 1 << 20)
    fetcher.fetch(site.url("/same"), {"X-Token": "t"}, only(b"contents"))
    fetcher.fetch(site.url("/other"), {"X-Token": "t"}, only(b"contents"))
    assert site.asked == [("/same", "t"), ("/x", "t"), ("/other", "t"), ("/x", None)]


def test_a_body_over_the_limit_is_refused(site: Site, store: Store) -> None:
    site.pages["/x"] = b"x" * 5000
    with pytest.raises(ValueError, match="larger than 4096 bytes"):
        Fetcher(store, 10.0, 4096).fetch(site.url("/x"), {}, only(b""))


def test_what_is_missing_or_untrusted_is_transient(
    site: Site, store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(Transient, match="404"):
        Fetcher(store, 10.0, 4096).fetch(site.url("/nothing"), {}, only(b""))
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "other.pem"))
    with pytest.raises(Transient, match="certificate"):
        Fetcher(store, 10.0, 4096).fetch(site.url("/x"), {}, only(b""))


def test_a_store_that_is_only_looked_at_stays_untouched(site: Site, tmp_path: Path) -> None:
    site.pages["/x"] = b"contents"
    (tmp_path / "root").mkdir()
    with Tree(str(tmp_path / "root")) as tree:
        assert Fetcher(Store(tree, "/state"), 10.0, 4096).fetch(site.url("/x"), {}, only(b"contents")) == b"contents"
    assert list((tmp_path / "root").iterdir()) == []
