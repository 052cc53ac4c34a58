"""A root directory with certificates in it, and the inventory of it."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from nodeagent.certs.identity import Node, Role, name_of, role_of
from nodeagent.certs.inventory import Entry, Inventory, assess
from nodeagent.certs.library import Library
from nodeagent.certs.survey import Survey, survey
from nodeagent.host.pki import PkiReader
from nodeagent.host.tree import Tree
from tests.unit.certs.authority import NOW, Pair, cluster_ca


def read_yaml(data: bytes) -> Any:
    try:
        return yaml.safe_load(data)
    except yaml.YAMLError as error:
        raise ValueError("is no YAML") from error


@dataclass
class Scratch:
    """A node below `root`; close `tree` when done."""

    root: Path
    now: datetime.datetime = NOW
    extra: tuple[str, ...] = ()
    name: str = ""
    address: str = ""
    role: Role | None = None
    tree: Tree = field(init=False)
    library: Library = field(init=False)

    def __post_init__(self) -> None:
        self.tree = Tree(str(self.root))
        self.library = Library(PkiReader(self.tree), read_yaml)

    def write(self, path: str, data: bytes | str, mode: int = 0o600) -> Path:
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data.encode() if isinstance(data, str) else data)
        target.chmod(mode)
        return target

    def pair(self, stem: str, pair: Pair) -> None:
        """A certificate and its key, as kubeadm writes them below its directory."""
        self.write(f"/etc/kubernetes/pki/{stem}.crt", pair.pem, 0o644)
        self.write(f"/etc/kubernetes/pki/{stem}.key", pair.key_pem)

    def with_ca(self) -> Pair:
        self.pair("ca", cluster_ca())
        return cluster_ca()

    def manifest(self, component: str, *flags: str, file: str = "") -> None:
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": component, "namespace": "kube-system"},
            "spec": {"containers": [{"name": component, "command": [component, *flags]}]},
        }
        self.write(f"/etc/kubernetes/manifests/{file or component + '.yaml'}", json.dumps(pod))

    def survey(self) -> Survey:
        return survey(self.library, self.extra)

    def inventory(self) -> Inventory:
        found = self.survey()
        node = Node(self.name or name_of(found), self.address, self.role or role_of(found))
        return assess(found, node, self.now, self.library.signed_by)

    def entry(self, path: str) -> Entry:
        return next(each for each in self.inventory().entries if each.path == path)

    def codes(self, path: str = "") -> Mapping[str, str]:
        """Severities by code, of one path or of all."""
        return {str(each.code): str(each.severity) for each in self.inventory().findings if path in each.path}
