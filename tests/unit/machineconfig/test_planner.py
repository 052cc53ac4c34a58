"""The planner's promises: an applied state needs no plan, and what goes gives back what was there before it came."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.changes.files import KeepOriginal, MakeDirectory, RemovePath, SetMetadata, WriteFile
from nodeagent.errors import Rejected
from nodeagent.machineconfig.applied import Account, Applied, Kernel, Subject
from nodeagent.machineconfig.desired import Absent, Declared, Desired, Directory, File, Link
from nodeagent.machineconfig.planner import Difference, difference, paths_of_interest
from tests.fakes.disk import Disk, directory_state, link_state

OWNER = (0, 0)


def desired(paths: Mapping[str, Declared], unwanted: tuple[str, ...] = ()) -> Desired:
    return Desired("render-worker-x", paths, {}, Account(), Kernel(), unwanted=unwanted)


def file(
    data: bytes | None = b"new", mode: int | None = 0o644, *, overwrite: bool = True, shared: bool = False
) -> File:
    return File(
        subject=Subject.FILE, sources=("50-x",), data=data, mode=mode, uid=0, gid=0, overwrite=overwrite, shared=shared
    )


def plan(wanted: Desired, applied: Applied, disk: Disk) -> Difference:
    observed = disk.observe(paths_of_interest(wanted, applied))
    return difference(wanted, applied, observed, disk.originals.__getitem__, OWNER)


def apply(wanted: Desired, applied: Applied, disk: Disk) -> Applied:
    found = plan(wanted, applied, disk)
    disk.carry_out(found.changes)
    return Applied(generation=applied.generation + 1, entries=found.entries, removed=found.removed)


def test_a_new_file_is_written_with_the_directories_it_needs() -> None:
    found = plan(desired({"/etc/a/b/c": file()}), Applied(), Disk())
    assert [(type(change), change.path) for change in found.changes] == [
        (MakeDirectory, "/etc"),
        (MakeDirectory, "/etc/a"),
        (MakeDirectory, "/etc/a/b"),
        (WriteFile, "/etc/a/b/c"),
    ]


def test_directories_made_for_a_file_go_with_it_and_others_stay() -> None:
    disk = Disk({"/etc": directory_state()})
    applied = apply(desired({"/etc/a/b": file()}), Applied(), disk)
    apply(desired({}), applied, disk)
    assert set(disk.states) == {"/etc"}


def test_a_directory_that_somebody_uses_meanwhile_stays() -> None:
    disk = Disk()
    applied = apply(desired({"/etc/a/b": file()}), Applied(), disk)
    disk.write("/etc/a/theirs", b"x")
    apply(desired({}), applied, disk)
    assert set(disk.states) == {"/etc", "/etc/a", "/etc/a/theirs"}


def test_the_first_seen_original_is_given_back_after_several_generations() -> None:
    disk = Disk()
    disk.write("/etc/chrony.conf", b"distribution's", 0o640)
    before = dict(disk.states)
    applied = apply(desired({"/etc/chrony.conf": file(b"one")}), Applied(), disk)
    applied = apply(desired({"/etc/chrony.conf": file(b"two", 0o600)}), applied, disk)
    apply(desired({}), applied, disk)
    assert disk.states == before


def test_an_original_that_is_as_declared_is_kept_all_the_same() -> None:
    disk = Disk()
    disk.write("/etc/x", b"same")
    before = dict(disk.states)
    applied = apply(desired({"/etc/x": file(b"same")}), Applied(), disk)
    disk.write("/etc/x", b"drifted")
    applied = apply(desired({"/etc/x": file(b"other")}), applied, disk)
    apply(desired({}), applied, disk)
    assert disk.states == before


def test_what_was_removed_and_has_come_back_is_taken_away_again() -> None:
    disk = Disk({"/etc": directory_state()})
    applied = apply(desired({"/etc/x": file()}), Applied(), disk)
    applied = apply(desired({}), applied, disk)
    assert applied.removed == ("/etc/x",)
    disk.write("/etc/x", b"resurrected")
    assert [type(change) for change in plan(desired({}), applied, disk).changes] == [RemovePath]


def test_a_file_declared_without_contents_is_made_once_and_never_rewritten() -> None:
    disk = Disk({"/etc": directory_state()})
    wanted = desired({"/etc/x": file(None, None, overwrite=False)})
    applied = apply(wanted, Applied(), disk)
    disk.write("/etc/x", b"what its owner wrote")
    assert plan(wanted, applied, disk).changes == ()


def test_only_metadata_that_differs_is_set_in_place() -> None:
    disk = Disk({"/etc": directory_state()})
    wanted = desired({"/etc/x": file(b"same", 0o600)})
    applied = apply(wanted, Applied(), disk)
    disk.write("/etc/x", b"same", 0o666)
    assert [type(change) for change in plan(wanted, applied, disk).changes] == [SetMetadata]


@pytest.mark.parametrize(
    ("standing", "declared"),
    [
        ("directory", file()),
        ("file", Directory(subject=Subject.DIRECTORY)),
        ("directory", Link(subject=Subject.LINK, target="/x")),
    ],
)
def test_a_directory_and_a_file_never_replace_each_other(standing: str, declared: Declared) -> None:
    disk = Disk()
    disk.write("/etc/x/y" if standing == "directory" else "/etc/x", b"")
    with pytest.raises(Rejected, match="/etc/x"):
        plan(desired({"/etc/x": declared}), Applied(), disk)


def test_overwrite_false_protects_what_was_there_first() -> None:
    disk = Disk()
    disk.write("/etc/x", b"theirs")
    with pytest.raises(Rejected, match="overwrite is false"):
        plan(desired({"/etc/x": file(overwrite=False)}), Applied(), disk)


def test_overwrite_false_is_no_conflict_with_what_is_as_declared_or_ours() -> None:
    disk = Disk()
    disk.write("/etc/x", b"new")
    applied = apply(desired({"/etc/x": file(overwrite=False)}), Applied(), disk)
    assert [type(each) for each in plan(desired({"/etc/x": file(b"v2", overwrite=False)}), applied, disk).changes] == [
        WriteFile
    ]


def test_all_conflicts_are_named_at_once() -> None:
    disk = Disk()
    disk.write("/etc/a", b"theirs")
    disk.write("/etc/b/c", b"theirs")
    with pytest.raises(Rejected) as caught:
        plan(desired({"/etc/a": file(overwrite=False), "/etc/b": file()}), Applied(), disk)
    assert [problem.path for problem in caught.value.problems] == ["/etc/a", "/etc/b"]


def test_a_link_that_has_to_go_comes_back_when_nobody_minds_it_any_more() -> None:
    path = "/etc/systemd/system/multi-user.target.wants/x.service"
    disk = Disk()
    disk.write("/etc/systemd/system/multi-user.target.wants/y.service", b"")
    disk.states[path] = link_state("/usr/lib/systemd/system/x.service")
    before = dict(disk.states)
    applied = apply(desired({path: Absent(subject=Subject.ENABLEMENT, unit="x.service")}), Applied(), disk)
    assert path not in disk.states
    apply(desired({}), applied, disk)
    assert disk.states == before


def test_a_shared_file_keeps_no_original_and_is_never_removed() -> None:
    disk = Disk()
    disk.write("/home/boot/.ssh/authorized_keys", b"theirs\n", 0o600)
    wanted = desired({"/home/boot/.ssh/authorized_keys": file(b"theirs\nours\n", None, shared=True)})
    found = plan(wanted, Applied(), disk)
    assert [type(change) for change in found.changes] == [WriteFile]
    assert not found.entries


def test_what_others_added_against_a_unit_goes_only_if_asked_for() -> None:
    dropin = "/etc/systemd/system/x.service.d/50-theirs.conf"
    disk = Disk()
    disk.write(dropin, b"[Service]\n")
    assert plan(desired({}), Applied(), disk).changes == ()
    assert [each.path for each in plan(desired({}, unwanted=(dropin,)), Applied(), disk).changes] == [dropin]


def test_a_kept_original_is_journalled_before_the_file_is_replaced() -> None:
    disk = Disk()
    disk.write("/etc/x", b"theirs")
    changes = sorted(plan(desired({"/etc/x": file()}), Applied(), disk).changes, key=lambda change: change.order)
    assert [type(change) for change in changes] == [KeepOriginal, WriteFile]


_names = st.sampled_from(["/etc/a", "/etc/b", "/etc/d/a", "/etc/d/e/f", "/opt/x"])
_data = st.binary(max_size=3)
_declared = st.one_of(
    st.builds(file, _data, st.sampled_from([0o600, 0o644, None])),
    st.builds(lambda target: Link(subject=Subject.LINK, target=target), st.sampled_from(["/t", "/u"])),
)
_configs = st.lists(st.dictionaries(_names, _declared, max_size=4), max_size=4)
_standing = st.dictionaries(_names, _data, max_size=4)


@given(_standing, _configs)
def test_an_applied_state_needs_no_plan_and_all_of_it_can_be_undone(
    standing: dict[str, bytes], configs: list[dict[str, Declared]]
) -> None:
    disk = Disk()
    for path, data in standing.items():
        disk.write(path, data)
    before = dict(disk.states)
    applied = Applied()
    for config in configs:
        applied = apply(desired(config), applied, disk)
        assert plan(desired(config), applied, disk).changes == ()
        assert all(isinstance(link, Link) == (disk.states[path].target != "") for path, link in config.items())
    apply(desired({}), applied, disk)
    assert disk.states == before
