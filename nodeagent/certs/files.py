"""What can be wrong with a file of certificates, and with the private key that belongs to them.

Invariant: each check looks at one thing, does no I/O, and does not depend on the clock.
"""

from __future__ import annotations

from collections.abc import Iterator

from nodeagent.certs.catalog import PKI, Kind
from nodeagent.certs.findings import Code, Finding, Severity
from nodeagent.certs.identity import Role
from nodeagent.certs.survey import Specimen
from nodeagent.observed.certificates import PkiFile, Standing


def findings(specimen: Specimen, role: Role) -> Iterator[Finding]:
    """What is wrong with the file on a node of this role."""
    yield from _standing(specimen)
    yield from _legible(specimen)
    yield from _permissions(specimen)
    yield from _key(specimen)
    if specimen.item.kind is Kind.CA:
        yield from _authority(specimen, role)


def _standing(specimen: Specimen) -> Iterator[Finding]:
    file, path = specimen.file, specimen.path
    match file.standing:
        case Standing.ABSENT:
            message = "there is no such file" + (", but its key is there" if specimen.keys.keys else "")
            advice = "put the certificate there, or take away what names it"
            yield Finding(path, Code.CERTIFICATE_MISSING, Severity.HIGH, message, advice)
        case Standing.DANGLING:
            message = f"is a link to {file.target}, which is not there"
            advice = "let it point to the newest file beside it"
            yield Finding(path, Code.LINK_BROKEN, Severity.CRITICAL, message, advice)
        case Standing.UNREADABLE:
            yield Finding(path, Code.UNREADABLE, Severity.HIGH, file.problem)
        case Standing.FILE if file.names > 1 and path.startswith(PKI):
            message = f"has {file.names} names (hard links): the kube-apiserver will miss the rotation after the next"
            yield Finding(path, Code.HARD_LINKED, Severity.WARNING, message, "keep backups as copies")


def _legible(specimen: Specimen) -> Iterator[Finding]:
    if specimen.file.standing is not Standing.FILE:
        return
    path, found = specimen.where, specimen.contents
    if found.empty:
        message = "is empty, as after a crash in the midst of writing it"
        yield Finding(path, Code.EMPTY, Severity.CRITICAL, message, "restore it, or renew it")
    elif found.problems:
        yield Finding(path, Code.GARBAGE, Severity.HIGH, _some(found.problems), "restore it, or renew it")
    elif not found.certificates:
        held = ", ".join(sorted(set(found.labels))) or "nothing that is encoded as one"
        if not found.keys or specimen.item.kind is not Kind.OTHER:
            message = f"holds {held}: no certificate that Kubernetes reads"
            yield Finding(path, Code.NO_CERTIFICATE, Severity.HIGH, message)


def _some(problems: tuple[str, ...], most: int = 3) -> str:
    more = f" (and {len(problems) - most} more)" if len(problems) > most else ""
    return "; ".join(problems[:most]) + more


def _permissions(specimen: Specimen) -> Iterator[Finding]:
    key_file = specimen.key_file or (specimen.file if specimen.holds_key else None)
    if key_file is not None and key_file.standing is Standing.FILE and key_file.mode & 0o077:
        severity = Severity.CRITICAL if key_file.mode & 0o007 else Severity.WARNING
        message = f"holds a private key and has mode {key_file.mode:04o}"
        yield Finding(key_file.path, Code.KEY_PERMISSIONS, severity, message, f"chmod 0600 {key_file.path}")
    if specimen.file is not key_file and _is_writable_by_others(specimen.file):
        message = f"can be written by others than its owner (mode {specimen.file.mode:04o})"
        yield Finding(specimen.path, Code.FILE_PERMISSIONS, Severity.HIGH, message, f"chmod go-w {specimen.path}")


def _is_writable_by_others(file: PkiFile) -> bool:
    return file.standing is Standing.FILE and bool(file.mode & 0o022)


# -- the key ----------------------------------------------------------------------------------------------------------


def _key(specimen: Specimen) -> Iterator[Finding]:
    """Whether the key can be read and is the leaf's, or for a CA file that of any of its certificates."""
    leaf, keys = specimen.leaf, specimen.keys
    if leaf is None or specimen.item.kind is Kind.KUBECONFIG_CA:
        return
    path = specimen.key_file.path if specimen.key_file else specimen.where
    if any(key.encrypted for key in keys.keys):
        message = "the private key is encrypted: it cannot be compared, and Kubernetes cannot load it either"
        yield Finding(path, Code.KEY_ENCRYPTED, Severity.CRITICAL, message, "put the key there without a passphrase")
    elif not keys.keys:
        yield from _no_key(specimen, path)
    elif not _matches(specimen):
        message = f"the private key is not that of {specimen.path}"
        yield Finding(path, Code.KEY_MISMATCH, Severity.CRITICAL, message, "restore the pair, or renew it")


def _matches(specimen: Specimen) -> bool:
    owner = specimen.key_owner
    return owner is not None and (specimen.item.kind is Kind.CA or owner == specimen.leaf)


def _no_key(specimen: Specimen, path: str) -> Iterator[Finding]:
    file, kind = specimen.key_file, specimen.item.kind
    if file is not None and specimen.has_key_file:
        problem = file.problem or _some(specimen.keys.problems) or "holds no private key"
        message, advice = f"the private key cannot be read: {problem}", "restore the pair, or renew it"
        yield Finding(path, Code.KEY_UNREADABLE, Severity.CRITICAL, message, advice)
    elif kind not in (Kind.CA, Kind.OTHER):
        yield Finding(path, Code.KEY_MISSING, Severity.HIGH, f"the private key of {specimen.path} is not there")


def _authority(specimen: Specimen, role: Role) -> Iterator[Finding]:
    """What holds for the CAs of kubeadm alone; others keep bundles, and their keys where they like."""
    path, count = specimen.path, len(specimen.contents.certificates)
    if not specimen.item.key:
        return
    if specimen.has_key_file and role is Role.WORKER:
        message = "the private key of a CA lies on a worker: who gets at this node can issue what the cluster trusts"
        advice = "remove it; the agent neither uses nor copies it"
        yield Finding(specimen.item.key, Code.CA_KEY_ON_WORKER, Severity.CRITICAL, message, advice)
    if count > 1:
        message = f"holds {count} certificates, and the signer of the kube-controller-manager takes only one"
        advice = "finish the rotation of the CA; until then the agent signs with the one that its key belongs to"
        yield Finding(path, Code.CA_BUNDLE_MULTIPLE, Severity.WARNING, message, advice)
    if count and not specimen.has_key_file and role is Role.CONTROL_PLANE:
        message = "its private key is not on this node, so what it has signed is renewed elsewhere"
        yield Finding(path, Code.EXTERNAL_CA, Severity.INFO, message)
