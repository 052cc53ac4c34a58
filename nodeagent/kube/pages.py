"""All objects of a collection as they are now, read once.

Invariant: a page is the most that is held of them; whoever has to follow them uses `collection`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nodeagent.kube.connection import Connection
from nodeagent.kube.errors import Missing
from nodeagent.kube.reflector import PAGE


def objects(connection: Connection, path: str) -> Iterator[dict[str, Any]]:
    """The objects of the collection at `path`; none where its kind is not installed."""
    query: dict[str, str | int | bool] = {"limit": PAGE}
    while True:
        try:
            page = connection.get(path, query)
        except Missing:
            return
        yield from page.get("items") or ()
        following = (page.get("metadata") or {}).get("continue")
        if not following:
            return
        query["continue"] = following
