"""Interest: which directories are on the way, and what lies below."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nodeagent.host.interest import Interest, outermost

_names = st.sampled_from(["a", "a-b", "a.d", "b", "b0"])  # "-" and "." sort before "/", "0" right after it
_paths = st.lists(_names, min_size=1, max_size=4).map(lambda names: "/" + "/".join(names))


def _is_below(path: str, top: str) -> bool:
    return top in {path, "/"} or path.startswith(top + "/")


def test_every_directory_on_the_way_is_watched_and_parents_come_first() -> None:
    interest = Interest(["/etc/chrony/chrony.conf"], entries_of=["/etc/systemd/system/x.service.d"])
    assert list(interest.directories()) == [
        "/",
        "/etc",
        "/etc/chrony",
        "/etc/systemd",
        "/etc/systemd/system",
        "/etc/systemd/system/x.service.d",
    ]


def test_only_named_entries_concern_unless_every_entry_does() -> None:
    interest = Interest(["/etc/a.conf"], entries_of=["/etc/x.d"])
    assert interest.concerns("/etc", "a.conf")
    assert not interest.concerns("/etc", "b.conf")
    assert interest.concerns("/etc/x.d", "anything")
    assert interest.concerns("/etc", "x.d")


def test_a_directory_that_only_leads_on_holds_nothing() -> None:
    interest = Interest(["/etc/chrony/chrony.conf"])
    assert interest.holds("/etc/chrony")
    assert not interest.holds("/etc")
    assert interest.leads_on("/etc")
    assert not interest.leads_on("/etc/chrony/chrony.conf")


def test_interesting_paths_may_be_watched_from_inside() -> None:
    interest = Interest(["/etc/app"], insides=True)
    assert list(interest.directories()) == ["/", "/etc", "/etc/app"]
    assert interest.leads_on("/etc/app")
    assert not interest.concerns("/etc/app", "entry")


def test_no_interest_needs_no_directory() -> None:
    assert list(Interest().directories()) == []


@given(st.lists(_paths, max_size=8), _paths)
def test_what_lies_below_is_found_whatever_the_names_sort_like(paths: list[str], top: str) -> None:
    interest = Interest(paths)
    assert list(interest.paths(top)) == sorted(path for path in set(paths) if _is_below(path, top))
    assert list(interest.directories(top)) == [
        directory for directory in interest.directories() if _is_below(directory, top)
    ]


@given(st.lists(_paths | st.just("/"), max_size=8))
def test_outermost_covers_every_path_once(paths: list[str]) -> None:
    tops = outermost(paths)
    assert all(sum(_is_below(path, top) for top in tops) == 1 for path in paths)
    assert set(tops) <= set(paths)
