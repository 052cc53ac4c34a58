"""What is wrong with a certificate, in words for people and codes for programs.

Invariant: the code is one of `Code`, so that it can be a metric's label; the message names no bytes of a key.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """How urgent a finding is; INFO is no reason to call anybody."""

    INFO = "info"
    WARNING = "warning"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        return _RANKS[self]


_RANKS = {severity: rank for rank, severity in enumerate(Severity)}


class Code(StrEnum):
    """What was found."""

    EXPIRED = "expired"
    EXPIRING = "expiring"
    RENEWAL_DUE = "renewal-due"
    RENEWAL_FAILED = "renewal-failed"
    NOT_YET_VALID = "not-yet-valid"
    CA_EXPIRING = "ca-expiring"
    OUTLIVES_CA = "outlives-ca"
    UNREADABLE = "unreadable"
    EMPTY = "empty"
    GARBAGE = "garbage"
    NO_CERTIFICATE = "no-certificate"
    CERTIFICATE_MISSING = "certificate-missing"
    LINK_BROKEN = "link-broken"
    KEY_MISSING = "key-missing"
    KEY_MISMATCH = "key-mismatch"
    KEY_ENCRYPTED = "key-encrypted"
    KEY_UNREADABLE = "key-unreadable"
    KEY_PERMISSIONS = "key-permissions"
    FILE_PERMISSIONS = "file-permissions"
    HARD_LINKED = "hard-linked"
    CHAIN_BROKEN = "chain-broken"
    CA_MISSING = "ca-missing"
    CA_BUNDLE_MULTIPLE = "ca-bundle-multiple"
    CA_KEY_ON_WORKER = "ca-key-on-worker"
    NOT_A_CA = "not-a-ca"
    EXTERNAL_CA = "external-ca"
    SAN_MISSING_OWN_ADDRESS = "san-missing-own-address"
    USAGE_MISSING = "usage-missing"
    WEAK_SIGNATURE = "weak-signature"
    SERIAL_NOT_POSITIVE = "serial-not-positive"
    KUBECONFIG_STALE_CA = "kubeconfig-stale-ca"
    KUBELET_CONF_STALE = "kubelet-conf-stale"
    KUBELET_CURRENT_NO_LINK = "kubelet-current-no-link"
    KUBELET_ROTATION_OVERDUE = "kubelet-rotation-overdue"
    KUBELET_CONFIG_UNREADABLE = "kubelet-config-unreadable"
    KUBELET_ROTATION_OFF = "kubelet-rotation-off"
    KUBELET_SERVING_PENDING = "kubelet-serving-pending"
    KUBELET_SELF_SIGNED = "kubelet-self-signed"
    DUPLICATE_STATIC_POD = "duplicate-static-pod"
    STATIC_POD_UNREADABLE = "static-pod-unreadable"
    SERVED_DIFFERS = "served-differs"
    LOOPBACK_EXPIRING = "loopback-expiring"
    LOOPBACK_UNEXPECTED = "loopback-unexpected"
    PROBE_FAILED = "probe-failed"
    NOT_LISTENING = "not-listening"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: where, how urgent, what, and what to do ("" where the message says it all).

    `missing` lists what a set should hold and does not, such as alternative names.
    """

    path: str
    code: Code
    severity: Severity
    message: str
    advice: str = ""
    missing: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = f"{self.severity}: {self.path}: {self.message}"
        return f"{text}; {self.advice}" if self.advice else text

    def facts(self) -> dict[str, Any]:
        """The finding as a JSON object."""
        return {
            "code": str(self.code),
            "severity": str(self.severity),
            "path": self.path,
            "message": self.message,
            "advice": self.advice,
        }


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Without repeats, most urgent first, then by path and code."""
    return tuple(sorted(set(findings), key=lambda each: (-each.severity.rank, each.path, each.code, each.message)))


def alarming(findings: Iterable[Finding]) -> bool:
    """Whether anything among them should be looked at by a person."""
    return any(each.severity is not Severity.INFO for each in findings)
