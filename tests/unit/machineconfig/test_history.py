"""Generations: what is kept, what expires, what a file holds."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.errors import Broken
from nodeagent.machineconfig.history import Generation, expired, file_name, number_of

GENERATION = Generation(7, "render-x", "apply", 1.5, "f", ("create file /x",), b'{"kind":"x"}', {"file:/x": ("a", "b")})


def test_a_generation_survives_its_file() -> None:
    assert Generation.decode(GENERATION.encode(), GENERATION.name) == GENERATION
    assert GENERATION.document() == {"kind": "x"}


def test_a_rendered_config_that_was_cut_off_is_broken_when_it_is_wanted() -> None:
    with pytest.raises(Broken, match="choose another one"):
        replace(GENERATION, rendered=b'{"kind":').document()


@pytest.mark.parametrize("damage", [b"", b"{}", b"[]", b"\xff", b"null", b"null\n{}\n", GENERATION.encode()[:-20]])
def test_a_damaged_file_is_broken_and_says_what_to_do(damage: bytes) -> None:
    with pytest.raises(Broken, match="choose another one"):
        Generation.decode(damage, "00000001.json")


def test_no_repr_holds_the_config() -> None:
    assert "kind" not in repr(GENERATION)


@pytest.mark.parametrize(
    ("name", "number"), [("00000007.json", 7), ("x.json", None), ("7", None), ("٣.json", None), (".json", None)]
)
def test_only_numbered_files_are_generations(name: str, number: int | None) -> None:
    assert number_of(name) == number


@given(
    st.dictionaries(st.integers(1, 30), st.integers(0, 100), max_size=15),
    st.integers(1, 30),
    st.integers(1, 10),
    st.integers(0, 300),
)
def test_what_is_kept_is_bounded_newest_first_and_always_has_the_current(
    sizes: dict[int, int], current: int, keep: int, max_bytes: int
) -> None:
    files = [(file_name(number), size) for number, size in sizes.items()]
    gone = {number_of(name) for name in expired(files, current, keep, max_bytes)}
    kept = sizes.keys() - gone
    others = kept - {current}
    assert (current in kept) == (current in sizes)
    assert len(others) <= keep
    assert sum(sizes[number] for number in others) <= max_bytes
