"""The manifests below deploy/, as `kubectl apply -k deploy` would send them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.controlplane import ControlPlane
from tests.controlplane import binaries

DEPLOY = Path(__file__).parents[2] / "deploy"


def manifests(overlay: str = "") -> list[dict[str, Any]]:
    """All objects of the kustomization, or of one beside it, in the order in which they are applied."""
    return built(DEPLOY / overlay)


def built(kustomization: Path) -> list[dict[str, Any]]:
    kubectl = binaries.ensured().path("kubectl")
    done = subprocess.run(
        [kubectl, "kustomize", kustomization],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    return list(yaml.safe_load_all(done.stdout))


def deploy(control_plane: ControlPlane, *overlays: str) -> None:
    """Apply everything, the custom resources first, then `overlays`; a field that the API does not know is an error."""
    control_plane.apply_crds()
    for overlay in ("", *overlays):
        for manifest in manifests(overlay):
            control_plane.admin.apply(manifest)
