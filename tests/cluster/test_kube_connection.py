"""What only a real kube-apiserver shows: TLS, certificates that rotate, managed fields, rights, an outage."""

from __future__ import annotations

import json
import random
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from nodeagent.kube.connection import Connection, connect
from nodeagent.kube.errors import Forbidden, Unauthorised, Unavailable
from nodeagent.kube.nodestatus import MANAGER, NodeWriter
from nodeagent.kube.ownership import rival
from nodeagent.kube.watch import ObjectWatch
from nodeagent.observed import nodes
from nodeagent.observed.nodes import Condition
from tests.cluster.controlplane import ControlPlane
from tests.contract.kube import NODES, PACE, Silent, eventually, node

_NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


def _kubelet(control_plane: ControlPlane, name: str) -> tuple[str, str]:
    """A kubeconfig's text for the kubelet of a node, and its certificate and key in one PEM as the kubelet keeps it."""
    text = control_plane.kubeconfig(f"system:node:{name}", ["system:nodes"]).read_text()
    user = json.loads(text)["users"][0]["user"]
    return text, Path(user["client-certificate"]).read_text() + Path(user["client-key"]).read_text()


def _who(connection: Connection) -> str:
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    answer = connection.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", review)
    return str(answer["status"]["userInfo"]["username"])


def _admin(control_plane: ControlPlane) -> Connection:
    return connect(str(control_plane.kubeconfig("kube-adapters", ["system:masters"])), "nodeagent/test")


def test_the_kubelets_certificate_may_rotate(control_plane: ControlPlane, tmp_path: Path) -> None:
    current = tmp_path / "kubelet-client-current.pem"
    for number, name in enumerate(("rotating-a", "rotating-b")):
        text, pem = _kubelet(control_plane, name)
        (tmp_path / f"{number}.pem").write_text(pem)
    config = json.loads(text)
    config["users"][0]["user"] = {"client-certificate": str(current), "client-key": str(current)}
    kubeconfig = tmp_path / "kubelet.conf"
    kubeconfig.write_text(json.dumps(config))

    current.symlink_to("0.pem")
    connection = connect(str(kubeconfig), "nodeagent/test")
    assert _who(connection) == "system:node:rotating-a"
    (tmp_path / "next").symlink_to("1.pem")
    (tmp_path / "next").rename(current)
    assert _who(connection) == "system:node:rotating-b"
    connection.close()


def test_a_service_accounts_token_is_enough_and_a_false_one_is_told(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text(control_plane.service_account_token("default", "kube-adapters"))
    config = json.loads(_kubelet(control_plane, "any")[0])
    config["users"][0]["user"] = {"tokenFile": str(token)}
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(json.dumps(config))
    connection = connect(str(kubeconfig), "nodeagent/test")
    assert _who(connection) == "system:serviceaccount:default:kube-adapters"
    with pytest.raises(Forbidden, match=r"GET /api/v1/secrets: 403: secrets is forbidden"):
        connection.get("/api/v1/secrets")
    token.write_text("hunter2")
    connection._credentials.forget()
    with pytest.raises(Unauthorised):
        connection.get(NODES)
    connection.close()


def test_another_authority_is_not_trusted(control_plane: ControlPlane, tmp_path: Path) -> None:
    text, pem = _kubelet(control_plane, "any")
    config = json.loads(text)
    config["clusters"][0]["cluster"] = {"server": control_plane.server, "certificate-authority": str(tmp_path / "ca")}
    (tmp_path / "ca").write_text(pem[: pem.index("-----BEGIN PRIVATE") if "PRIVATE" in pem else None])
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(json.dumps(config))
    with pytest.raises(Unavailable, match="certificate verify failed"):
        connect(str(kubeconfig), "nodeagent/test").get(NODES)


def test_managed_fields_name_us_and_another_owner(control_plane: ControlPlane) -> None:
    name, connection = "owned", _admin(control_plane)
    control_plane.admin.create(
        NODES, node(name, labels={"as": "a-kubelet-makes-it"})
    )  # without fields none are managed
    watch = ObjectWatch(connection, NODES, name, lambda: None, random.Random(1), PACE)
    watch.start()
    eventually(lambda: watch.synced)
    writer = NodeWriter(connection, name, watch.current, lambda: _NOW, Silent(), random.Random(1))
    writer.publish({nodes.STATE: "Done"}, [Condition(nodes.VIP_DEGRADED, "False", "Healthy", "")])
    writer._tick()
    seen = control_plane.admin.get(f"{NODES}/{name}")
    assert rival(seen, MANAGER) == ""
    assert rival(seen, "somebody-else") == MANAGER
    theirs = {"metadata": {"annotations": {nodes.CURRENT_CONFIG: "render-x"}}}
    control_plane.admin.patch(f"{NODES}/{name}?fieldManager=machine-config-daemon", theirs)
    assert rival(control_plane.admin.get(f"{NODES}/{name}"), MANAGER) == "machine-config-daemon"
    assert watch.close(5)


def test_a_watch_over_tls_closes_at_once(control_plane: ControlPlane) -> None:
    watch = ObjectWatch(_admin(control_plane), NODES, "none", lambda: None, random.Random(1), PACE)
    watch.start()
    eventually(lambda: watch.synced and watch._reflector._stream is not None)
    began = time.monotonic()
    assert watch.close(5)
    assert time.monotonic() - began < 1


def test_the_server_may_die_and_come_back(own_control_plane: ControlPlane) -> None:
    connection, admin = _admin(own_control_plane), own_control_plane.admin
    admin.create(NODES, node("a"))
    watch = ObjectWatch(connection, NODES, "a", lambda: None, random.Random(1), PACE)
    writer = NodeWriter(connection, "a", watch.current, lambda: _NOW, Silent(), random.Random(1))
    watch.start()
    eventually(lambda: watch.current() is not None)
    writer.start()
    own_control_plane.apiserver.kill()
    eventually(lambda: watch.problems() != ())
    writer.publish({nodes.STATE: "Working"}, [])
    writer.publish({nodes.STATE: "Degraded"}, [Condition(nodes.MACHINE_CONFIG_DEGRADED, "True", "Drift", "/etc/a")])
    assert watch.current() is not None
    assert not writer.settled()
    own_control_plane.apiserver.start()
    eventually(writer.settled, 60)
    eventually(lambda: watch.problems() == ())
    assert admin.get(f"{NODES}/a")["metadata"]["annotations"] == {nodes.STATE: "Degraded"}
    assert watch.close(5)
    assert writer.stop(5)
