"""Who signed a certificate, and whether a key is its own.

Invariant: an answer is True or False only where it was worked out; None says that something to work it out with is not
there, and a finding tells what.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Sequence

from nodeagent.certs.due import State, state
from nodeagent.certs.facts import Certificate, Contents

SignedBy = Callable[[Certificate, Certificate], bool]
"""Whether the second certificate's key signed the first."""

_LONGEST = 5  # certificates between a leaf and its anchor


def key_match(certificate: Certificate, keys: Contents) -> bool | None:
    """Whether one of `keys` is the certificate's own; None if there is none that can be read."""
    readable = [key for key in keys.keys if not key.encrypted]
    return any(key.public_key == certificate.public_key for key in readable) if readable else None


def chain(
    leaf: Certificate,
    intermediates: Sequence[Certificate],
    anchors: Iterable[Certificate],
    signed_by: SignedBy,
    now: datetime.datetime,
) -> tuple[Certificate, ...]:
    """The authorities from the leaf's issuer up to an anchor, () if no way leads there (RFC 5280, section 6.1).

    Any certificate among `anchors` ends a chain, as for Go. Where several ways lead there, one that is valid now wins.
    """
    valid_first = sorted(anchors, key=lambda each: state(each, now) is not State.VALID)
    return _climb(leaf, tuple(intermediates)[:_LONGEST], valid_first, signed_by)


def _climb(
    certificate: Certificate,
    intermediates: tuple[Certificate, ...],
    anchors: Sequence[Certificate],
    signed_by: SignedBy,
) -> tuple[Certificate, ...]:
    for anchor in anchors:
        if _may_have_signed(anchor, certificate) and signed_by(certificate, anchor):
            return (anchor,)
    for number, each in enumerate(intermediates):
        if _may_have_signed(each, certificate) and signed_by(certificate, each):
            rest = _climb(each, intermediates[:number] + intermediates[number + 1 :], anchors, signed_by)
            if rest:
                return (each, *rest)
    return ()


def _may_have_signed(authority: Certificate, certificate: Certificate) -> bool:
    return authority.is_ca and authority.subject == certificate.issuer


def is_valid(authorities: Iterable[Certificate], now: datetime.datetime) -> bool:
    """Whether all of a chain is valid now."""
    return all(state(each, now) is State.VALID for each in authorities)
