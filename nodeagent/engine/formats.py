"""Formats of what the agent keeps on a node between two versions of itself.

Invariant: what a later version wrote is never guessed at: it is refused before anything is touched. What has no number
was written before there were numbers, and is the first format.
"""

from __future__ import annotations

from nodeagent.errors import Broken

FIRST = 1


def refuse_later(what: str, found: object, known: int = FIRST) -> None:
    """Broken, with the way out, unless `found` (None: no number) is a format up to `known`; `what` names the file."""
    if found is None or (type(found) is int and FIRST <= found <= known):  # True is no number
        return
    raise Broken(
        f"{what} has format {found}, and this version of the agent knows formats up to {known}: a later version wrote "
        "it, and nothing was touched. Install that version again, or go back as docs/upgrade.md says"
    )
