"""Drift as values: every kind of difference is told apart, and the ledger follows it over time and restarts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.changes.files import NOTHING, Trace
from nodeagent.errors import Broken
from nodeagent.machineconfig.applied import Applied, Entry, Original, Subject
from nodeagent.machineconfig.drift import Drift, Finding, Kind, Ledger, Response, compare, response
from nodeagent.observed.files import ABSENT, FileState, FileType
from nodeagent.observed.writers import Writer
from tests.fakes.disk import directory_state, file_state, link_state

ACL = ("system.posix_acl_access", b"acl")
LABEL = ("security.selinux", b"system_u:object_r:etc_t:s0")
FILE = file_state(b"declared")
UNIT_LINK = link_state("/usr/lib/systemd/system/x.service")


def entry(state: FileState, subject: Subject = Subject.FILE, **more: object) -> Entry:
    return replace(Entry(subject, Trace.of(state), ("50-x",)), **more)  # type: ignore[arg-type]


def kinds(expected: Entry, state: FileState) -> list[Kind]:
    return [finding.kind for finding in compare(Applied(entries={"/p": expected}), {"/p": state})]


@pytest.mark.parametrize(
    ("expected", "state", "found"),
    [
        (entry(FILE), FILE, []),
        (entry(FILE), file_state(b"other"), [Kind.CONTENT]),
        (entry(FILE), file_state(b"declared", 0o666), [Kind.MODE]),
        (entry(FILE), file_state(b"declared", uid=7), [Kind.OWNER]),
        (entry(FILE), file_state(b"other", 0o600, gid=7), [Kind.CONTENT, Kind.MODE, Kind.OWNER]),
        (entry(FILE), ABSENT, [Kind.MISSING]),
        (entry(FILE), directory_state(), [Kind.TYPE]),
        (entry(FILE), link_state("/etc/other"), [Kind.TYPE]),
        (entry(FILE), replace(FILE, xattrs=(ACL,)), [Kind.ATTRIBUTES]),
        (entry(FILE, xattrs=(ACL,)), FILE, [Kind.ATTRIBUTES]),
        (entry(FILE), replace(FILE, xattrs=(LABEL,)), []),
        (entry(FILE, xattrs=(LABEL,)), replace(FILE, xattrs=((LABEL[0], b"other"),)), [Kind.ATTRIBUTES]),
        (entry(FILE, any_contents=True), file_state(b"other"), []),
        (entry(FILE, any_contents=True), ABSENT, [Kind.MISSING]),
        (entry(directory_state(), Subject.DIRECTORY), directory_state(0o777), [Kind.MODE]),
        (entry(link_state("/a"), Subject.LINK), link_state("/b"), [Kind.TARGET]),
        (entry(UNIT_LINK, Subject.ENABLEMENT), ABSENT, [Kind.ENABLEMENT]),
        (entry(ABSENT, Subject.ENABLEMENT), UNIT_LINK, [Kind.ENABLEMENT]),
        (entry(link_state("/dev/null"), Subject.MASK), ABSENT, [Kind.MASK]),
        (entry(FILE, Subject.UNIT), link_state("/dev/null"), [Kind.MASK]),
    ],
)
def test_each_difference_has_its_kind(expected: Entry, state: FileState, found: list[Kind]) -> None:
    assert sorted(kinds(expected, state)) == sorted(found)


def test_what_was_taken_away_and_is_back_is_resurrected() -> None:
    applied = Applied(removed=("/etc/old", "/etc/gone"))
    assert [(each.path, each.kind) for each in compare(applied, {"/etc/old": FILE, "/etc/gone": ABSENT})] == [
        ("/etc/old", Kind.RESURRECTED)
    ]


def test_findings_hold_digests_and_never_contents() -> None:
    found = compare(Applied(entries={"/p": entry(file_state(b"secret one"))}), {"/p": file_state(b"secret two")})
    assert "secret" not in repr(found)


@dataclass(frozen=True)
class Rule:
    path: str
    action: str


RULES = (Rule("/etc/motd", "ignore"), Rule("/etc/ssh/*", "remediate"), Rule("/etc/*", "ignore"))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/etc/motd", Response.IGNORE),
        ("/etc/ssh/sshd_config.d/x", Response.REMEDIATE),
        ("/etc/hosts", Response.IGNORE),
        ("/opt/x", Response.ALERT),
    ],
)
def test_the_first_rule_that_matches_decides_and_an_alert_is_the_default(path: str, expected: Response) -> None:
    assert response(path, RULES) is expected


def drift(path: str, kind: Kind = Kind.CONTENT, when: float = 1.0) -> Drift:
    return Drift(Finding(path, kind, "a", "b", ("50-x",)), Response.ALERT, when)


def test_a_look_closes_only_what_it_looked_at() -> None:
    ledger = Ledger((drift("/a"), drift("/b")))
    looked = ledger.updated([], {"/a"}.__contains__, lambda finding, _: drift(finding.path))
    assert [each.finding.path for each in looked.drifts] == ["/b"]


def test_a_drift_that_goes_on_is_followed_and_not_found_anew() -> None:
    ledger = Ledger((drift("/a", when=1.0),))
    seen: list[Drift | None] = []

    def follow(finding: Finding, earlier: Drift | None) -> Drift:
        seen.append(earlier)
        return earlier or drift(finding.path, when=9.0)

    looked = ledger.updated([ledger.drifts[0].finding], lambda _: True, follow)
    assert looked == ledger
    assert seen == [ledger.drifts[0]]


_texts = st.text(max_size=8)
_writers = st.builds(
    Writer, st.floats(0, 2e9), st.integers(0, 9), _texts, _texts, _texts, st.none() | st.integers(0, 9), _texts
)
_drifts = st.builds(
    Drift,
    st.builds(Finding, _texts, st.sampled_from(Kind), _texts, _texts, st.tuples(_texts)),
    st.sampled_from(Response),
    st.floats(0, 2e9),
    st.tuples(_writers),
    _texts,
)


@given(st.lists(_drifts, max_size=3))
def test_the_ledger_survives_a_restart(drifts: list[Drift]) -> None:
    ledger = Ledger(tuple(drifts))
    assert Ledger.decode(ledger.encode()) == ledger


@pytest.mark.parametrize("damage", [b"{", b"[1]", b'[{"finding": {}}]', b"null"])
def test_a_damaged_ledger_is_broken_and_no_traceback(damage: bytes) -> None:
    with pytest.raises(Broken, match="remove it"):
        Ledger.decode(damage)


def test_who_did_it_reads_like_a_sentence() -> None:
    writer = Writer(1.0, 812, "vim", "/usr/bin/vim.basic", "vim /etc/x", 0, "root", "ada", "ssh.service")
    assert replace(drift("/a"), writers=(writer,)).who() == (
        "vim (/usr/bin/vim.basic) as root, logged in as ada, pid 812, in ssh.service"
    )
    assert replace(drift("/a"), unknown="not permitted").who() == "unknown: not permitted"


def test_originals_and_entries_survive_a_restart() -> None:
    applied = Applied(
        generation=3,
        config="render-worker-x",
        entries={
            "/a": entry(FILE, original=Original(Trace.of(file_state(b"theirs", 0o600)), (ACL,)), unit="x.service"),
            "/b": entry(ABSENT, Subject.ENABLEMENT, original=Original.of(UNIT_LINK)),
            "/c": entry(directory_state(), Subject.PARENT),
            "/d": entry(FILE, any_contents=True, xattrs=(LABEL,)),
        },
        removed=("/old",),
        held="render-worker-y",
        foreign_dropins=("/etc/systemd/system/x.service.d/y.conf",),
    )
    assert Applied.decode(applied.encode()) == applied
    assert applied.entries["/b"].trace == NOTHING
    assert applied.entries["/c"].trace.type is FileType.DIRECTORY


@pytest.mark.parametrize("damage", [b"", b"{}", b'{"format": 1}', b"[]", b"\xff"])
def test_a_damaged_state_file_is_broken_and_says_what_to_do(damage: bytes) -> None:
    with pytest.raises(Broken, match="damaged"):
        Applied.decode(damage)


def test_the_state_of_a_later_version_is_not_misread() -> None:
    with pytest.raises(Broken, match="later version"):
        Applied.decode(b'{"format": 2}')
