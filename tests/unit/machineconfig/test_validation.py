"""Valid is what Ignition 3.4.0's reference accepts, less what would let a root process do harm."""

from __future__ import annotations

import json
from contextlib import nullcontext
from typing import Any

import pytest

from nodeagent.errors import Rejected
from nodeagent.machineconfig.ignition.codec import decode
from nodeagent.machineconfig.ignition.validation import validate
from nodeagent.machineconfig.render import render
from nodeagent.machineconfig.source import load
from tests import vectors
from tests.unit.machineconfig.documents import files, ignition

SHA256 = "sha256-" + "ab" * 32
UNIT = "[Unit]\nDescription=x\n[Service]\nExecStart=/bin/true\n"


def problems(document: Any) -> list[str]:
    """Path and message of every problem of an Ignition document."""
    decoded = decode(document, object="test", at="$")
    found = decoded.problems
    if decoded.config is not None:
        found += validate(decoded.config, object="test", at="$")[0]
    return [f"{problem.path}: {problem.message}" for problem in found]


def warnings(document: Any) -> list[str]:
    decoded = decode(document, object="test", at="$")
    assert decoded.config is not None
    return [f"{warning.path}: {warning.message}" for warning in validate(decoded.config, object="test", at="$")[1]]


def _parsed(vector: dict[str, Any]) -> Any:
    if not vector.get("raw"):
        return vector["config"]
    return json.loads(vector["config"]) if vector["config"] else None


@vectors.parametrize("ignition")
def test_agrees_with_the_reference(vector: dict[str, Any]) -> None:
    other_version = str(vector.get("parser", "")).startswith("compat")
    hazard = vector.get("tag") == "hazard"
    rejected_elsewhere = vector["layer"] == "mco"
    expected = (vector["valid"] or rejected_elsewhere) and not hazard and not other_version
    assert (not problems(_parsed(vector))) == expected


@vectors.parametrize("ignition")
def test_what_is_valid_renders_when_it_stands_by_itself(vector: dict[str, Any]) -> None:
    """The same through the whole input side: a file with an Ignition config in it."""
    text = vector["config"] if vector.get("raw") else json.dumps(vector["config"])
    invalid = bool(problems(_parsed(vector)))
    with pytest.raises(Rejected) if invalid else nullcontext():
        render(load([(f"{vector['name']}.ign", text.encode())]).machine_configs)


def file(**fields: Any) -> dict[str, Any]:
    return ignition(**files({"path": "/etc/a", "contents": {"source": "data:,x"}, **fields}))


def link(**fields: Any) -> dict[str, Any]:
    return ignition(storage={"links": [{"path": "/etc/l", "target": "/t", **fields}]})


def unit(**fields: Any) -> dict[str, Any]:
    return ignition(systemd={"units": [{"name": "a.service", **fields}]})


def user(**fields: Any) -> dict[str, Any]:
    return ignition(passwd={"users": [{"name": "boot", **fields}]})


def device(kind: str, **fields: Any) -> dict[str, Any]:
    return ignition(storage={kind: [fields]})


def disk(*partitions: dict[str, Any]) -> dict[str, Any]:
    return device("disks", device="/dev/vda", partitions=list(partitions))


def luks(**clevis: Any) -> dict[str, Any]:
    return device("luks", name="x", device="/dev/vda1", clevis=clevis)


def head(**fields: Any) -> dict[str, Any]:
    return {"ignition": {"version": "3.4.0", **fields}}


INVALID: list[tuple[dict[str, Any], str]] = [
    # paths
    (file(path="/etc//a"), "$.storage.files[0].path: '/etc//a' is not in its simplest form"),
    (file(path="//etc/a"), "$.storage.files[0].path: '//etc/a' is not in its simplest form"),
    (file(path="/etc/a/"), "$.storage.files[0].path: '/etc/a/' is not in its simplest form"),
    (file(path="etc/a"), "$.storage.files[0].path: 'etc/a' is not absolute"),
    (file(path="/"), "$.storage.files[0].path: the root directory cannot be managed"),
    (file(path="/etc/a\nb"), "$.storage.files[0].path: '/etc/a\\nb' holds a newline or NUL"),
    (file(path="/etc/a\0b"), "$.storage.files[0].path: '/etc/a\\x00b' holds a newline or NUL"),
    (file(path="/sys"), "$.storage.files[0].path: '/sys' lies in /sys, which belongs to the kernel"),
    (
        ignition(storage={"directories": [{"path": "/dev/shm/x"}]}),
        "$.storage.directories[0].path: '/dev/shm/x' lies in /dev, which belongs to the kernel",
    ),
    (link(path="/proc"), "$.storage.links[0].path: '/proc' lies in /proc, which belongs to the kernel"),
    # files
    (file(user={"id": -1}), "$.storage.files[0].user.id: -1 is no user or group id"),
    (file(group={"id": 0xFFFFFFFF}), "$.storage.files[0].group.id: 4294967295 is no user or group id"),
    (file(contents={"source": "data:,x", "compression": "xz"}), "$.storage.files[0].contents.compression: is an"),
    (
        file(contents={"source": "data:,x", "verification": {"hash": "sha256-ab"}}),
        "$.storage.files[0].contents.verification.hash: has 2 digits, and sha256 has 64 in hexadecimal",
    ),
    (
        file(contents={"source": "data:,x", "verification": {"hash": "md5-ab"}}),
        "$.storage.files[0].contents.verification.hash: names no known function",
    ),
    (
        file(contents={"source": "data:,x", "httpHeaders": [{"name": "a", "value": "b"}]}),
        "$.storage.files[0].contents.httpHeaders: are only sent to an http or https source",
    ),
    (
        file(contents={"source": "https://e/x", "httpHeaders": [{"name": "", "value": ""}]}),
        "$.storage.files[0].contents.httpHeaders[0].value: is empty",
    ),
    (
        file(contents={"source": "https://e/x", "httpHeaders": [{"name": "a", "value": "b\r\nHost: c"}]}),
        "$.storage.files[0].contents.httpHeaders[0]: holds a line break or NUL",
    ),
    (
        file(contents={"source": "https://%", "httpHeaders": [{"name": "a"}]}),
        "$.storage.files[0].contents.httpHeaders: are only sent to an http or https source",
    ),
    (file(append=[{"source": "ftp://x"}]), "$.storage.files[0].append[0].source: the URL's scheme is none of"),
    # nodes in each other's way
    (
        ignition(storage={"files": [{"path": "/a"}], "directories": [{"path": "/a"}]}),
        "$.storage.files[0]: repeats storage.directories[0]",
    ),
    (
        ignition(storage={"files": [{"path": "/a"}], "directories": [{"path": "/a/b/c"}]}),
        "$.storage.directories[0].path: '/a/b/c' lies below '/a', which is a file in this config",
    ),
    (
        ignition(storage={"directories": [{"path": "/a/b"}], "links": [{"path": "/a", "target": "/t"}]}),
        "$.storage.directories[0].path: '/a/b' lies below '/a', which is a link in this config",
    ),
    (
        ignition(
            **files({"path": "/etc/systemd/system/a.service"}),
            systemd={"units": [{"name": "a.service", "contents": UNIT}]},
        ),
        "$.storage.files[0].path: '/etc/systemd/system/a.service' is also written by unit:a.service",
    ),
    (
        ignition(
            storage={"links": [{"path": "/etc/systemd/system/a.service.d/x.conf", "target": "/t"}]},
            systemd={"units": [{"name": "a.service", "dropins": [{"name": "x.conf", "contents": UNIT}]}]},
        ),
        "$.storage.links[0].path: '/etc/systemd/system/a.service.d/x.conf' is also written by dropin:a.service/x.conf",
    ),
    # links
    (link(target=None), "$.storage.links[0].target: is missing"),
    (link(target="/a\0b"), "$.storage.links[0].target: '/a\\x00b' holds a newline or NUL"),
    (
        ignition(
            storage={"links": [{"path": "/d/l", "target": "../x", "hard": True}], "directories": [{"path": "/d/x"}]}
        ),
        "$.storage.links[0].target: '/d/x' is a directory in this config, and those have no hard links",
    ),
    # units
    (unit(name="a b.service"), "$.systemd.units[0].name: 'a b.service' holds characters"),
    (unit(name="../a.service"), "$.systemd.units[0].name: '../a.service' holds characters"),
    (unit(name="a.service\n"), "$.systemd.units[0].name: 'a.service\\n' does not end in a type of unit"),
    (unit(name="a" * 250 + ".service"), "$.systemd.units[0].name: is longer than 255 bytes"),
    (unit(contents="[U]\n" + "x" * 2048), "$.systemd.units[0].contents: is no unit file: a line is longer"),
    (unit(dropins=[{"name": "a"}]), "$.systemd.units[0].dropins[0].name: 'a' does not end in .conf"),
    (unit(dropins=[{"name": "../a.conf"}]), "$.systemd.units[0].dropins[0].name: '../a.conf' is no file name"),
    (unit(dropins=[{"name": "x" * 251 + ".conf"}]), "$.systemd.units[0].dropins[0].name: is longer than 255 bytes"),
    # users
    (user(name=""), "$.passwd.users[0].name: is missing"),
    (user(name="a:b"), "$.passwd.users[0].name: holds a colon or a line break"),
    (user(passwordHash="x:0:0"), "$.passwd.users[0].passwordHash: holds a colon or a line break"),
    (user(sshAuthorizedKeys=["a", "b\nc"]), "$.passwd.users[0].sshAuthorizedKeys[1]: holds a line break"),
    (
        user(sshAuthorizedKeys=["a", "a"]),
        "$.passwd.users[0].sshAuthorizedKeys[1]: repeats passwd.users[0].sshAuthorizedKeys[0]",
    ),
    (user(groups=["a", "a"]), "$.passwd.users[0].groups[1]: repeats"),
    (ignition(passwd={"groups": [{"name": "a"}, {"name": "a"}]}), "$.passwd.groups[1]: repeats"),
    (ignition(passwd={"groups": [{"name": "a\nb"}]}), "$.passwd.groups[0].name: holds a colon or a line break"),
    # kernel arguments
    (ignition(kernelArguments={"shouldExist": ["a\nb"]}), "$.kernelArguments.shouldExist[0]: holds a line break"),
    # head
    (head(version="3.4"), "$.ignition.version: '3.4' is not supported"),
    (head(config={"merge": [{"source": "data:,x"}] * 2}), "$.ignition.config.merge[1]: repeats"),
    (head(config={"replace": {"source": "x"}}), "$.ignition.config.replace.source: the URL has no scheme"),
    (head(proxy={"httpsProxy": "p"}), "$.ignition.proxy.httpsProxy: the URL has no scheme"),
    (head(proxy={"noProxy": ["a", "a"]}), "$.ignition.proxy.noProxy[1]: repeats"),
    # disks
    (device("disks", wipeTable=True), "$.storage.disks[0].device: is missing"),
    (disk({"wipePartitionEntry": True}), "$.storage.disks[0].partitions[0]: has neither a number nor a label"),
    (disk({"label": "x" * 37}), "$.storage.disks[0].partitions[0].label: is longer than 36 bytes"),
    (disk({"label": "a:b"}), "$.storage.disks[0].partitions[0].label: holds a colon"),
    (disk({"number": 1, "guid": "x"}), "$.storage.disks[0].partitions[0].guid: is no GUID"),
    (disk({"number": 1, "shouldExist": False, "sizeMiB": 0}), "$.storage.disks[0].partitions[0]: must not exist"),
    (
        disk({"number": 1, "shouldExist": False}, {"label": "a"}),
        "$.storage.disks[0].partitions: one partition must not exist and another takes the next free number",
    ),
    (disk({"number": 1, "label": "a"}, {"label": "a"}), "$.storage.disks[0].partitions[1].label: is given twice"),
    (
        disk({"number": 1, "startMiB": 1, "sizeMiB": 9}, {"number": 2, "startMiB": 9, "sizeMiB": 0}),
        "$.storage.disks[0].partitions[1]: overlaps another partition",
    ),
    # RAID
    (device("raid", name="r", level="raid7", devices=["/dev/a"]), "$.storage.raid[0].level: is no RAID level"),
    (device("raid", name="r", level="raid1"), "$.storage.raid[0].devices: is empty"),
    (device("raid", name="r", level="raid1", devices=["a"]), "$.storage.raid[0].devices[0]: 'a' is not absolute"),
    (device("raid", name="r", level="0", devices=["/dev/a"], spares=1), "$.storage.raid[0].spares: an array of level"),
    # LUKS
    (device("luks", name="x"), "$.storage.luks[0].device: is missing"),
    (device("luks", name="x", device="/d", label="x" * 48), "$.storage.luks[0].label: is longer than 47 bytes"),
    (device("luks", name="x", device="/d", keyFile={"source": "x"}), "$.storage.luks[0].keyFile.source: the URL"),
    (device("luks", name="x", device="/d", openOptions=["a", "a"]), "$.storage.luks[0].openOptions[1]: repeats"),
    (luks(custom={"pin": "tpm2", "config": "{}"}, tpm2=True), "$.storage.luks[0].clevis: has a custom pin beside"),
    (luks(custom={"needsNetwork": True}), "$.storage.luks[0].clevis.custom.pin: is missing"),
    (luks(custom={"pin": "usb", "config": "{}"}), "$.storage.luks[0].clevis.custom.pin: is unknown"),
    (luks(custom={"pin": "tang"}), "$.storage.luks[0].clevis.custom.config: is missing"),
    (luks(tang=[{"url": "gs://x", "thumbprint": "t"}]), "$.storage.luks[0].clevis.tang[0].url: is no http or https"),
    (luks(tang=[{"url": "", "thumbprint": "t"}]), "$.storage.luks[0].clevis.tang[0].url: the URL has no scheme"),
    (luks(tang=[{"url": "http://x"}]), "$.storage.luks[0].clevis.tang[0].thumbprint: is missing"),
    (
        luks(tang=[{"url": "http://x", "thumbprint": "t", "advertisement": "NaN"}]),
        "$.storage.luks[0].clevis.tang[0].advertisement: is no JSON",
    ),
    # file systems
    (device("filesystems", device="/d", label="x"), "$.storage.filesystems[0].format: is missing"),
    (device("filesystems", device="/d", format="zfs"), "$.storage.filesystems[0].format: is unknown"),
    (device("filesystems", device="/d", format="vfat", label="x" * 12), "$.storage.filesystems[0].label: is longer"),
    (device("filesystems", device="/d", format="ext4", path="x"), "$.storage.filesystems[0].path: 'x' is not absolute"),
]


@pytest.mark.parametrize(
    ("document", "expected"), INVALID, ids=lambda value: value[:70] if isinstance(value, str) else ""
)
def test_invalid(document: dict[str, Any], expected: str) -> None:
    assert any(problem.startswith(expected) for problem in problems(document)), problems(document)


VALID: list[dict[str, Any]] = [
    file(overwrite=True, mode=0, user={"id": 0}, group={"name": "root"}),
    file(contents={"source": "", "compression": ""}),
    file(contents={"source": "https://e/x", "httpHeaders": [{"name": "a"}], "verification": {"hash": SHA256}}),
    file(path="/devices/x"),
    file(path="/etc/..hidden"),
    ignition(storage={"files": [{"path": "/a/b"}], "directories": [{"path": "/a"}]}),
    ignition(
        **files({"path": "/etc/systemd/system/a.service"}), systemd={"units": [{"name": "a.service", "contents": ""}]}
    ),
    link(hard=True),
    unit(name="dev-disk-by\\x2dlabel-a.swap"),
    unit(name="getty@tty1.service", enabled=True),
    unit(dropins=[{"name": "10 spaces are fine.conf"}]),
    user(sshAuthorizedKeys=[], passwordHash=""),
    head(config={"replace": {}}, timeouts={"httpTotal": 0}),
    disk({"number": 0, "label": "a"}, {"number": 0, "label": "b"}),
    disk({"number": 1, "startMiB": 0, "sizeMiB": 5}, {"number": 2, "startMiB": 0, "sizeMiB": 5}),
    disk({"number": 1, "startMiB": 1, "sizeMiB": 8}, {"number": 2, "startMiB": 9, "sizeMiB": 0}),
    device("raid", name="r", level="raid1", devices=["/dev/a"], options=["a", "a"], spares=1),
    device("filesystems", device="/d", format="none", label="x" * 300, options=["a", "a"]),
    device("filesystems", device="/d"),
    ignition(systemd={"units": [{"name": "a@.service"}, {"name": "a@1.service", "enabled": True}]}),
    luks(custom={"pin": "sss", "config": "{}"}),
    luks(tang=[{"url": "https://x", "thumbprint": "t", "advertisement": "{}"}], threshold=1, tpm2=True),
]


@pytest.mark.parametrize("document", VALID, ids=json.dumps)
def test_valid(document: dict[str, Any]) -> None:
    assert problems(document) == []


WARNED: list[tuple[dict[str, Any], str]] = [
    (file(mode=644), "$.storage.files[0].mode: 644 is octal 01204: setuid, setgid and sticky bits"),
    (
        file(contents={"source": "data:,", "verification": {"hash": "sha256-" + "z" * 64}}),
        "$.storage.files[0].contents.verif",
    ),
    (link(hard=True, user={"id": 1}), "$.storage.links[0].user: is ignored: a hard link has the owner of its file"),
    (unit(enabled=True, contents=UNIT), "$.systemd.units[0].contents: 'a.service' is enabled and has no [Install]"),
    (
        ignition(
            systemd={"units": [{"name": "a@.service", "contents": UNIT}, {"name": "a@1.service", "enabled": True}]}
        ),
        "$.systemd.units[1].enabled: is enabled, and its template 'a@.service' has no [Install]",
    ),
    (
        head(proxy={"httpsProxy": "http://p"}),
        "$.ignition.proxy.httpsProxy: reaches the proxy for https over plain http",
    ),
    (head(timeouts={"httpTotal": 5}), "$.ignition.timeouts: has no effect on a running node"),
    (
        ignition(
            storage={
                "disks": [{"device": "/dev/a", "wipeTable": True}],
                "filesystems": [{"device": "/dev/a", "format": "xfs"}],
            }
        ),
        "$.storage.filesystems[0].device: has its partition table wiped",
    ),
    (
        ignition(
            storage={
                "disks": [{"device": "/dev/a", "partitions": [{"number": 1}]}],
                "filesystems": [{"device": "/dev/a", "format": "xfs"}],
            }
        ),
        "$.storage.filesystems[0].device: is also partitioned by this config",
    ),
]


@pytest.mark.parametrize(
    ("document", "expected"), WARNED, ids=lambda value: value[:70] if isinstance(value, str) else ""
)
def test_warned(document: dict[str, Any], expected: str) -> None:
    assert problems(document) == []
    assert any(warning.startswith(expected) for warning in warnings(document)), warnings(document)


def test_an_enabled_unit_with_an_install_section_is_not_warned_of() -> None:
    assert warnings(unit(enabled=True, contents=UNIT + "[Install]\nWantedBy=x\n")) == []
    assert warnings(unit(enabled=False, contents=UNIT)) == []


def test_what_is_in_order_is_not_warned_of() -> None:
    template = {"name": "a@.service", "contents": UNIT + "[Install]\nWantedBy=x\n"}
    assert warnings(ignition(systemd={"units": [template, {"name": "a@1.service", "enabled": True}]})) == []
    assert warnings(head(proxy={"httpProxy": "http://p"})) == ["$.ignition.proxy: has no effect on a running node"]
    wiped = {"device": "/dev/a", "format": "xfs", "wipeFilesystem": True}
    assert (
        warnings(ignition(storage={"disks": [{"device": "/dev/a", "wipeTable": True}], "filesystems": [wiped]})) == []
    )


def test_a_broken_template_is_told_once() -> None:
    units = [{"name": "a@.service", "contents": "[S"}, {"name": "a@1.service", "enabled": True}]
    assert problems(ignition(systemd={"units": units})) == [
        "$.systemd.units[0].contents: is no unit file: line 1: a section's name has no closing bracket"
    ]
    assert warnings(ignition(systemd={"units": units})) == []


def test_a_decimal_that_was_meant_octal_is_explained() -> None:
    decoded = decode(file(mode=644), object="test", at="$")
    assert decoded.config is not None
    (warning,) = validate(decoded.config, object="test", at="$")[1]
    assert warning.advice == "if octal 644 was meant, write 420"


def test_all_problems_are_told_at_once() -> None:
    document = ignition(
        **files({"path": "a"}, {"path": "/b", "mode": -1, "user": {"id": 1, "name": "x"}}),
        systemd={"units": [{"name": "x"}]},
    )
    assert len(problems(document)) == 4


def test_problems_never_hold_contents() -> None:
    document = ignition(
        **files(
            {
                "path": "/a",
                "contents": {"source": "data:;base64,dG9wc2VjcmV0"},
                "append": [{"source": "data:,top secret"}],
            }
        ),
        systemd={"units": [{"name": "a.service", "contents": "[S]\ntop secret"}]},
        passwd={"users": [{"name": "boot", "passwordHash": "top:secret"}]},
    )
    told = problems(document)
    assert len(told) == 3
    assert not any("secret" in problem for problem in told)
