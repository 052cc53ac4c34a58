"""`python -m bench [NAME…]`: run benchmarks, print what they found, and write docs/performance.md when asked to."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable

from bench import (
    apply,
    attached,
    certs,
    coordinated,
    drift,
    failover,
    idle,
    installation,
    machine,
    recheck,
    report,
    start,
)
from bench.report import Section
from bench.scale import FULL, QUICK, Scale

_Bench = Callable[[str, Scale], Section | list[Section]]
_BENCHES: dict[str, _Bench] = {
    "apply": apply.bench,
    "recheck": recheck.bench,
    "drift": drift.bench,
    "idle": idle.bench,
    "start": start.bench,
    "attached": attached.bench,
    "coordinated": coordinated.bench,
    "failover": failover.bench,
    "certs": certs.bench,
}
_DOCUMENT = "docs/performance.md"
_SCRATCH = os.path.abspath(".cache/bench")
_PATIENCE = 300.0  # seconds to wait for a quiet machine


def main() -> int:
    """Returns 1 if a target was missed."""
    arguments = _arguments()
    scale = QUICK if arguments.quick else FULL
    installation.install()
    if not arguments.quick:
        machine.wait_until_quiet(_PATIENCE)
    os.makedirs(arguments.scratch, exist_ok=True)
    facts = machine.facts(arguments.scratch)
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as scratch:
        sections = [section for name in arguments.names or _BENCHES for section in _run(name, scratch, scale)]
    if arguments.write:
        with open(_DOCUMENT, "w") as file:
            file.write(report.document(facts, sections))
    missed = [target for section in sections for target in section.targets if not target.met]
    return 1 if missed and not arguments.quick else 0


def _run(name: str, scratch: str, scale: Scale) -> list[Section]:
    found = _BENCHES[name](f"{scratch}/{name}", scale)
    sections = found if isinstance(found, list) else [found]
    for section in sections:
        print(section.text(), flush=True)
    return sections


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", metavar="NAME", nargs="*", help=f"which: {', '.join(_BENCHES)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="a smoke run on little work; its figures mean nothing")
    parser.add_argument("--write", action="store_true", help=f"write {_DOCUMENT}; needs the figures of all benchmarks")
    parser.add_argument("--scratch", default=_SCRATCH, metavar="DIR", help="where to work: a directory on a real disk")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in _BENCHES]
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]!r}: choose from {', '.join(_BENCHES)}")
    if arguments.write and (arguments.quick or arguments.names):
        parser.error("--write needs a full run of all benchmarks")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
