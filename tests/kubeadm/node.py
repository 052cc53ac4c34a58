"""A node of a real cluster, alone in it: kubelet, containerd and kubeadm's static pods on a test machine.

Invariant: nothing is fetched: programs and images are this machine's. Every image is there before kubeadm begins, and
nobody may pull one. What the machine lacks of a real one (cgroup controllers, the shared kernel's settings) is replaced
by files of its own or turned off; the configuration below says which.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import yaml

from tests.controlplane.binaries import Binaries
from tests.kubeadm import images
from tests.kubeadm.configuration import files, kubeadm
from tests.node.machine import CHECKOUT, Machine

_KUBECONFIG = "/etc/kubernetes/admin.conf"
Object = dict[str, Any]


class KubeadmNode(Machine):
    """A machine whose kubelet and control plane are up between entering and leaving its context."""

    supervisor = "tests.kubeadm.supervisor"

    def __init__(self, scratch: Path, binaries: Binaries, archive: Path) -> None:
        super().__init__(scratch, deadline=90.0)
        self._binaries = binaries
        self._archive = archive

    def __enter__(self) -> Self:
        super().__enter__()
        try:
            self._install()
            self._init()
        except BaseException:
            self.destroy()
            raise
        return self

    def _seen(self) -> set[Path]:
        return super()._seen() | {self._binaries.folder, self._archive.parent}

    def _install(self) -> None:
        for path, text in files(images.names(self._binaries)).items():
            self.write(path, text)
        for name in ("kubeadm", "kubelet", "kubectl"):
            self.path(f"/usr/local/bin/{name}").symlink_to(self._binaries.path(name))
        self.write("/etc/hosts", f"127.0.0.1 localhost\n10.77.0.11 {self.name}\n")
        self.run("systemctl", "daemon-reload")
        self.run("systemctl", "enable", "--now", "kernel-settings.service", "containerd.service")
        self.run("systemctl", "enable", "kubelet.service")

    def _init(self) -> None:
        self.run("ctr", "--namespace", "k8s.io", "images", "import", self._archive, deadline=120.0)
        self.write("/root/kubeadm.yaml", kubeadm(self.name, images.version(self._binaries)))
        skipped = "--skip-phases=addon/coredns,addon/kube-proxy"
        self.run(
            "kubeadm",
            "init",
            "--config",
            "/root/kubeadm.yaml",
            skipped,
            "--ignore-preflight-errors=all",
            deadline=240.0,
        )

    def reboot(self) -> None:
        """Reboot the machine; the API server is yet to come when this returns."""
        boots = len(self.boots)
        self.run("systemctl", "reboot", check=False)
        self.wait_for_boot(boots + 1)

    # -- the cluster --------------------------------------------------------------------------------------------------

    def kubectl(self, *arguments: str, check: bool = True, deadline: float = 60.0, stdin: str = "") -> str:
        """What kubectl says as the administrator; AssertionError if it fails and `check` holds."""
        done = self.run("kubectl", *arguments, check=check, deadline=deadline, stdin=stdin, KUBECONFIG=_KUBECONFIG)
        return done.stdout

    def get(self, *arguments: str) -> Object:
        """One object, or a List; {} while the API server does not answer, or there is none."""
        said = self.kubectl("get", *arguments, "-o", "json", "--request-timeout=5s", check=False)
        found: Object = json.loads(said) if said else {}
        return found

    def apply(self, *documents: Object) -> None:
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(documents))

    def deploy(self) -> None:
        """Apply deploy/ as an administrator does, with no coordinator at work: its tests assign configs themselves."""
        self.kubectl("apply", "-k", str(CHECKOUT / "deploy"))
        self.kubectl("-n", "nodeagent", "scale", "deployment/pools", "--replicas=0")
        gone = ("wait", "pods", "-l", "app.kubernetes.io/component=pools", "--for=delete", "--timeout=60s")
        self.kubectl("-n", "nodeagent", *gone, deadline=70.0)

    def until(self, condition: Callable[[], bool], what: str, deadline: float = 90.0) -> None:
        """Wait until `condition` holds; AssertionError that tells what the cluster looks like after the deadline."""
        end = time.monotonic() + deadline
        while not condition():
            assert time.monotonic() < end, f"not within {deadline:g} s: {what}\n{self.described()}"
            time.sleep(0.5)

    def described(self) -> str:
        """The pods, and what the agent has said, for a person who looks for the reason of a failure."""
        listed = self.kubectl("get", "pods", "-A", check=False)
        node = self.get("node", self.name).get("metadata", {}).get("annotations", {})
        agent = ("-n", "nodeagent", "logs", "daemonset/agent", "--tail=40")
        return "\n".join((listed, json.dumps(node, indent=1), self.kubectl(*agent, check=False)))
