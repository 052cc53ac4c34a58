"""What is made of what was seen."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.doctor.api import api, permissions
from nodeagent.doctor.check import Check, Finding, Verdict, document, judged, worst
from nodeagent.doctor.kernel import clock, fanotify
from nodeagent.doctor.privileges import USEFUL, VITAL, privileges
from nodeagent.doctor.storage import disk, mounts, rename
from nodeagent.errors import Transient
from nodeagent.observed.vitals import FileSystem, KernelClock, Permission, Renames, Rights, Root

STATE = "/var/lib/nodeagent"
ALL = frozenset({*VITAL, *USEFUL})
GIB = 1 << 30


def system(path: str, device: int = 1, kind: str = "ext4") -> FileSystem:
    return FileSystem(
        path, device=device, type=kind, free=10 * GIB, size=20 * GIB, inodes_free=900_000, inodes=1_000_000
    )


def systems(**changed: object) -> list[FileSystem]:
    """Those of a healthy node; `changed` is what differs at the state directory."""
    return [system("/etc"), system("/var/lib"), replace(system(STATE), **changed)]  # type: ignore[arg-type]


@given(st.lists(st.sampled_from([Verdict.WARNING, Verdict.FAILED])))
def test_a_check_is_as_bad_as_its_worst_finding_and_tells_all(verdicts: list[Verdict]) -> None:
    findings = [Finding(each, f"reason {number}", f"advice {number}") for number, each in enumerate(verdicts)]
    check = judged("name", findings, "fine")
    assert check.verdict is (max(verdicts, key=list(Verdict).index) if verdicts else Verdict.OK)
    assert all(each.explanation in check.explanation and each.advice in check.advice for each in findings)
    assert bool(check.advice) is check.verdict.bad


def test_the_document_has_the_worst_verdict_in_plain_words() -> None:
    checks = [Check("a", Verdict.OK, "fine"), Check("b", Verdict.NOT_APPLICABLE, "off")]
    assert document("n", checks) == {
        "node": "n",
        "verdict": "ok",
        "checks": [
            {"name": "a", "verdict": "ok", "explanation": "fine", "advice": ""},
            {"name": "b", "verdict": "not applicable", "explanation": "off", "advice": ""},
        ],
    }
    assert worst([]) is Verdict.NOT_APPLICABLE


def test_privileges() -> None:
    assert privileges(Rights(0, ALL)).verdict is Verdict.OK
    unprivileged = privileges(Rights(1000, frozenset()))
    assert (unprivileged.verdict, unprivileged.advice) == (Verdict.FAILED, "run it as root")
    assert "uid 1000" in unprivileged.explanation
    fewer = privileges(Rights(0, ALL - {"CAP_SYS_ADMIN"}))
    assert fewer.verdict is Verdict.WARNING
    assert fewer.explanation == "CAP_SYS_ADMIN is missing: who caused drift is not found out"
    both = privileges(Rights(0, ALL - {"CAP_SYS_ADMIN", "CAP_CHOWN"}))
    assert both.verdict is Verdict.FAILED
    assert both.explanation.index("CAP_CHOWN") < both.explanation.index("CAP_SYS_ADMIN")


def test_mounts_of_a_host_and_of_a_directory_are_fine() -> None:
    for root in (Root("/", live=True), Root("/host", live=True), Root("/tmp/scratch", live=False)):
        assert mounts(root, systems(), state_dir=STATE, in_cluster=False).verdict is Verdict.OK


@pytest.mark.parametrize(
    ("root", "verdict", "words"),
    [
        (Root("/host", live=False), Verdict.FAILED, "hostPID"),
        (Root("/host", live=True, follows=False), Verdict.WARNING, "mountPropagation: HostToContainer"),
    ],
)
def test_a_root_that_is_mounted_wrongly(root: Root, verdict: Verdict, words: str) -> None:
    check = mounts(root, systems(), state_dir=STATE, in_cluster=True)
    assert check.verdict is verdict
    assert words in check.advice


def test_what_is_read_only() -> None:
    vital = mounts(Root("/", live=True), systems(read_only=True), state_dir=STATE, in_cluster=False)
    assert vital.verdict is Verdict.FAILED
    assert f"{STATE} is on a read-only file system (ext4)" in vital.explanation
    boot = replace(system("/boot"), read_only=True)
    assert (
        mounts(Root("/", live=True), [*systems(), boot], state_dir=STATE, in_cluster=False).verdict is Verdict.WARNING
    )
    missing = replace(boot, present=False)
    assert mounts(Root("/", live=True), [*systems(), missing], state_dir=STATE, in_cluster=False).verdict is Verdict.OK


def test_recovery_of_a_container_needs_exec_and_a_host_does_not() -> None:
    noexec = systems(runs_programs=False)
    assert mounts(Root("/host", live=True), noexec, state_dir=STATE, in_cluster=True).verdict is Verdict.FAILED
    assert mounts(Root("/", live=True), noexec, state_dir=STATE, in_cluster=False).verdict is Verdict.OK


def test_a_probe_speaks_for_its_own_file_system_only() -> None:
    strange = [system("/etc", 2, "nfs4"), system("/var/lib", 1, "strange"), system(STATE, 1, "strange")]
    check = rename(Renames(), strange, state_dir=STATE)
    assert check.verdict is Verdict.FAILED
    assert check.explanation == "/etc is on nfs4, which cannot exchange files in one step"
    unprobed = rename(None, strange, state_dir=STATE)
    assert "/var/lib is on strange, which may not" in unprobed.explanation
    assert rename(Renames(), systems(), state_dir=STATE).verdict is Verdict.OK
    assert rename(None, systems(), state_dir=STATE).verdict is Verdict.OK


def test_a_probe_that_is_refused() -> None:
    check = rename(Renames(exchange="Invalid argument"), systems(), state_dir=STATE)
    assert check.verdict is Verdict.FAILED
    assert "does not take RENAME_EXCHANGE: Invalid argument" in check.explanation


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({}, Verdict.OK),
        ({"free": GIB - 1}, Verdict.WARNING),
        ({"free": GIB}, Verdict.OK),
        ({"free": (16 << 20) - 1}, Verdict.FAILED),
        ({"free": 0}, Verdict.FAILED),
        ({"inodes_free": 49_999}, Verdict.WARNING),
        ({"inodes_free": 99}, Verdict.FAILED),
        ({"inodes_free": 0, "inodes": 0}, Verdict.OK),
    ],
)
def test_disk(changed: dict[str, int], verdict: Verdict) -> None:
    assert disk([system("/etc"), replace(system(STATE, 2), **changed)]).verdict is verdict  # type: ignore[arg-type]


def test_one_file_system_is_told_once_by_its_first_path() -> None:
    assert disk(systems()).explanation == "free: /etc 50 %"


def test_clock_and_fanotify() -> None:
    assert clock(KernelClock(synchronised=True, error=0.0123)).explanation.endswith("at most 0.012 s")
    assert clock(KernelClock(synchronised=False, error=16.0)).verdict is Verdict.WARNING
    assert clock(None).verdict is Verdict.WARNING
    assert fanotify(()).verdict is Verdict.OK
    assert fanotify(["not known anywhere: no"]).verdict is Verdict.WARNING


@dataclass
class Cluster:
    """A cluster that has and allows everything but what is named."""

    lacks: set[str] = field(default_factory=set)
    error: Exception | None = None

    def knows_node(self, name: str) -> bool:
        if self.error:
            raise self.error
        return name not in self.lacks

    def serves(self, group: str) -> bool:
        return group not in self.lacks

    def allows(self, permission: Permission) -> bool:
        return permission.resource not in self.lacks


def test_the_api() -> None:
    needed = permissions("nodeagent", "nodeagent")
    assert api(Cluster(), "a", needed).verdict is Verdict.OK
    assert api(Cluster({"a"}), "a", needed).explanation == "there is no Node a"
    assert api(Cluster({"nodes/status"}), "a", needed).verdict is Verdict.FAILED
    events = api(Cluster({"events"}), "a", needed)
    assert (events.verdict, events.explanation) == (
        Verdict.WARNING,
        "it may not create events in namespace default: there are no Events",
    )
    with pytest.raises(Transient):
        api(Cluster(error=Transient("away")), "a", needed)


def test_a_report_that_is_off_needs_no_permission() -> None:
    assert {each.resource for each in permissions("x", "y")} - {each.resource for each in permissions("", "y")} == {
        "configmaps"
    }
