"""Clients of a node's API server, and how they fared."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.kubeadm.node import KubeadmNode

_LOAD = Path(__file__).with_name("load.py")


@contextmanager
def load(node: KubeadmNode) -> Iterator[dict[str, Any]]:
    """A client that asks every 20 ms, each time over a new connection; how it fared is there at the end.

    `asked` counts requests, `failed` has what the first of them said that failed, `longest` the longest time in seconds
    without an answer.
    """
    told: dict[str, Any] = {}
    node.write("/root/load.py", _LOAD.read_text())
    node.path("/root/load.stop").unlink(missing_ok=True)

    def ask() -> None:
        told.update(json.loads(node.run("python3", "/root/load.py", deadline=900.0).stdout))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield told
    finally:
        node.write("/root/load.stop", "")
        thread.join(60.0)
