"""The looks at whether this node is fit to hold the VIP, as the settings want them."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Final

from nodeagent.certs.facts import rfc3339
from nodeagent.certs.library import Library
from nodeagent.host.fitness import EtcdMember, cramped, unanswered
from nodeagent.host.livez import HealthServer
from nodeagent.host.pki import PkiReader
from nodeagent.host.tree import Tree
from nodeagent.settings import Settings
from nodeagent.settings.addresses import Address
from nodeagent.vip.health import BALANCER, CERTIFICATE, DISK, ETCD, LIVE, READY, Rule, rules
from nodeagent.vip.monitor import Looks, looks_at

_ETCD_MANIFEST: Final = "/etc/kubernetes/manifests/etcd.yaml"


def rules_of(settings: Settings) -> tuple[Rule, ...]:
    """The checks that are made; what has nothing to look at is none."""
    vip = settings.vip
    weights = {
        READY: vip.ready_weight if vip.endpoint else 0,
        BALANCER: vip.balancer_weight if vip.balancer else 0,
        ETCD: vip.etcd_weight if vip.etcd else 0,
        DISK: vip.disk_weight,
        CERTIFICATE: vip.certificate_weight,
    }
    found = rules(weights, vip.fall, vip.rise)
    return found if vip.endpoint else found[1:]


def quick_looks(settings: Settings, stack: ExitStack) -> Looks:
    """What decides for this node alone."""
    vip = settings.vip
    if vip.endpoint is None:
        return {}
    return looks_at({LIVE: partial(_server(vip.endpoint, settings, stack).complaint, "/livez?exclude=etcd")})


def slow_looks(settings: Settings, stack: ExitStack) -> Looks:
    """The others, of those checks that are made."""
    vip = settings.vip
    made = {rule.name for rule in rules_of(settings)}
    tree = stack.enter_context(Tree(settings.root))
    complaints: dict[str, Callable[[], str]] = {
        DISK: partial(cramped, [tree.outside(path) for path in vip.disk_paths], vip.disk_free),
        CERTIFICATE: ServingCertificate(tree, vip.certificate, vip.certificate_left).complaint,
    }
    if vip.endpoint is not None:
        complaints[READY] = partial(_server(vip.endpoint, settings, stack).complaint, "/readyz")
    if vip.balancer is not None:
        complaints[BALANCER] = _balancer(vip.balancer, settings, stack)
    if vip.etcd is not None:
        member = _server(vip.etcd, settings, stack, tls=False)
        complaints[ETCD] = EtcdMember(member, tree.outside(_ETCD_MANIFEST)).complaint
    return looks_at({name: complaint for name, complaint in complaints.items() if name in made})


def _balancer(where: Address, settings: Settings, stack: ExitStack) -> Callable[[], str]:
    if settings.vip.balancer_probe == "tcp":
        return partial(unanswered, where.host, where.port, settings.vip.timeout)
    return partial(_server(where, settings, stack).complaint, "/readyz")


def _server(where: Address, settings: Settings, stack: ExitStack, *, tls: bool = True) -> HealthServer:
    server = HealthServer(where.host, where.port, settings.vip.timeout, tls=tls)
    stack.callback(server.close)
    return server


class ServingCertificate:
    """The certificate at `path`, which must have `left` seconds left; it is read again only when it has changed."""

    def __init__(self, tree: Tree, path: str, left: float) -> None:
        self._library = Library(PkiReader(tree), lambda _: None)
        self._path = path
        self._left = datetime.timedelta(seconds=left)

    def complaint(self) -> str:
        """Why clients will refuse it; a file that is missing or unreadable is the certificate job's to tell."""
        self._library.begin()
        _, found = self._library.contents(self._path)
        ends = min((each.not_after for each in found.certificates[:1]), default=None)
        if ends is None or ends - datetime.datetime.now(datetime.UTC) > self._left:
            return ""
        return f"{self._path} ends at {rfc3339(ends)}"
