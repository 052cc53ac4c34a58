"""Speaks to the API server as this node's kubelet does.

Invariant: the kubelet's key is read where it lies, and copied nowhere: the kubeconfig that is written for the client
holds paths alone, and goes when the connection does.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from nodeagent import __version__
from nodeagent.agent.workplace import Workplace
from nodeagent.certs.catalog import CLUSTER_CA, KUBELET_CLIENT, KUBELET_CONF
from nodeagent.certs.library import Library
from nodeagent.errors import Transient
from nodeagent.host.pki import PkiReader
from nodeagent.host.tree import Tree
from nodeagent.kube.connection import Connection, connect
from nodeagent.observed.certificates import Standing


@contextmanager
def as_kubelet(place: Workplace, library: Library) -> Iterator[Connection]:
    """A connection to the server of the kubelet's kubeconfig. Transient if the kubelet has no client certificate."""
    _, found = library.kubeconfig(KUBELET_CONF)
    server = next((each.server for each in found.clusters if each.server), "")
    if not server:
        raise Transient(f"{KUBELET_CONF} names no API server")
    pair, authority = (_real(place.tree, path) for path in (KUBELET_CLIENT, CLUSTER_CA))
    with tempfile.NamedTemporaryFile("w", dir=place.settings.run_dir, prefix=".kubelet-", suffix=".json") as file:
        json.dump(_kubeconfig(server, pair, authority), file)
        file.flush()
        with closing(connect(file.name, f"nodeagent/{__version__}", width=1)) as connection:
            yield connection


def _real(tree: Tree, path: str) -> str:
    """Where the file is that `path` leads to inside the root, as this process sees it."""
    found = PkiReader(tree).look(path)
    if found.standing is not Standing.FILE:
        raise Transient(f"{path}: {found.problem or 'is not there'}")
    return tree.outside(found.target or path)


def _kubeconfig(server: str, pair: str, authority: str) -> dict[str, Any]:
    name = "kubelet"
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": server, "certificate-authority": authority}}],
        "users": [{"name": name, "user": {"client-certificate": pair, "client-key": pair}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
