"""`python -m tests.soak --minutes N --seed S`: all jobs together under random faults."""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from pathlib import Path

import pytest

from tests.soak.soak import soak, text


def main() -> int:
    """0 if every invariant was kept, 1 if not, 2 where the machine lacks something."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (default: %(default)g)")
    parser.add_argument("--seed", type=int, default=1, help="what is done, and in which order (default: %(default)s)")
    arguments = parser.parse_args()
    logging.getLogger("nodeagent").setLevel(logging.ERROR)  # some of it runs in here, and tells of each fault
    with tempfile.TemporaryDirectory() as scratch:
        try:
            found = soak(Path(scratch), 60 * arguments.minutes, arguments.seed)
        except pytest.skip.Exception as reason:
            sys.stderr.write(f"cannot run here: {reason}\n")
            return 2
    sys.stdout.write(text(found, arguments.seed))
    return 1 if any(each.unkept for each in found) else 0


if __name__ == "__main__":
    sys.exit(main())
