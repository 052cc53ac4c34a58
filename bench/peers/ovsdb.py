"""ovsdbapp as a peer: the rows of gateways by its commands, as OpenStack's agents write theirs."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bench.peers.environment import environment

VERSION = "3.0.0"
_PROGRAM = Path(__file__).with_name("ovsdb_rows.py")
_PATIENCE = 900.0  # seconds


def rows(remote: str, gateways: Iterable[Mapping[str, Any]], together: int) -> float:
    """Seconds that it takes for `gateways` (name, sources, nexthops), `together` of them a transaction.

    What it reads when it connects does not count.
    """
    python = f"{environment('ovsdbapp', VERSION)}/bin/python"
    done = subprocess.run(
        [python, "-I", str(_PROGRAM), remote, str(together)],
        input=json.dumps(list(gateways)),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=_PATIENCE,
    )
    return float(done.stdout)
