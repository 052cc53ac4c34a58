"""What a running node cannot have is told before anything is touched, all of it."""

from __future__ import annotations

from typing import Any

import pytest

from nodeagent.machineconfig.applicable import inapplicable
from tests import vectors
from tests.unit.machineconfig.documents import config, files, ignition

ALSO_SUPPORTED = {"dir-add"}
REJECTED_HERE = {"remote-source-accepted"}  # without a hash, what https yields cannot be trusted


def problems(new: dict[str, Any], old: dict[str, Any] | None = None, user: str = "boot") -> list[str]:
    current = config(old or ignition())
    found = inapplicable(config(new), object="MachineConfig x", user=user, current=current)
    return [f"{problem.path.removeprefix('$.spec.config')}: {problem.message}" for problem in found]


@vectors.parametrize("reconcile")
def test_agrees_with_the_peer_and_does_more(vector: dict[str, Any]) -> None:
    found = problems(vector["new"], vector["old"], user="core")
    expected = vector["reconcilable"] or vector["name"] in ALSO_SUPPORTED
    assert (not found) == (expected and vector["name"] not in REJECTED_HERE)


def file(**fields: Any) -> dict[str, Any]:
    return ignition(**files({"path": "/a", **fields}))


def link(**fields: Any) -> dict[str, Any]:
    return ignition(storage={"links": [{"path": "/l", **fields}]})


def user(**fields: Any) -> dict[str, Any]:
    return ignition(passwd={"users": [{"name": "boot", **fields}]})


def storage(**lists: Any) -> dict[str, Any]:
    return ignition(storage=lists)


FILE = ".storage.files[?@.path=='/a']"
SHA256 = "sha256-" + "ab" * 32


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (file(mode=0o1777), f"{FILE}.mode: 1023 is octal 01777: setuid, setgid and sticky bits are not set"),
        (storage(directories=[{"path": "/d", "mode": 0o2755}]), ".storage.directories[?@.path=='/d'].mode: 1517 is"),
        (file(contents={"source": "http://e/x"}), f"{FILE}.contents.source: contents are not fetched by http"),
        (file(append=[{"source": "s3://b/k"}]), f"{FILE}.append[0].source: contents are not fetched by s3"),
        (file(contents={"source": "https://e/x"}), f"{FILE}.contents.verification.hash: is missing"),
        (file(path="/" + "x" * 256), ".path: is longer than Linux allows"),
        (file(path="/x" * 2048), ".path: is longer than Linux allows"),
        (storage(directories=[{"path": "/run/x"}]), ".path: '/run/x' is empty again after each boot"),
        (link(hard=True, target="x"), ".storage.links[?@.path=='/l'].target: 'x' is no absolute path"),
        (link(hard=True, target="/dev/sda"), ".storage.links[?@.path=='/l'].target: '/dev/sda' lies in a tree"),
        (user(), ".passwd.users[?@.name=='boot']: declares neither SSH keys nor a password hash"),
        (user(passwordHash="x", shell="/bin/sh"), ".passwd.users[?@.name=='boot']: only sshAuthorizedKeys and"),
        (storage(raid=[{"name": "r"}]), ".storage.raid[?@.name=='r']: raid 'r' cannot be made or changed"),
        (storage(luks=[{"name": "l"}]), ".storage.luks[?@.name=='l']: luks 'l' cannot be made or changed"),
        (storage(filesystems=[{"device": "/f"}]), ".storage.filesystems[?@.device=='/f']: filesystem '/f' cannot be"),
    ],
    ids=lambda value: value[-50:] if isinstance(value, str) else "",
)
def test_inapplicable(new: dict[str, Any], expected: str) -> None:
    (problem,) = problems(new)
    assert expected in problem


@pytest.mark.parametrize(
    "new",
    [
        file(mode=0o777, contents={"source": "data:,x"}, append=[{"source": "data:,y"}]),
        file(contents={"source": "https://e/x", "verification": {"hash": SHA256}}),
        storage(directories=[{"path": "/d", "mode": 0o755}]),
        link(target="../anything"),
        link(hard=True, target="/etc/x"),
        user(sshAuthorizedKeys=["k"], passwordHash=""),
        ignition(systemd={"units": [{"name": "a.service"}]}, kernelArguments={"shouldExist": ["quiet"]}),
    ],
)
def test_applicable(new: dict[str, Any]) -> None:
    assert problems(new) == []


def test_what_stood_there_before_may_stay_but_not_go() -> None:
    provisioned = ignition(
        storage={"disks": [{"device": "/d"}], "luks": [{"name": "l"}]},
        passwd={"groups": [{"name": "g"}], "users": [{"name": "root", "shell": "/bin/sh"}]},
    )
    assert problems(provisioned, provisioned) == []
    assert problems(ignition(), provisioned) == [
        ".passwd.groups: group 'g' of the current config cannot be taken away on a running node",
        ".storage.disks: disk '/d' of the current config cannot be taken away on a running node",
        ".storage.luks: luks 'l' of the current config cannot be taken away on a running node",
    ]


def test_all_at_once_and_in_the_names_of_those_who_declared_it() -> None:
    new = config(ignition(**files({"path": "/a", "mode": 0o4000}), passwd={"users": [{"name": "eve"}]}))
    provenance = {"file:/a": ("10-a", "20-b"), "user:eve": ("10-a",)}
    found = inapplicable(new, object="MachineConfig render-x", user="boot", provenance=provenance)
    assert [problem.object for problem in found] == ["MachineConfig 10-a + MachineConfig 20-b", "MachineConfig 10-a"]
    anonymous = inapplicable(new, object="MachineConfig render-x", user="boot")
    assert {problem.object for problem in anonymous} == {"MachineConfig render-x"}


def test_a_path_of_another_job_is_refused_with_both_owners() -> None:
    new = config({"storage": {"files": [{"path": "/etc/kubernetes/scheduler.conf"}, {"path": "/etc/other"}]}})
    owned = {"/etc/kubernetes/scheduler.conf": "the renewal of certificates"}
    (problem,) = inapplicable(new, object="MachineConfig render-x", user="boot", owned=owned)
    assert problem.path.endswith(".path")
    assert "MachineConfig render-x" in str(problem)
    assert "the renewal of certificates" in str(problem)
