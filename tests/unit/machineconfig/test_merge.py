"""Merging agrees with the reference, tells where each part came from, and does not hide what became invalid."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.machineconfig.api import MachineConfig
from nodeagent.machineconfig.ignition.codec import encode
from nodeagent.machineconfig.ignition.combine import combine
from nodeagent.machineconfig.ignition.model import (
    Config,
    Directory,
    Dropin,
    File,
    HTTPHeader,
    Ignition,
    KernelArguments,
    Link,
    Passwd,
    Resource,
    Storage,
    Systemd,
    Unit,
    User,
)
from nodeagent.machineconfig.merge import merge
from nodeagent.machineconfig.source import load
from tests import vectors
from tests.unit.machineconfig.documents import declared, files, machine_config, source

SHA256 = "sha256-" + "ab" * 32


@vectors.parametrize("merge")
def test_agrees_with_the_reference(vector: dict[str, Any]) -> None:
    documents = (machine_config(one["name"], role=one["role"]) | {"spec": one["spec"]} for one in vector["inputs"])
    merged = merge(load(source(*documents)).machine_configs)
    expected = vector["expected"]
    assert list(merged.order) == expected["order"]
    assert list(merged.kernel_arguments) == expected["kernelArguments"]
    assert encode(merged.config) == expected["config"]
    assert (not merged.problems) == expected["rendered_valid"]


def contents(*configs: MachineConfig) -> Resource:
    """The contents of the only file of a merge."""
    (file,) = merge(configs).config.storage.files
    return file.contents


GZIP = declared("10-a", **files({"path": "/a", "contents": {"source": "data:;base64,H4sI", "compression": "gzip"}}))


def test_a_child_that_only_sets_a_mode_keeps_the_compression() -> None:
    assert contents(GZIP, declared("20-b", **files({"path": "/a", "mode": 1}))).compression == "gzip"


def test_a_new_source_does_not_inherit_the_compression() -> None:
    plain = declared("20-b", **files({"path": "/a", "contents": {"source": "data:,x"}}))
    assert contents(GZIP, plain) == Resource("data:,x")
    assert contents(GZIP, plain, declared("30-c", **files({"path": "/a", "mode": 1}))) == Resource("data:,x")


def test_a_file_that_says_overwrite_false_is_left_so() -> None:
    (file,) = merge([declared("a", **files({"path": "/a", "overwrite": False}))]).config.storage.files
    assert file.overwrite is False


def test_ignition_by_itself_adopts_a_file_without_contents() -> None:
    bare = replace(declared("a", **files({"path": "/a"}, {"path": "/b", "contents": {"source": "data:,"}})), at="$")
    adopted, written = merge([bare]).config.storage.files
    assert (adopted.overwrite, written.overwrite) == (None, True)
    assert merge([bare]).problems == ()
    assert len(merge([bare, declared("b", **files({"path": "/a", "mode": 1}))]).problems) == 1


def test_two_valid_configs_that_make_an_invalid_one_are_both_named() -> None:
    merged = merge(
        [
            declared("20-b", **files({"path": "/a", "contents": {"source": "data:,"}, "user": {"id": 1}})),
            declared("30-c", **files({"path": "/a", "user": {"name": "root"}})),
        ]
    )
    assert [str(problem) for problem in merged.problems] == [
        (
            "MachineConfig 20-b (20-b.yaml) + MachineConfig 30-c (30-c.yaml): "
            "$.spec.config.storage.files[?@.path=='/a'].user: has both an id and a name; keep one of them"
        )
    ]


def test_a_file_and_a_unit_at_one_path_are_both_named() -> None:
    merged = merge(
        [
            declared("a", systemd={"units": [{"name": "x.service", "contents": "[Unit]\n"}]}),
            declared("b", **files({"path": "/etc/systemd/system/x.service", "contents": {"source": "data:,"}})),
        ]
    )
    (problem,) = merged.problems
    assert problem.object == "MachineConfig b (b.yaml) + MachineConfig a (a.yaml)"
    assert problem.message == "'/etc/systemd/system/x.service' is also written by unit:x.service"


def test_a_dropin_is_told_by_its_name() -> None:
    dropins = [{"name": "a.txt"}, {"name": "b"}]
    merged = merge([declared("a", systemd={"units": [{"name": "x.service", "dropins": dropins}]})])
    assert [problem.path for problem in merged.problems] == [
        "$.spec.config.systemd.units[?@.name=='x.service'].dropins[?@.name=='a.txt'].name",
        "$.spec.config.systemd.units[?@.name=='x.service'].dropins[?@.name=='b'].name",
    ]


def test_problems_without_a_part_name_the_merge() -> None:
    merged = merge(
        [
            declared("a", storage={"disks": [{"device": "/d", "partitions": [{"number": 1, "label": "x"}]}]}),
            declared("b", storage={"disks": [{"device": "/d", "partitions": [{"label": "x"}]}]}),
        ]
    )
    assert [problem.object for problem in merged.problems] == ["MachineConfig a (a.yaml) + MachineConfig b (b.yaml)"]
    odd = declared("c", ignition={"version": "3.3.0"})
    assert [problem.object for problem in merge([odd]).problems] == ["the merge of 1 MachineConfigs"]


def test_a_hash_that_outlived_its_source_is_warned_of() -> None:
    hashed = {"source": "data:,old", "verification": {"hash": SHA256}}
    parent = declared("10-a", **files({"path": "/a", "contents": hashed}))
    child = declared("20-b", **files({"path": "/a", "contents": {"source": "data:,new"}}))
    assert [str(warning) for warning in merge([parent, child]).warnings] == [
        (
            "MachineConfig 10-a (10-a.yaml) + MachineConfig 20-b (20-b.yaml): "
            "$.spec.config.storage.files[?@.path=='/a'].contents.verification.hash: the hash comes from 10-a and the "
            "source from 20-b, so it cannot be expected to match; give the hash of the new contents in 20-b"
        )
    ]
    mended = declared("30-c", **files({"path": "/a", "contents": {"verification": {"hash": SHA256}}}))
    assert merge([parent, child, mended]).warnings == ()
    assert (
        merge([parent, declared("20-b", **files({"path": "/a", "contents": {"source": "data:,old"}}))]).warnings == ()
    )


def test_provenance() -> None:
    merged = merge(
        [
            declared(
                "20-b",
                **files({"path": "/a"}),
                systemd={"units": [{"name": "x.service", "dropins": [{"name": "y.conf"}]}]},
            ),
            declared(
                "10-a",
                **files({"path": "/a"}, {"path": "/b"}),
                passwd={"users": [{"name": "boot", "sshAuthorizedKeys": ["k"]}]},
            ),
            declared("30-c", storage={"links": [{"path": "/b", "target": "/t"}]}, kernel_arguments=("quiet", "quiet")),
            declared("40-d", kernelArguments={"shouldNotExist": ["quiet"]}),
        ]
    )
    assert merged.provenance == {
        "file:/a": ("10-a", "20-b"),
        "user:boot": ("10-a",),
        "ssh:boot:k": ("10-a",),
        "unit:x.service": ("20-b",),
        "dropin:x.service/y.conf": ("20-b",),
        "link:/b": ("30-c",),
        "karg:quiet": ("30-c", "40-d"),
    }


def test_a_node_takes_the_place_of_one_of_another_kind() -> None:
    merged = combine(
        [
            Config(storage=Storage(files=(File("/a"), File("/b")), directories=(Directory("/c"),))),
            Config(storage=Storage(links=(Link("/a", target="/t"),), files=(File("/c"),))),
            Config(storage=Storage(files=(File("/a"),))),
        ]
    )
    assert [file.path for file in merged.storage.files] == ["/b", "/c", "/a"]
    assert (merged.storage.directories, merged.storage.links) == ((), ())


def test_a_header_without_a_value_removes_the_inherited_one() -> None:
    parent = Resource("https://e/x", http_headers=(HTTPHeader("a", "1"), HTTPHeader("b", "2")))
    child = Resource(http_headers=(HTTPHeader("a"), HTTPHeader("c", "3")))
    assert combine([parent, child]).http_headers == (HTTPHeader("b", "2"), HTTPHeader("c", "3"))


NAMES = st.sampled_from(["/a", "/b", "/c"])
TEXTS = st.none() | st.sampled_from(["", "x", "y"])
FLAGS = st.none() | st.booleans()
HEADERS = st.lists(st.builds(HTTPHeader, NAMES, TEXTS), max_size=2, unique_by=lambda header: header.name).map(tuple)
RESOURCES = st.builds(Resource, TEXTS, st.none() | st.just("gzip"), HEADERS)


def _keyed(entries: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(entries, max_size=3, unique_by=lambda entry: entry.key).map(tuple)


@st.composite
def configs(draw: st.DrawFn) -> Config:
    """A config in which no key stands twice, as in a valid one."""
    nodes = draw(
        _keyed(
            st.builds(
                File, NAMES, overwrite=FLAGS, contents=RESOURCES, append=st.lists(RESOURCES, max_size=2).map(tuple)
            )
            | st.builds(Directory, NAMES, mode=st.none() | st.integers(0, 9))
            | st.builds(Link, NAMES, target=TEXTS)
        )
    )
    by_kind = {kind: tuple(node for node in nodes if type(node) is kind) for kind in (File, Directory, Link)}
    arguments = draw(st.lists(NAMES, max_size=3, unique=True))
    split = draw(st.integers(0, 3))
    dropins = _keyed(st.builds(Dropin, NAMES, TEXTS))
    units = draw(_keyed(st.builds(Unit, NAMES, FLAGS, FLAGS, TEXTS, dropins)))
    keys = st.lists(NAMES, max_size=3, unique=True).map(tuple)
    users = draw(_keyed(st.builds(User, NAMES, keys, TEXTS)))
    return Config(
        Ignition("3.4.0"),
        KernelArguments(tuple(arguments[:split]), tuple(arguments[split:])),
        Passwd(users),
        Storage(files=by_kind[File], directories=by_kind[Directory], links=by_kind[Link]),  # type: ignore[arg-type]
        Systemd(units),
    )


@given(st.lists(configs(), min_size=1, max_size=4))
def test_all_at_once_is_one_after_the_other(given: list[Config]) -> None:
    assert combine(given) == functools.reduce(lambda parent, child: combine([parent, child]), given)


@given(configs())
def test_a_config_merged_with_nothing_is_itself(config: Config) -> None:
    assert combine([config, Config(Ignition("3.4.0"))]) == config


@given(configs(), configs())
def test_the_later_config_wins(parent: Config, child: Config) -> None:
    merged = {file.path: file for file in combine([parent, child]).storage.files}
    for file in child.storage.files:
        assert file.overwrite in (None, merged[file.path].overwrite)
        assert file.contents.source in (None, merged[file.path].contents.source)


@pytest.mark.parametrize("count", [400])
def test_the_cost_grows_with_the_sum_of_the_configs(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each entry is looked at a bounded number of times, however many configs come before it."""
    looks = 0
    original = File.key.fget  # type: ignore[attr-defined]

    def counted(self: File) -> str:
        nonlocal looks
        looks += 1
        return str(original(self))

    monkeypatch.setattr(File, "key", property(counted))
    combine([Config(storage=Storage(files=(File(f"/{number}"),))) for number in range(count)])
    assert looks <= 2 * count
