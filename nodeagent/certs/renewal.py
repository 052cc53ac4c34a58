"""Which certificates are renewed, until when, and by which CA: decided before a key is made or a file is touched. Pure.

Invariant: whatever speaks against renewing anything that was asked for is told at once, and then nothing is renewed.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from nodeagent.certs.catalog import KUBELET_SELF_SIGNED, SERVER_AUTH, Kind, Manager
from nodeagent.certs.due import State, state
from nodeagent.certs.facts import Certificate, rfc3339
from nodeagent.certs.findings import Code
from nodeagent.certs.identity import Role
from nodeagent.certs.inventory import Entry, Inventory
from nodeagent.certs.survey import Specimen, Survey
from nodeagent.certs.trust import key_match
from nodeagent.errors import Problem, Rejected

LIFETIME: Final = datetime.timedelta(days=365)  # as kubeadm's
_BLOCKING: Final = (Code.DUPLICATE_STATIC_POD,)


@dataclass(frozen=True)
class Wanted:
    """What is asked for: `names` as `certs list` has them, all that can be renewed, or only what is due.

    With `requests` an administrator signs, elsewhere. `lifetime` None keeps each certificate's own. `ca_certificate`
    and `ca_key` are paths, used instead of the node's own CA files.
    """

    names: tuple[str, ...] = ()
    everything: bool = False
    lifetime: datetime.timedelta | None = None
    ca_certificate: str = ""
    ca_key: str = ""
    requests: bool = False


@dataclass(frozen=True)
class Renewal:
    """One certificate that is renewed. `field` is the user of a kubeconfig, `authority` and `authority_key` are paths.

    Without an authority it signs itself, as that of a kubelet does. `signer` is the authority's certificate,
    `trusted` the path of the CAs by which its consumers check it, "" where they are not here; `restart` are the static
    pods that read the file only when they start. It `serves` if a server shows it; `audience` is who a client
    shows it to, "" for none on this node.
    """

    name: str
    path: str
    key_path: str
    field: str
    current: Certificate
    ends: datetime.datetime
    authority: str
    authority_key: str
    signer: Certificate | None
    trusted: str
    restart: tuple[str, ...]
    serves: bool
    audience: str

    def describe(self) -> str:
        place = f"{self.path} ({self.field})" if self.field else self.path
        until = f"{rfc3339(self.current.not_after)} → {rfc3339(self.ends)}"
        return f"renew {self.name}: {place}, {until}, by {self.authority or 'itself'}"

    def facts(self) -> dict[str, Any]:
        """The renewal as a JSON object."""
        return {
            "name": self.name,
            "path": self.path,
            "user": self.field.removeprefix("user "),
            "serial": str(self.current.serial),
            "notAfter": rfc3339(self.current.not_after),
            "renewedUntil": rfc3339(self.ends),
            "ca": self.authority,
            "restarts": list(self.restart),
        }


def propose(
    survey: Survey,
    inventory: Inventory,
    wanted: Wanted,
    now: datetime.datetime,
    repaired: Collection[str] = (),
    restarted: Collection[str] = (),
) -> tuple[Renewal, ...]:
    """The renewals, in the order of the inventory; Rejected with everything that speaks against them.

    Paths that are `repaired` need none; `restarted` are the names of loopback certificates, which no file holds.
    """
    chosen = [each for each in _chosen(survey, inventory, wanted, now) if each.path not in repaired]
    problems = [*_unknown(inventory, wanted, repaired, restarted)]
    if chosen or restarted:
        problems += _of_node(inventory, chosen, wanted)
    renewals = []
    for entry in chosen:
        specimen = _specimen(survey, entry)
        found = list(_obstacles(entry, specimen, survey, wanted, now))
        problems += found
        if not found:
            renewals.append(_renewal(entry, specimen, survey, wanted, now))
    if problems:
        raise Rejected(problems)
    return tuple(renewals)


def is_reissued(entry: Entry, survey: Survey, now: datetime.datetime) -> bool:
    """Whether this certificate of the kubelet's is issued anew: it has ended, and its CA's key is on this node.

    Without one that is valid the kubelet can ask for no other (k8s.io/client-go/util/certificate).
    """
    found = entry.certificate
    if found is None or entry.manager is not Manager.KUBELET or entry.kind not in (Kind.CLIENT, Kind.KUBECONFIG):
        return False
    authority = survey.authority(entry.issuer_path)
    return state(found, now) is State.EXPIRED and authority is not None and authority.key_owner is not None


def is_requested(entry: Entry) -> bool:
    """Whether the cluster has signed this certificate of a kubelet that asks for none: another is asked for."""
    return entry.path == KUBELET_SELF_SIGNED and bool(entry.issuer_path)


def _chosen(survey: Survey, inventory: Inventory, wanted: Wanted, now: datetime.datetime) -> Iterator[Entry]:
    """By name whatever it is; all, or what is due, only of what is the agent's task."""
    for entry in inventory.entries:
        if entry.certificate is None or entry.kind in (Kind.CHAIN, Kind.CA, Kind.KUBECONFIG_CA):
            if entry.name in wanted.names and entry.kind is Kind.CA:
                yield entry
            continue
        ours = entry.manager is (Manager.EXTERNAL_CA if wanted.requests else Manager.AGENT) and not is_requested(entry)
        ours = ours or (is_reissued(entry, survey, now) and inventory.node.role is Role.CONTROL_PLANE)
        if entry.name in wanted.names or (ours and (wanted.everything or (not wanted.names and entry.due))):
            yield entry


def _unknown(
    inventory: Inventory, wanted: Wanted, repaired: Collection[str], restarted: Collection[str]
) -> Iterator[Problem]:
    there = (each for each in inventory.entries if each.certificate is not None or each.path in repaired)
    known = sorted({*(entry.name for entry in there), *restarted})
    for name in wanted.names:
        if name not in known:
            yield Problem(
                name, "", "there is no such certificate on this node", f"there are: {', '.join(known) or 'none'}"
            )


def _of_node(inventory: Inventory, chosen: Sequence[Entry], wanted: Wanted) -> Iterator[Problem]:
    """What stands in the way of any renewal or restart on this node."""
    by_own_ca = not (wanted.ca_key or wanted.requests) and not all(map(_signs_itself, chosen))
    if inventory.node.role is Role.WORKER and by_own_ca:
        advice = "the kubelet renews its own; an expired one takes a bootstrap token"
        yield Problem(inventory.node.name or "node", "", "a worker holds no CA key to renew anything with", advice)
    for finding in inventory.findings:
        if finding.code in _BLOCKING:
            yield Problem(finding.path, "", finding.message, finding.advice)


def _specimen(survey: Survey, entry: Entry) -> Specimen:
    return next(each for each in survey.specimens if each.path == entry.path and each.field == entry.field)


def _obstacles(
    entry: Entry, specimen: Specimen, survey: Survey, wanted: Wanted, now: datetime.datetime
) -> Iterator[Problem]:
    """Why this certificate cannot be renewed here."""
    if entry.kind is Kind.CA:
        yield _problem(entry, "a CA is not renewed: everything that it has signed ends with it", "docs/certs.md")
        return
    if entry.manager is Manager.KUBELET and not is_reissued(entry, survey, now):
        yield _problem(entry, "the kubelet renews it by itself", "look at its log and at waiting CSRs")
        return
    if is_requested(entry):
        yield _problem(
            entry, "the cluster has signed it", "the daemon asks for another where certs.request_serving is on"
        )
        return
    if entry.kind is Kind.KUBECONFIG and not specimen.field.startswith("user "):
        yield _problem(entry, "it is a reference to files", "renew those")
        return
    if not (_signs_itself(entry) or wanted.requests):
        yield from _obstacles_of_authority(entry, survey, wanted, now)
    for finding in entry.findings:
        if finding.code is Code.SAN_MISSING_OWN_ADDRESS and entry.name.startswith("etcd-"):
            yield _problem(entry, finding.message, "it was copied from another node: issue it anew with kubeadm")


def _obstacles_of_authority(entry: Entry, survey: Survey, wanted: Wanted, now: datetime.datetime) -> Iterator[Problem]:
    path = wanted.ca_certificate or entry.issuer_path
    authority = survey.authority(path) if path else None
    leaf = _signer(authority)
    if authority is None or leaf is None:
        if entry.manager is Manager.EXTERNAL_CA:
            yield _external(entry)
        else:
            yield _problem(entry, "the CA that signed it is not on this node", "renew it where the CA's key is")
        return
    if entry.manager is Manager.EXTERNAL_CA and not wanted.ca_key:
        yield _external(entry)
    elif not wanted.ca_key and key_match(leaf, authority.keys) is not True:
        yield _problem(entry, f"the key beside {path} is not that CA's", "restore the CA's own key")
    if state(leaf, now) is not State.VALID:
        verb = "has ended" if state(leaf, now) is State.EXPIRED else "is not valid yet"
        yield _problem(entry, f"its CA {path} {verb}", "replace the CA: docs/certs.md tells how")


def _signs_itself(entry: Entry) -> bool:
    """Whether it is the kubelet's own serving certificate, which no cluster CA has signed and no client checks."""
    return entry.path == KUBELET_SELF_SIGNED and not entry.issuer_path


def _external(entry: Entry) -> Problem:
    advice = "renew it where the key is, or write requests for the CA's administrator with --csr-dir"
    return _problem(entry, "its CA's key is not on this node: the CA is external", advice)


def _problem(entry: Entry, message: str, advice: str) -> Problem:
    return Problem(entry.name, entry.path, message, advice)


def _signer(authority: Specimen | None) -> Certificate | None:
    """The CA certificate of a file that its key belongs to; the first where there is no key."""
    return (authority.key_owner or authority.leaf) if authority is not None else None


def _renewal(entry: Entry, specimen: Specimen, survey: Survey, wanted: Wanted, now: datetime.datetime) -> Renewal:
    current = entry.certificate
    authority = None if _signs_itself(entry) else survey.authority(wanted.ca_certificate or entry.issuer_path)
    signer = _signer(authority)
    if current is None:  # nothing is chosen that is not there
        raise AssertionError(entry.path)
    ends = now + (wanted.lifetime or _own_lifetime(current))
    return Renewal(
        entry.name,
        entry.path,
        specimen.item.key,
        entry.field,
        current,
        min(ends, signer.not_after) if signer is not None else ends,
        authority.path if authority is not None else "",
        (wanted.ca_key or authority.item.key) if authority is not None else "",
        signer,
        specimen.item.authority if specimen.item.authority in survey.authorities else "",
        tuple(pod for pod in specimen.item.restart if survey.pods.flags(pod) is not None),
        SERVER_AUTH in specimen.item.usages,
        specimen.item.audience,
    )


def _own_lifetime(current: Certificate) -> datetime.timedelta:
    """What it was issued for, to the hour: five minutes of it lie before it was made."""
    hour = datetime.timedelta(hours=1)
    return max(hour, round(current.lifetime / hour) * hour)


def starting(renewals: Iterable[Renewal]) -> tuple[str, ...]:
    """The static pods that have to start anew, sorted."""
    return tuple(sorted({pod for renewal in renewals for pod in renewal.restart}))


def manifests_of(pods: Collection[str], survey: Survey) -> dict[str, str]:
    """Path of the manifest by pod."""
    return {each.name: path for path, each in survey.pods.manifests.items() if each.name in pods}
