"""When a certificate is due for renewal, and whether the clock that says so can be believed.

Invariant: once due, a certificate stays due as time goes on; one that has just been issued is never due, since neither
arm of the rule reaches beyond half of a lifetime, so short-lived certificates are not renewed in a loop.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from nodeagent.certs.facts import Certificate

_SKEW = datetime.timedelta(
    minutes=5
)  # kubeadm's own allowance: its certificates begin five minutes before they are made
_DRIFT = datetime.timedelta(hours=1)
_DAY = datetime.timedelta(days=1)
_ROTATED = 90  # percent of the lifetime by which the kubelet has rotated (k8s.io/client-go/util/certificate)


class State(StrEnum):
    """Where in its validity a certificate is (RFC 5280, section 4.1.2.5; both ends included)."""

    NOT_YET_VALID = "not-yet-valid"
    VALID = "valid"
    EXPIRED = "expired"


@dataclass(frozen=True)
class Rule:
    """Due with less than `percent` of the lifetime left, or less than `before` where that is at most half of it."""

    percent: int = 20
    before: datetime.timedelta = 30 * _DAY

    def margin(self, lifetime: datetime.timedelta) -> datetime.timedelta:
        """The time left below which a certificate of this lifetime is due; at most half of a lifetime."""
        share = lifetime * min(self.percent, 50) / 100
        return max(share, self.before) if 2 * self.before <= lifetime else share

    def is_due(self, lifetime: datetime.timedelta, remaining: datetime.timedelta) -> bool:
        return remaining < self.margin(lifetime) or remaining <= datetime.timedelta(0)

    def due(self, certificate: Certificate, now: datetime.datetime) -> bool:
        return self.is_due(certificate.lifetime, certificate.not_after - now)

    def next_renewal(self, certificate: Certificate) -> datetime.datetime:
        """When the certificate becomes due."""
        return certificate.not_after - self.margin(certificate.lifetime)


DEFAULT_RULE: Final = Rule()


def rotation_deadline(certificate: Certificate) -> datetime.datetime:
    """When the kubelet should have rotated its certificate at the latest: it does so at 70 to 90 % of the lifetime."""
    return certificate.not_before + certificate.lifetime * _ROTATED / 100


def state(certificate: Certificate, now: datetime.datetime) -> State:
    if now < certificate.not_before:
        return State.NOT_YET_VALID
    return State.VALID if now <= certificate.not_after else State.EXPIRED


def is_skew(certificate: Certificate, now: datetime.datetime) -> bool:
    """Whether a certificate begins so soon that clocks which differ a little explain it."""
    return certificate.not_before - now <= _SKEW


@dataclass(frozen=True)
class ClockReading:
    """Both clocks at one moment: `wall`, and `boot` in seconds since the boot `boot_id` (CLOCK_BOOTTIME)."""

    wall: datetime.datetime
    boot: float
    boot_id: str


def clock_doubts(
    now: ClockReading, before: ClockReading | None, certificates: Iterable[Certificate]
) -> tuple[str, ...]:
    """Why the wall clock is not to be believed, in sentences; () where nothing speaks against it.

    Nothing is renewed under a doubtful clock: one that jumped ahead would renew everything at once, one that fell back
    would issue certificates that are not valid yet. `before` is the reading of the last look, if one was kept.
    """
    return (*_against_itself(now, before), *_against_certificates(now.wall, certificates))


def _against_itself(now: ClockReading, before: ClockReading | None) -> Iterable[str]:
    if before is None:
        return
    moved = now.wall - before.wall
    if now.boot_id == before.boot_id:
        elapsed = datetime.timedelta(seconds=now.boot - before.boot)
        if abs(moved - elapsed) > _DRIFT:
            yield f"the clock moved by {moved} while {elapsed} went by; set it right, or run the renewal by hand"
    elif moved < -_SKEW:
        yield f"the clock is {-moved} behind where it stood before the reboot; set it right"


def _against_certificates(now: datetime.datetime, certificates: Iterable[Certificate]) -> Iterable[str]:
    newest = max((each.not_before for each in certificates), default=now)
    if newest - now > _SKEW:
        yield f"a certificate here was issued {newest - now} after what the clock says; set the clock right"
