"""The kubelet's serving certificate, asked for in its place where it signs its own. Pure.

Invariant: nothing is asked for that the kubelet looks after itself (serverTLSBootstrap) or that somebody gave it
(tlsCertFile); what is asked for is what the strict approver takes: the Node's addresses, no more and no fewer.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Sequence
from typing import Final

from nodeagent.certs import trust
from nodeagent.certs.approval import GROUP, USER
from nodeagent.certs.catalog import CLUSTER_CA, KUBELET, KUBELET_SELF_SIGNED, KUBELET_SERVER, SERVER_AUTH
from nodeagent.certs.due import Rule, State, state
from nodeagent.certs.facts import Certificate, Contents
from nodeagent.certs.renewal import Renewal
from nodeagent.certs.survey import Survey
from nodeagent.certs.trust import SignedBy

USAGES: Final = ("digital signature", "server auth")


def replaceable(survey: Survey) -> Certificate | None:
    """What the kubelet serves and nobody else looks after; None where it asks itself, or was given another."""
    kubelet = survey.kubelet
    own = not kubelet.problem and not kubelet.bootstraps and kubelet.certificate in ("", KUBELET_SELF_SIGNED)
    alone = own and survey.leaf(KUBELET_SERVER) is None and CLUSTER_CA in survey.authorities
    return survey.leaf(KUBELET_SELF_SIGNED) if alone else None


def reason(
    current: Certificate,
    authorities: Sequence[Certificate],
    names: Collection[str],
    signed_by: SignedBy,
    rule: Rule,
    now: datetime.datetime,
) -> str:
    """Why another than `current` is asked for, "" if it will do. `names` are the Node's addresses."""
    if not trust.chain(current, (), authorities, signed_by, now):
        return "no CA of the cluster has signed it"
    if set(current.sans) != set(names):
        return "it does not name just the Node's addresses"
    return "it is due for renewal" if rule.due(current, now) else ""


def complaints(
    found: Contents,
    key: Contents,
    node: str,
    names: Collection[str],
    authorities: Sequence[Certificate],
    signed_by: SignedBy,
    now: datetime.datetime,
) -> tuple[str, ...]:
    """What speaks against serving what was signed; () where nothing does."""
    if not found.certificates or found.problems or found.keys:
        return ("what was signed is no certificate that can be read",)
    new, *others = found.certificates
    wrong = {
        "its key is another": trust.key_match(new, key) is not True,
        f"its subject is {new.subject}": (new.common_name, new.organizations) != (USER + node, (GROUP,)),
        "its names are not the Node's addresses": set(new.sans) != set(names),
        "it does not allow a server": SERVER_AUTH not in new.usages,
        "no CA of the cluster has signed it": not trust.chain(new, others, authorities, signed_by, now),
        "it is not valid now": state(new, now) is not State.VALID,
    }
    return tuple(text for text, is_so in wrong.items() if is_so)


def renewal(current: Certificate, new: Certificate) -> Renewal:
    """The swap of one for the other, both in the kubelet's own pair of files."""
    key = f"{KUBELET}/kubelet.key"
    return Renewal(
        "kubelet",
        KUBELET_SELF_SIGNED,
        key,
        field="",
        current=current,
        ends=new.not_after,
        authority="",
        authority_key="",
        signer=None,
        trusted="",
        restart=(),
        serves=True,
        audience="",
    )
