"""What the certificate job asks of a node. The host's adapters answer; nothing here changes the node.

Paths are absolute inside the node's root. A missing file is a standing, never an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from nodeagent.observed.certificates import Endpoint, PkiFile, Served

FILE_LIMIT = 4 << 20  # bytes of one file; a bundle of all public authorities has a quarter of a MiB

ReadYaml = Callable[[bytes], Any]
"""The value of a YAML or JSON document; ValueError with the reason where it is none. Another domain lends its own."""


class Files(Protocol):
    """The node's files."""

    def refresh(self) -> None:
        """See directories afresh from now on."""
        ...

    def look(self, path: str) -> PkiFile:
        """What stands at `path` once links are followed, without its bytes."""
        ...

    def read(self, path: str, limit: int) -> tuple[PkiFile, bytes]:
        """What stands at `path`, and its bytes if that is a file of at most `limit` bytes."""
        ...

    def glob(self, pattern: str) -> tuple[str, ...]:
        """Sorted paths that match an absolute glob; the glob itself if it holds no wildcards."""
        ...


class Probe(Protocol):
    """TLS handshakes with local components, each with a deadline of its own."""

    def served(self, endpoint: Endpoint) -> Served: ...
