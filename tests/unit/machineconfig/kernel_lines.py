"""Kernel command lines for hypothesis: arguments that people write, and the edits of them."""

from __future__ import annotations

from hypothesis import strategies as st

from nodeagent.machineconfig.applied import Kernel
from nodeagent.machineconfig.kernelargs import Wanted

_PLAIN = "abcxyz019=.,:_-+/@%~*?[]!^"
_SCRIPT = "$`(){}|&;<>#"


def arguments(alphabet: str = _PLAIN + _SCRIPT) -> st.SearchStrategy[str]:
    """Single arguments, some with white space between double quotes."""
    bare = st.text(alphabet, min_size=1, max_size=5)
    quoted = st.text(alphabet + "  ", max_size=6).map(lambda text: f'"{text}"')
    parts = st.lists(bare | quoted, min_size=1, max_size=3).map("".join)
    return st.one_of(st.sampled_from(["quiet", "ro", "a=1", 'b="x  y"']), parts).filter(lambda each: each != "--")


def entry_arguments() -> st.SearchStrategy[str]:
    """Arguments that mean the same to every boot loader that reads entries."""
    return arguments(_PLAIN)


@st.composite
def edits(draw: st.DrawFn, one: st.SearchStrategy[str]) -> tuple[list[str], Wanted, Wanted]:
    """A command line's arguments, what is wanted of it first and what afterwards."""
    some = st.lists(one, unique=True, max_size=4)
    pool = draw(st.lists(one, unique=True, min_size=1, max_size=8))
    line = draw(st.lists(st.sampled_from(pool), max_size=8))
    return line, *(_wanted(draw, pool, draw(some)) for _ in range(2))  # type: ignore[return-value]


def _wanted(draw: st.DrawFn, pool: list[str], fresh: list[str]) -> Wanted:
    candidates = list(dict.fromkeys([*pool, *fresh]))
    present = draw(st.lists(st.sampled_from(candidates), unique=True, max_size=4))
    absent = draw(st.lists(st.sampled_from(candidates), unique=True, max_size=4))
    return Wanted(tuple(present), tuple(each for each in absent if each not in present))


NOTHING = Wanted()
UNTOUCHED = Kernel()
