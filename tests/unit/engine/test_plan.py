"""A plan is sorted, and its fingerprint tells two plans apart exactly when they would do something else."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from nodeagent.changes.files import FileChange, MakeDirectory, MakeLink, RemovePath, SetMetadata, WriteFile
from nodeagent.changes.units import DaemonReload, Reboot, RestartUnit
from nodeagent.engine.plan import Change, Plan
from nodeagent.observed.files import FileState, FileType

FILE = FileState(FileType.FILE, 0o644, size=5, digest="d" * 64, identity=(1, 2, 5, 0, 0, 0o100644, 0, 0))
DIRECTORY = FileState(FileType.DIRECTORY, 0o755)
REBOOT = Reboot("kernel arguments")

CHANGES: list[Change] = [
    MakeDirectory(path="/etc/a"),
    MakeDirectory(path="/etc/a/b"),
    WriteFile(path="/etc/a/b/c", data=b"new"),
    SetMetadata(path="/etc/d", before=FILE, mode=0o600, uid=0, gid=0),
    MakeLink(path="/etc/l", target="a/b/c"),
    RemovePath(path="/etc/old/file", before=FILE),
    RemovePath(path="/etc/old", before=DIRECTORY),
    DaemonReload(),
    RestartUnit("chrony.service"),
]


@given(st.permutations(CHANGES), st.lists(st.sampled_from(CHANGES), max_size=3))
def test_order_and_repeats_of_the_input_do_not_matter(order: list[Change], repeats: list[Change]) -> None:
    plan = Plan.of(order + repeats, final=REBOOT)
    assert list(plan.changes) == CHANGES
    assert plan.fingerprint == Plan.of(CHANGES, final=REBOOT).fingerprint


@given(st.lists(st.text("/ab", min_size=1, max_size=6), unique=True))
def test_what_is_removed_goes_before_the_directory_that_it_is_in(names: list[str]) -> None:
    paths = [
        change.path
        for change in Plan.of(RemovePath(path=f"/{name}") for name in names).changes
        if isinstance(change, RemovePath)
    ]
    for index, path in enumerate(paths):
        assert not any(later.startswith(path + "/") for later in paths[index + 1 :])


def test_the_point_of_no_return_is_last_and_no_part_of_the_batch() -> None:
    plan = Plan.of(CHANGES, final=REBOOT)
    assert plan.steps[-1] is REBOOT
    assert all(change.reversible for change in plan.reversible)
    assert plan.reversible + plan.forward == plan.changes


def test_records_end_the_batch_and_are_no_part_of_what_was_agreed_to() -> None:
    record = WriteFile(path="/var/lib/nodeagent/applied.json", data=b"{}")
    plan = Plan.of(CHANGES, records=[record])
    assert plan.reversible[-1] is record
    assert plan.fingerprint == Plan.of(CHANGES).fingerprint


def test_a_plan_is_empty_unless_an_administrator_sees_something() -> None:
    assert not Plan.of([], records=[WriteFile(path="/x", data=b"")])
    assert Plan.of([], final=REBOOT)
    assert Plan.of(CHANGES[:1])


def test_whatever_would_be_done_otherwise_shows_in_the_fingerprint() -> None:
    acl = (("system.posix_acl_access", b"\x02"),)
    write = WriteFile(path="/f", data=b"one", before=FILE)
    meta = SetMetadata(path="/f", before=FILE, mode=0o600, uid=0, gid=0)
    variants: list[FileChange] = [
        write,
        replace(write, data=b"two"),
        replace(write, mode=0o600),
        replace(write, uid=1),
        replace(write, gid=1),
        replace(write, path="/g"),
        replace(write, xattrs=acl),
        replace(write, before=replace(FILE, digest="e" * 64)),
        meta,
        replace(meta, xattrs=acl),
        RemovePath(path="/f", before=FILE),
        MakeLink(path="/f", before=FILE, target="one"),
        MakeLink(path="/f", before=FILE, target="two"),
    ]
    assert len({Plan.of([change]).fingerprint for change in variants}) == len(variants)
    assert Plan.of(CHANGES).fingerprint != Plan.of(CHANGES, final=REBOOT).fingerprint


def test_contents_never_show() -> None:
    change = WriteFile(path="/f", data=b"hunter2")
    assert "hunter2" not in repr(change) + str(change.facts()) + change.describe()


def test_sizes_are_told_for_what_keeps_its_bytes() -> None:
    kept: list[FileChange] = [
        SetMetadata(path="/f", before=FILE, mode=0o600, uid=0, gid=0),
        MakeLink(path="/l", target="/f", hard=True, linked=FILE),
    ]
    assert [change.facts()["after"]["size"] for change in kept] == [5, 5]
