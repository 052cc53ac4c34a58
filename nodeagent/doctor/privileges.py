"""Whether this process has the rights that the daemon's work takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from nodeagent.doctor.check import Check, Finding, failure, judged, warning
from nodeagent.observed.vitals import Rights

NAME: Final = "privileges"

VITAL: Final[Mapping[str, str]] = {
    "CAP_CHOWN": "files keep root as their owner",
    "CAP_DAC_OVERRIDE": "nothing can be written below directories of others",
    "CAP_FOWNER": "mode and times of files of others stay",
    "CAP_SETGID": "the managed user's keys cannot be written with that user's ids",
    "CAP_SETUID": "the managed user's keys cannot be written with that user's ids",
}  # without which configuration cannot be applied, and what suffers
USEFUL: Final[Mapping[str, str]] = {
    "CAP_FSETID": "set-group-id bits are lost",
    "CAP_NET_ADMIN": "egress traffic is not handed over before planned work",
    "CAP_NET_RAW": "the link cannot be asked who has a VIP",
    "CAP_SETFCAP": "originals come back without their file capabilities",
    "CAP_SYS_ADMIN": "who caused drift is not found out",
    "CAP_SYS_CHROOT": "GRUB's tools below another root cannot be run",
    "CAP_SYS_PTRACE": "the program and the unit of who caused drift cannot be read",
}

_GRANT: Final = "give it: docs/daemonset.md has the list for a pod, nodeagent.service has it on a host"


def privileges(rights: Rights) -> Check:
    """Root with all capabilities is fine."""
    fine = f"uid 0 with all {len(VITAL) + len(USEFUL)} capabilities that the daemon needs"
    return judged(NAME, _findings(rights), fine)


def _findings(rights: Rights) -> Iterator[Finding]:
    if rights.uid != 0:
        yield failure(f"this process runs as uid {rights.uid}, and the node's files are root's", "run it as root")
        return
    for name, suffers in VITAL.items():
        if name not in rights.capabilities:
            yield failure(f"{name} is missing: {suffers}", _GRANT)
    for name, suffers in USEFUL.items():
        if name not in rights.capabilities:
            yield warning(f"{name} is missing: {suffers}", _GRANT)
