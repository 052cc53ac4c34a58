"""What was touched is looked at, once and at the latest in the round that follows."""

from __future__ import annotations

from nodeagent.machineconfig.touched import Touched


def test_what_is_taken_is_taken_once() -> None:
    touched = Touched(everything=True)
    touched.add(["/a", "/b"])
    assert touched.take(0.0) == ({"/a", "/b"}, True)
    assert touched.take(0.0) == (set(), False)


def test_a_glance_sees_what_is_new_and_leaves_it_to_be_taken() -> None:
    touched = Touched()
    touched.add(["/a"])
    assert touched.glance() == {"/a"}
    touched.add(["/b"])
    assert touched.glance() == {"/b"}
    assert touched.glance() == set()
    assert touched.take(0.0) == ({"/a", "/b"}, False)


def test_what_is_touched_again_after_a_glance_is_seen_again() -> None:
    touched = Touched()
    touched.add(["/a"])
    touched.glance()
    touched.add(["/a"])
    assert touched.glance() == {"/a"}
