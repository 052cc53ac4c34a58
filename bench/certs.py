"""Certificates: a whole control plane renewed, beside kubeadm; a scan of many, beside openssl."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count

from bench import measure
from bench.installation import AGENT
from bench.measure import Cost, contest
from bench.report import COSTS, Section, Target, cost_rows
from bench.scale import Scale
from nodeagent.agent.certificates import inspected
from nodeagent.settings.model import build
from tests.controlplane import binaries
from tests.unit.certs.authority import issue

_KUBEADM, _OURS = "kubeadm certs renew all", "nodeagent certs renew --all"
_CONFIG = """\
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: v1.34.4
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
localAPIEndpoint: {advertiseAddress: 192.0.2.10}
nodeRegistration: {name: cp1}
"""
_DIRECTORY = "etc/ssl/scanned"


def bench(base: str, scale: Scale) -> list[Section]:
    """Renewal and scans."""
    os.makedirs(base)
    return [_renewal(base, scale), _scan(base, 200, scale), _scan(base, scale.many, scale)]


# -- renewal ----------------------------------------------------------------------------------------------------------


def _renewal(base: str, scale: Scale) -> Section:
    kubeadm = str(binaries.ensured().path("kubeadm"))
    made, numbers = _control_plane(f"{base}/made", kubeadm), count()

    def fresh() -> str:
        target = f"{base}/{next(numbers)}"
        shutil.copytree(made, target)
        return target

    contestants: dict[str, Callable[[], Cost]] = {
        _KUBEADM: lambda: measure.run(
            _within(fresh(), [kubeadm, "certs", "renew", "all", "--config", f"{made}/config"])
        ),
        _OURS: lambda: measure.run([AGENT, "certs", "renew", "--all", "--root", fresh()]),
    }
    costs = contest(scale.rounds, contestants)
    return Section(
        "Renewal of a control plane: 11 certificates, RSA-2048",
        "kubeadm writes keys and certificates in place, without flushing them; we journal, verify, swap and keep "
        "copies. Most of both is the making of keys, whose time is a matter of luck. Nothing here restarts; that a "
        "real kube-apiserver fails no request meanwhile is what tests/kubeadm/test_rotation.py shows.",
        COSTS,
        cost_rows(costs),
        [Target("CPU of a renewal against kubeadm", costs[_OURS].cpu / costs[_KUBEADM].cpu, 2.0, " times")],
    )


def _control_plane(root: str, kubeadm: str) -> str:
    """A root with what `kubeadm init` writes to /etc/kubernetes, without manifests."""
    os.makedirs(f"{root}/etc/kubernetes")
    with open(f"{root}/config", "w") as file:
        file.write(_CONFIG)
    for phase in ("certs", "kubeconfig"):
        measure.run(_within(root, [kubeadm, "init", "phase", phase, "all", "--config", f"{root}/config"]))
    os.unlink(f"{root}/etc/kubernetes/kubelet.conf")  # which kubeadm does not renew
    return root


def _within(root: str, words: list[str]) -> list[str]:
    """kubeadm knows one place: a mount namespace of its own puts the root's there."""
    os.makedirs("/etc/kubernetes", exist_ok=True)
    script = 'mount --bind "$0" /etc/kubernetes && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, f"{root}/etc/kubernetes", *words]


# -- scan -------------------------------------------------------------------------------------------------------------


def _scan(base: str, number: int, scale: Scale) -> Section:
    root = f"{base}/scan-{number}"
    files = _certificates(root, number)
    pattern = f"/{_DIRECTORY}/*.crt"
    contestants: dict[str, Callable[[], Cost]] = {
        "nodeagent certs list": lambda: measure.run(
            [AGENT, "certs", "list", "--root", root, "--certs-paths", pattern], accept=(0, 3)
        ),
    }
    if number <= 1000:
        contestants["openssl x509, one process a file"] = lambda: _each_by_openssl(files)
    costs = contest(min(3, scale.rounds), contestants)
    first, again, parsed = _in_process(root, pattern)
    costs |= {"nodeagent, first scan (in process)": first, "nodeagent, nothing has changed (in process)": again}
    return Section(
        f"Scan of {number} certificates",
        "From files to facts and findings; a file that has not changed is not read again.",
        COSTS,
        cost_rows(costs),
        [Target("files parsed when nothing has changed", parsed, 0)],
        ["x509-certificate-exporter (enix) was not at hand"],
    )


def _certificates(root: str, number: int) -> list[str]:
    os.makedirs(f"{root}/{_DIRECTORY}")
    now = datetime.now(UTC)
    authority = issue("scanned", ca=True, begins=now - timedelta(days=400), ends=now + timedelta(days=3000))
    paths = [f"{root}/{_DIRECTORY}/{index}.crt" for index in range(number)]
    for index, path in enumerate(paths):
        leaf = issue(f"leaf-{index}", authority, begins=now - timedelta(days=1), ends=now + timedelta(days=300))
        with open(path, "wb") as file:
            file.write(leaf.pem)
    return paths


def _each_by_openssl(paths: list[str]) -> Cost:
    costs = [measure.run(["openssl", "x509", "-noout", "-subject", "-enddate", "-in", path]) for path in paths]
    return sum(costs[1:], costs[0])


def _in_process(root: str, pattern: str) -> tuple[Cost, Cost, int]:
    """The first scan, the next, and how many files that one parsed."""
    settings = build({"root": root, "certs.paths": (pattern,)}, {})
    with inspected(settings) as inspector:
        first = _timed(lambda: inspector.inventory(inspector.survey(), datetime.now(UTC)))
        again = _timed(lambda: inspector.inventory(inspector.survey(), datetime.now(UTC)))
        return first, again, inspector.library.parsed


def _timed(work: Callable[[], object]) -> Cost:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Cost(time.perf_counter() - wall, time.process_time() - cpu)
