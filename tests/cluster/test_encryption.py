"""Keys of encryption at rest are changed under two real API servers, with every Secret read all the time."""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.capabilities import require
from tests.cluster.client import ApiError, Client
from tests.cluster.controlplane import ControlPlane, eventually
from tests.cluster.coordinators import NAMESPACE, CoordinatorProcess
from tests.cluster.manifests import deploy
from tests.controlplane import binaries

_CONFIG = "/etc/kubernetes/encryption/config"
_IDENTITY = {
    "apiVersion": "apiserver.config.k8s.io/v1",
    "kind": "EncryptionConfiguration",
    "resources": [{"resources": ["secrets"], "providers": [{"identity": {}}]}],
}
_SECRETS = 120  # more than a page
_DEADLINE = 240.0  # a kube-apiserver looks at its configuration once a minute
_OBJECT = "/apis/cluster.alauda.io/v1alpha1/etcdencryptionconfigs/default"


class Site:
    """Two control-plane nodes, each a root directory with a kube-apiserver, and a coordinator for each."""

    def __init__(self, base: Path, stack: ExitStack) -> None:
        self.roots = {name: base / name for name in ("cp-a", "cp-b")}
        for root in self.roots.values():
            path = root / _CONFIG[1:]
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps(_IDENTITY))
        first = self._flags("cp-a")
        self.plane = stack.enter_context(ControlPlane(base, binaries.ensured(), flags=first))
        self.second, other, port = self.plane.another_apiserver(self._flags("cp-b"))
        self.second.start()
        stack.callback(self.second.kill)
        self.clients: list[Client] = [self.plane.admin, other]
        self._ports = {"cp-a": self.plane.port, "cp-b": port}
        self._base = base
        self.coordinators: dict[str, CoordinatorProcess] = {}

    def _flags(self, name: str) -> dict[str, object]:
        return {
            "encryption-provider-config": f"{self.roots[name]}{_CONFIG}",
            "encryption-provider-config-automatic-reload": "true",
        }

    def furnish(self) -> None:
        """Nodes, what deploy/encryption has, and Secrets and ConfigMaps that nobody has encrypted."""
        admin = self.plane.admin
        deploy(self.plane, "encryption")
        token = self.plane.service_account_token(NAMESPACE, "encryption")
        kubeconfig = self.plane.kubeconfig_with_token("encryption", token)
        self.coordinators = {name: self._coordinator(name, kubeconfig) for name in self.roots}
        for name in self.roots:
            labels = {"node-role.kubernetes.io/control-plane": ""}
            admin.create("/api/v1/nodes", {"metadata": {"name": name, "labels": labels}})
        for number in range(_SECRETS):
            data = {"word": base64.b64encode(f"word {number}".encode()).decode()}
            admin.create("/api/v1/namespaces/default/secrets", {"metadata": {"name": f"s{number}"}, "data": data})
        admin.create("/api/v1/namespaces/default/configmaps", {"metadata": {"name": "c"}, "data": {"word": "plain"}})
        eventually(lambda: self.status() is None, "the resource is served")

    def _coordinator(self, name: str, kubeconfig: Path) -> CoordinatorProcess:
        flags = {
            "root": str(self.roots[name]),
            "node-name": name,
            "encryption-config": _CONFIG,
            "encryption-apiserver": f"127.0.0.1:{self._ports[name]}",
            "encryption-interval": "1",
        }
        return CoordinatorProcess(self.plane, self._base, name, kubeconfig, flags, roles=("encryption",))

    def want(self, **spec: Any) -> None:
        document = {
            "apiVersion": "cluster.alauda.io/v1alpha1",
            "kind": "EtcdEncryptionConfig",
            "metadata": {"name": "default"},
            "spec": {"type": "aesgcm", "rotationInterval": "168h", "resources": ["secrets", "configmaps"]} | spec,
        }
        self.plane.admin.create(_OBJECT.rpartition("/")[0], document)

    def status(self) -> dict[str, Any] | None:
        """The status; None where there is no object."""
        try:
            found: dict[str, Any] = self.plane.admin.get(_OBJECT).get("status", {})
        except ApiError as error:
            if error.reason != "NotFound":
                raise
            self.plane.admin.list(_OBJECT.rpartition("/")[0])  # it is served
            return None
        return found

    def revision(self) -> int:
        return int((self.status() or {}).get("revision", 0))

    def stored(self, resource: str, name: str) -> bytes:
        """What etcd holds of an object."""
        key = base64.b64encode(f"/registry/{resource}/default/{name}".encode()).decode()
        link = http.client.HTTPConnection(urlsplit(self.plane.etcd_url).netloc, timeout=10)
        link.request("POST", "/v3/kv/range", json.dumps({"key": key}))
        found = json.loads(link.getresponse().read())
        link.close()
        return base64.b64decode(found["kvs"][0]["value"])

    @contextmanager
    def read_all_the_time(self) -> Iterator[list[str]]:
        """Somebody reads every Secret through both API servers, again and again; what went wrong."""
        over, wrong = threading.Event(), list[str]()

        def read() -> None:
            while not over.is_set():
                for client in self.clients:
                    try:
                        found = client.list("/api/v1/namespaces/default/secrets")
                    except OSError:  # it is being restarted
                        continue
                    except ApiError as error:
                        wrong.append(str(error))
                        continue
                    words = {each["metadata"]["name"]: each["data"]["word"] for each in found}
                    for number in range(_SECRETS):
                        if words.get(f"s{number}") != base64.b64encode(f"word {number}".encode()).decode():
                            wrong.append(f"s{number}")
                over.wait(0.2)

        thread = threading.Thread(target=read)
        thread.start()
        try:
            yield wrong
        finally:
            over.set()
            thread.join()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    require("control-plane", "setpriv")
    with ExitStack() as stack:
        site = Site(tmp_path, stack)
        site.furnish()
        yield site
        for each in site.coordinators.values():
            each.stop()


def test_a_rotation_whose_coordinators_die_at_each_step_leaves_everything_readable(site: Site) -> None:
    assert site.stored("secrets", "s0").startswith(b"k8s\x00"), "nobody has encrypted it yet"
    with site.read_all_the_time() as wrong:
        for each in site.coordinators.values():
            each.start()
        site.want()
        for revision in (1, 2):
            eventually(lambda revision=revision: site.revision() >= revision, f"revision {revision}", _DEADLINE)  # type: ignore[misc]
            for each in site.coordinators.values():  # at some point of the step, without a word
                each.stop(signal.SIGKILL)
                each.start()
        eventually(lambda: site.revision() == 3, "all is written anew", _DEADLINE)
        eventually(lambda: _all_confirmed(site, 3), "everybody has confirmed", _DEADLINE)
    assert wrong == []
    for resource, name in (("secrets", "s0"), ("secrets", f"s{_SECRETS - 1}"), ("configmaps", "c")):
        assert site.stored(resource, name).startswith(b"k8s:enc:aesgcm:v1:nodeagent-1:"), resource
    status = site.status() or {}
    assert status["migration"]["state"] == "Success"
    assert sorted(status["migration"]["resources"]) == ["configmaps", "secrets"]
    _keys_are_where_they_belong(site)


def _all_confirmed(site: Site, revision: int) -> bool:
    deployed = (site.status() or {}).get("deployStatus", {})
    return {name: (each["state"], each["revision"]) for name, each in deployed.items()} == dict.fromkeys(
        site.roots, ("Success", revision)
    )


def _keys_are_where_they_belong(site: Site) -> None:
    """In the configuration of each node (0600) and in one Secret, which etcd holds encrypted; nowhere else."""
    kept = site.plane.admin.get(f"/api/v1/namespaces/{NAMESPACE}/secrets/nodeagent-encryption")
    ring = json.loads(base64.b64decode(kept["data"]["ring.json"]))
    secret = ring["keys"][0]["secret"].encode()
    for root in site.roots.values():
        config = root / _CONFIG[1:]
        assert secret in config.read_bytes()
        assert config.stat().st_mode & 0o7777 == 0o600
        for path in root.rglob("*"):
            assert path == config or not path.is_file() or secret not in path.read_bytes(), path
    for log in site.plane.directory.glob("coordinator-*.log"):
        assert secret not in log.read_bytes()
    assert secret.decode() not in json.dumps(site.status())


def test_a_node_with_keys_of_its_own_is_left_alone_and_said_so(site: Site) -> None:
    foreign = dict(_IDENTITY)
    key = {"name": "theirs", "secret": base64.b64encode(os.urandom(32)).decode()}
    foreign["resources"] = [
        {"resources": ["secrets"], "providers": [{"aesgcm": {"keys": [key]}}, {"identity": {}}]},
    ]
    config = site.roots["cp-b"] / _CONFIG[1:]
    config.write_text(json.dumps(foreign))
    before = config.read_bytes()
    site.want(resources=["secrets"])
    for each in site.coordinators.values():
        each.start()

    def refused() -> bool:
        deployed = (site.status() or {}).get("deployStatus", {})
        return deployed.get("cp-b", {}).get("state") == "UpdateFailed" and "cp-a" in deployed

    eventually(refused, "it is refused", 60.0)
    time.sleep(3.0)  # rounds in which nothing may go on
    message = (site.status() or {})["deployStatus"]["cp-b"]["message"]
    assert "theirs" in message
    assert key["secret"] not in message
    assert site.revision() == 1, "nothing is written under a key that not everybody has"
    assert config.read_bytes() == before
