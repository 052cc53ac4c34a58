"""What a benchmark found: a table, the targets that it has to meet, and the text of docs/performance.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.measure import Cost

_HEAD = """\
# Performance

What the agent costs, beside tools that do part of its work, measured in one run on one machine. This file is written
by

    python -m bench --write

(`make bench` prints the same without writing it). AIDE has to be installed (`apt-get install aide`); the benchmark
itself puts ansible-core, and the agent with what it needs at run time, into `.cache/`. Times are medians of runs that
took turns; CPU is user and system time of a process and of all its children. *In process* means without the start of
the interpreter and the imports, as in the daemon. A target that was missed says so.
"""


@dataclass(frozen=True)
class Target:
    """What has been promised: `measured` is to stay at or below `limit`."""

    what: str
    measured: float
    limit: float
    unit: str = ""

    @property
    def met(self) -> bool:
        return self.measured <= self.limit

    def line(self) -> str:
        measured, limit = (f"{number(value)}{self.unit}" for value in (self.measured, self.limit))
        return f"{self.what}: {measured} (target: at most {limit}): {'met' if self.met else '**missed**'}"


@dataclass(frozen=True)
class Section:
    """One benchmark: `about` says what was done, `missing` which peers were not there and how to get them."""

    title: str
    about: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    targets: Sequence[Target] = ()
    missing: Sequence[str] = ()

    def text(self) -> str:
        lines = [f"## {self.title}", "", self.about, "", *_table(self.columns, self.rows), ""]
        lines += [f"- {target.line()}" for target in self.targets]
        lines += [f"- not measured: {reason}" for reason in self.missing]
        return "\n".join(lines).rstrip() + "\n"


COSTS = ("", "wall", "CPU")


def cost_rows(costs: Mapping[str, Cost]) -> list[list[str]]:
    """One row a contestant, for the columns COSTS."""
    return [[name, seconds(cost.wall), seconds(cost.cpu)] for name, cost in costs.items()]


def seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 10 else f"{number(value * 1000)} ms"


def number(value: float) -> str:
    """Three significant digits at least, and no more decimals than they need."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def document(facts: Mapping[str, str], sections: Iterable[Section]) -> str:
    """The whole of docs/performance.md."""
    machine = _table(("machine", ""), list(facts.items()))
    return "\n".join([_HEAD, *machine, "", *(section.text() for section in sections)])


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [_row(columns), _row(["---", *("---:" for _ in columns[1:])]), *map(_row, rows)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
