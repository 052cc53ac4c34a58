"""The certificates of one node, as commands and the daemon look at them."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from nodeagent.certs.case import Policy
from nodeagent.certs.due import Rule
from nodeagent.certs.identity import Node, Role, name_of, role_of
from nodeagent.certs.inventory import Inventory, assess
from nodeagent.certs.library import Library
from nodeagent.certs.served import Answer, ask, targets
from nodeagent.certs.survey import Survey, survey
from nodeagent.host.pki import PkiReader
from nodeagent.host.tree import Tree
from nodeagent.settings import Settings
from nodeagent.vip.inventory import COPIES


@dataclass(frozen=True)
class Inspector:
    """Looks at the certificates below one root, reading again only what has changed."""

    settings: Settings
    library: Library
    policy: Policy

    def survey(self) -> Survey:
        return survey(self.library, (*self.settings.certs.paths, COPIES))

    def inventory(self, found: Survey, now: datetime.datetime) -> Inventory:
        return assess(found, self._node(found), now, self.library.signed_by, self.policy)

    def answers(self, found: Survey, now: datetime.datetime) -> tuple[Answer, ...]:
        """What the components of the running node serve."""
        from nodeagent.host.probe import TlsProbe  # noqa: PLC0415 - ssl, by need

        probe = TlsProbe(self.settings.certs.probe_timeout)
        return ask(targets(found), probe, found, now, self.policy)

    def _node(self, found: Survey) -> Node:
        """What was set counts; else the files tell whose they are, and the host name counts on the running system."""
        role = None if self.settings.certs.role == "auto" else Role(self.settings.certs.role)
        name = self.settings.node_name
        if self.settings.origins.get("node_name", "default") != "default":
            return Node(name, self.settings.certs.node_ip, role or role_of(found))
        host = name if self.settings.root == "/" else ""
        return Node(name_of(found) or host, self.settings.certs.node_ip, role or role_of(found))


@contextmanager
def inspected(settings: Settings) -> Iterator[Inspector]:
    """The certificates of the node that `settings` describe."""
    with Tree(settings.root) as tree:
        yield inspector_of(settings, tree)


def inspector_of(settings: Settings, tree: Tree) -> Inspector:
    """The same, below a tree that is open already."""
    return Inspector(settings, Library(PkiReader(tree), read_yaml), _policy(settings))


def _policy(settings: Settings) -> Policy:
    certs = settings.certs
    warn, alarm, authority = (
        datetime.timedelta(seconds=each) for each in (certs.warn_before, certs.alarm_before, certs.ca_warn_before)
    )
    rule = Rule(certs.renew_percent, datetime.timedelta(seconds=certs.renew_before))
    return Policy(rule, warn, alarm, authority, certs.request_serving)


def read_yaml(data: bytes) -> Any:
    """The only document in `data`; ValueError where there is none, or more than one."""
    from nodeagent.machineconfig.documents import parse  # noqa: PLC0415 - YAML, by need
    from nodeagent.machineconfig.jsondocuments import Unreadable  # noqa: PLC0415

    try:
        documents = parse(data)
    except Unreadable as error:
        raise ValueError(str(error)) from error
    if len(documents) != 1:
        raise ValueError(f"holds {len(documents)} documents")
    return documents[0]
