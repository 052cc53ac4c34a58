"""A real control plane on the loopback interface: etcd, kube-apiserver and, if asked for, kube-controller-manager.

Invariant: ports, data and identities stay the same from start to end, so that any of the servers can be stopped, killed
and started again, and clients find it where it was. All files lie in one directory.
"""

from __future__ import annotations

import http.client
import json
import re
import secrets
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import yaml
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.cluster.client import ApiError, Client
from tests.cluster.pki import Authority, Pair, write_key
from tests.cluster.process import Server, free_port
from tests.controlplane.binaries import Binaries

CRDS = Path(__file__).parents[2] / "deploy" / "crds"
# What the tests lean on. Not among them: node-lifecycle-controller, to which simulated nodes are dead.
CONTROLLERS = (
    "certificatesigningrequest-approving-controller",
    "certificatesigningrequest-cleaner-controller",
    "certificatesigningrequest-signing-controller",
    "disruption-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
)
_LOOPBACK = "127.0.0.1"
_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["ResponseStarted", "ResponseComplete"],  # a watch counts when it begins
    "rules": [{"level": "Metadata"}],
}


def eventually(condition: Callable[[], bool], what: str, deadline: float = 15.0) -> None:
    """Wait until `condition` holds; fails with `what` it waited for after `deadline` seconds."""
    end = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < end, f"waited {deadline} s in vain until {what}"
        time.sleep(0.05)


class ControlPlane:
    """Runs between entering and leaving its context; `etcd`, `apiserver` and `controllers` can be stopped and started.

    `controllers` (kube-controller-manager) is None until `start_controllers`. `server` and `etcd_url` are URLs, and
    `admin` is a client that may do everything (group system:masters).
    """

    def __init__(
        self, directory: Path, binaries: Binaries, *, audited: bool = False, flags: Mapping[str, object] | None = None
    ) -> None:
        self.directory = directory
        self._flags = dict(flags or {})
        self._audit = directory / "audit.log" if audited else None
        self._binaries = binaries
        self._authority = Authority(directory)
        self._identities: dict[tuple[str, ...], Pair] = {}
        self.ca_file = self._authority.pair.certificate
        self.port = free_port()  # of the API server
        self.server = f"https://{_LOOPBACK}:{self.port}"
        self.etcd_url = f"http://{_LOOPBACK}:{free_port()}"
        self._account_key = directory / "sa.key"
        self.admin = self.client("admin", ["system:masters"])
        self.etcd = self._etcd()
        self.apiserver = self._apiserver()
        self.controllers: Server | None = None

    def __enter__(self) -> Self:
        try:
            self.etcd.start()
            self.apiserver.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all servers at once: nothing that they still have to say is of use."""
        for server in filter(None, (self.controllers, self.apiserver, self.etcd)):
            server.kill()

    def client(self, user: str, groups: Sequence[str] = ()) -> Client:
        """A client that is `user` in `groups`, by certificate."""
        pair = self._identity(user, groups)
        context = ssl.create_default_context(cafile=str(self.ca_file))
        context.load_cert_chain(pair.certificate, pair.key)
        return Client(self.server, context)

    def client_with_token(self, token: str) -> Client:
        """A client that is whoever the bearer token says."""
        return Client(self.server, ssl.create_default_context(cafile=str(self.ca_file)), token)

    def kubeconfig(self, user: str, groups: Sequence[str] = ()) -> Path:
        """A kubeconfig for `user` in `groups`, as of the kubelet: system:node:<name> in system:nodes."""
        pair = self._identity(user, groups)
        credentials = {"client-certificate": str(pair.certificate), "client-key": str(pair.key)}
        return self._kubeconfig(pair.certificate.with_suffix(".kubeconfig"), user, credentials)

    def kubeconfig_with_token(self, name: str, token: str) -> Path:
        """A kubeconfig for whoever the bearer token says."""
        return self._kubeconfig(self.directory / f"token-{name}.kubeconfig", name, {"token": token})

    def _kubeconfig(self, path: Path, user: str, credentials: dict[str, str]) -> Path:
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "test", "cluster": {"server": self.server, "certificate-authority": str(self.ca_file)}}
            ],
            "users": [{"name": user, "user": credentials}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
            "current-context": "test",
        }
        path.write_text(json.dumps(config))
        return path

    def service_account_token(self, namespace: str, name: str, node: str | None = None, seconds: int = 3600) -> str:
        """A token of a service account, which is made if missing, with its namespace; the kubelet's way.

        With `node` the token is bound to a new pod on that node, whose name the API server puts into the claims.
        """
        self._ensure("/api/v1/namespaces", {"metadata": {"name": namespace}})
        accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        self._ensure(accounts, {"metadata": {"name": name}})
        spec: dict[str, Any] = {"expirationSeconds": seconds}
        if node is not None:
            pod = self.admin.create(f"/api/v1/namespaces/{namespace}/pods", _pod(name, node))
            owner = {"name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
            spec["boundObjectRef"] = {"apiVersion": "v1", "kind": "Pod"} | owner
        token: str = self.admin.create(f"{accounts}/{name}/token", {"spec": spec})["status"]["token"]
        return token

    def apply_crds(self) -> list[str]:
        """Install the project's CustomResourceDefinitions and wait until they are served; their names."""
        return self.define(*(yaml.safe_load(path.read_text()) for path in sorted(CRDS.glob("*.yaml"))))

    def define(self, *definitions: Any) -> list[str]:
        """Install CustomResourceDefinitions and wait until they are served; their names."""
        for definition in definitions:
            self.admin.apply(definition)
        for definition in definitions:
            eventually(partial(_is_served, self.admin, definition), f"{definition['metadata']['name']} is served")
        return [definition["metadata"]["name"] for definition in definitions]

    def requests(self, agent: str) -> list[Any]:
        """The requests of clients whose user agent begins with `agent`, as audit Events; needs `audited`."""
        assert self._audit is not None, "the control plane was not started with audited=True"
        events = map(json.loads, self._audit.read_text().splitlines())
        return [event for event in events if event.get("userAgent", "").startswith(agent)]

    def start_controllers(self, controllers: Sequence[str] = CONTROLLERS) -> Server:
        """Start kube-controller-manager with `controllers`, unless it runs; raises Unavailable without its binary."""
        if self.controllers is None:
            self.controllers = self._controller_manager(controllers)
            self.controllers.start()
        return self.controllers

    def _ensure(self, collection: str, obj: Any) -> None:
        try:
            self.admin.create(collection, obj)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise

    def _identity(self, user: str, groups: Sequence[str]) -> Pair:
        key = (user, *groups)
        if key not in self._identities:
            file = f"user-{len(self._identities)}-{re.sub('[^A-Za-z0-9.-]', '-', user)}"
            self._identities[key] = self._authority.issue(file, user, groups)
        return self._identities[key]

    def _served(self, name: str) -> Pair:
        return self._authority.issue(name, name, hosts=[_LOOPBACK, "localhost"])

    def _etcd(self) -> Server:
        flags = {
            "data-dir": self.directory / "etcd",
            "listen-client-urls": self.etcd_url,
            "advertise-client-urls": self.etcd_url,
            "listen-peer-urls": f"http://{_LOOPBACK}:{free_port()}",
            "unsafe-no-fsync": "true",  # a killed process loses nothing by it, and no test cuts etcd's power
        }
        return self._component("etcd", flags, lambda: _is_healthy(self.etcd_url))

    def _apiserver(self) -> Server:
        serving = self._served("kube-apiserver")
        account_public = self.directory / "sa.pub"
        public = write_key(self._account_key).public_key()
        account_public.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        flags = {
            "etcd-servers": self.etcd_url,
            "bind-address": _LOOPBACK,
            "advertise-address": _LOOPBACK,
            "secure-port": self.port,
            "tls-cert-file": serving.certificate,
            "tls-private-key-file": serving.key,
            "client-ca-file": self.ca_file,
            "authorization-mode": "Node,RBAC",
            "enable-admission-plugins": "NodeRestriction",
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-key-file": account_public,
            "service-account-signing-key-file": self._account_key,
            "service-cluster-ip-range": "10.96.0.0/24",
            "endpoint-reconciler-type": "none",  # no other reconciler takes an address of the loopback interface
        }
        if self._audit is not None:
            policy = self.directory / "audit-policy.json"
            policy.write_text(json.dumps(_AUDIT_POLICY))
            flags |= {"audit-policy-file": policy, "audit-log-path": self._audit, "audit-log-mode": "blocking"}
        self._served_flags = flags
        return self._component("kube-apiserver", flags | self._flags, lambda: _is_ok(self.admin, "/readyz"))

    def another_apiserver(self, flags: Mapping[str, object]) -> tuple[Server, Client, int]:
        """A second kube-apiserver over the same etcd, not started; a client of it that may do everything; its port."""
        port = free_port()
        pair = self._identity("admin", ["system:masters"])
        context = ssl.create_default_context(cafile=str(self.ca_file))
        context.load_cert_chain(pair.certificate, pair.key)
        client = Client(f"https://{_LOOPBACK}:{port}", context)
        given = {**self._served_flags, "secure-port": port, **flags}
        command = [self._binaries.path("kube-apiserver"), *(f"--{flag}={value}" for flag, value in given.items())]
        log = self.directory / f"kube-apiserver-{port}.log"
        return Server("kube-apiserver", command, log, lambda: _is_ok(client, "/readyz")), client, port

    def _controller_manager(self, controllers: Sequence[str]) -> Server:
        port, serving = free_port(), self._served("kube-controller-manager")
        health = Client(f"https://{_LOOPBACK}:{port}", ssl.create_default_context(cafile=str(self.ca_file)))
        flags = {
            "kubeconfig": self.kubeconfig("system:kube-controller-manager"),
            "controllers": ",".join(controllers),
            "cluster-signing-cert-file": self._authority.pair.certificate,
            "cluster-signing-key-file": self._authority.pair.key,
            "root-ca-file": self.ca_file,
            "service-account-private-key-file": self._account_key,
            "use-service-account-credentials": "true",
            "leader-elect": "false",
            "bind-address": _LOOPBACK,
            "secure-port": port,
            "tls-cert-file": serving.certificate,
            "tls-private-key-file": serving.key,
        }
        return self._component("kube-controller-manager", flags, lambda: _is_ok(health, "/healthz"))

    def _component(self, name: str, flags: dict[str, Any], ready: Callable[[], bool]) -> Server:
        command = [self._binaries.path(name), *(f"--{flag}={value}" for flag, value in flags.items())]
        return Server(name, command, self.directory / f"{name}.log", ready)


def _is_ok(client: Client, path: str) -> bool:
    try:
        return client.raw("GET", path) == b"ok"
    except ApiError:
        return False


def _is_healthy(etcd_url: str) -> bool:
    connection = http.client.HTTPConnection(urlsplit(etcd_url).netloc, timeout=1)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    finally:
        connection.close()


def _pod(account: str, node: str) -> Any:
    return {
        "metadata": {"name": f"{account}-{secrets.token_hex(4)}"},
        "spec": {
            "serviceAccountName": account,
            "nodeName": node,
            "containers": [{"name": "main", "image": "none.test/none"}],
        },
    }


def _is_served(client: Client, definition: Any) -> bool:
    """All versions are in discovery, and their objects can be listed: either may come first."""
    spec = definition["spec"]
    plural = spec["names"]["plural"]
    roots = [f"/apis/{spec['group']}/{version['name']}" for version in spec["versions"]]
    try:
        for root in roots:
            client.list(f"{root}/{plural}")
        return all(plural in {item["name"] for item in client.get(root)["resources"]} for root in roots)
    except ApiError:
        return False
