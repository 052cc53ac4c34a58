"""A chain that drops whatever is forwarded in this thread's network namespace.

`python -m tests.fabric.jam add|delete` does it where it runs.
"""

from __future__ import annotations

import sys
from typing import Any

from nodeagent.host import nftables

_TABLE = {"family": "inet", "name": "jam"}
_CHAIN = {"family": "inet", "table": "jam", "name": "forward"}
_HOOK = {"type": "filter", "hook": "forward", "prio": 0, "policy": "drop"}


def jam(word: str) -> None:
    """`word` is add or delete."""
    chain: list[dict[str, Any]] = [{"add": {"chain": {**_CHAIN, **_HOOK}}}] if word == "add" else []
    nftables.run([{word: {"table": _TABLE}}, *chain])


if __name__ == "__main__":
    jam(sys.argv[1])
