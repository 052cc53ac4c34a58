"""Whether a certificate may take the place of another.

Invariant: a candidate is accepted only if it serves every consumer that the current one serves: same subject, all of
its names and usages, a key of the same type and its own, a chain to the CA by which it is checked, valid now.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from nodeagent.certs import trust
from nodeagent.certs.due import State, state
from nodeagent.certs.facts import Certificate, Contents
from nodeagent.certs.trust import SignedBy


@dataclass(frozen=True)
class Verdict:
    """`problems` speak against the candidate; `added` and `lost` are alternative names, sorted."""

    problems: tuple[str, ...]
    added: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()

    @property
    def accepted(self) -> bool:
        return not self.problems


def compare(
    current: Certificate,
    candidate: Contents,
    keys: Contents,
    anchors: Sequence[Certificate],
    signed_by: SignedBy,
    now: datetime.datetime,
) -> Verdict:
    """Hold a staged certificate, with the keys staged beside it, against the one in place.

    `anchors` are the CAs by which its consumers check it. Names are compared as sets.
    """
    if not candidate.certificates:
        return Verdict(("the staged file holds no certificate",))
    new, *others = candidate.certificates
    lost = tuple(sorted(set(current.sans) - set(new.sans)))
    added = tuple(sorted(set(new.sans) - set(current.sans)))
    chain = trust.chain(new, others, anchors, signed_by, now)
    complaints = {
        "its key is not the staged one": trust.key_match(new, keys) is not True,
        f"no CA by which it is checked has signed it: {new.issuer}": not chain,
        "a CA above it is not valid now": not trust.is_valid(chain, now),
        "it is not valid now": state(new, now) is not State.VALID,
        f"its subject is {new.subject}, not {current.subject}": new.subject != current.subject,
        f"its key is {new.key_type}, not {current.key_type}": new.key_type != current.key_type,
        f"it lacks the names {', '.join(lost)}": bool(lost),
        "it lacks an extended key usage": not set(current.usages) <= set(new.usages),
        "it may sign others": new.is_ca and not current.is_ca,
    }
    return Verdict(tuple(text for text, wrong in complaints.items() if wrong), added, lost)
