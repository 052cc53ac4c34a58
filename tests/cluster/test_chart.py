"""The Helm chart: the objects of the kustomization, each value where it belongs, and a real API server takes it all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from nodeagent.settings.model import FIELDS
from tests.capabilities import require
from tests.cluster.client import ApiError
from tests.cluster.controlplane import ControlPlane, eventually
from tests.cluster.manifests import DEPLOY, built, manifests
from tests.helm.chart import CHART, Refused, lint, packaged, rendered

_WHOLE = {"namespace": {"create": True}, "crds": {"keep": False}}
_EVERYTHING = {
    "namespace": {"create": True},
    "agent": {"settings": {"drift.sweep_interval": 30, "log.level": "debug", "fetch.max_bytes": 123456789}},
    "approval": {"enabled": True},
    "egress": {"enabled": True, "northbound": "tcp:192.0.2.1:6641"},
    "encryption": {"enabled": True},
    "monitoring": {"dashboards": True},
}
_OFF = {"agent": {"enabled": False}, "coordinator": {"enabled": False}}


@pytest.fixture(autouse=True)
def helm() -> None:
    require("helm", "control-plane")


def _by_name(objects: Iterable[dict[str, Any]]) -> dict[tuple[str, str, str], dict[str, Any]]:
    """By kind, namespace and name."""
    named = [((o["kind"], o["metadata"].get("namespace", ""), o["metadata"]["name"]), o) for o in objects]
    assert len(dict(named)) == len(named)
    return dict(named)


def _container(objects: Iterable[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    (found,) = [each for each in objects if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    (container,) = found["spec"]["template"]["spec"]["containers"]
    return dict(container)


# -- one source -------------------------------------------------------------------------------------------------------


def test_the_defaults_are_the_kustomization(tmp_path: Path) -> None:
    assert _by_name(rendered(_WHOLE, scratch=tmp_path)) == _by_name(manifests())


def test_the_archive_holds_what_the_links_lead_to(tmp_path: Path) -> None:
    archive = packaged(tmp_path)
    assert _by_name(rendered(_WHOLE, scratch=tmp_path, chart=archive)) == _by_name(manifests())


def test_the_approver_is_that_of_its_kustomization(tmp_path: Path) -> None:
    values = _OFF | {"crds": {"install": False}, "approval": {"enabled": True}}
    assert _by_name(rendered(values, scratch=tmp_path)) == _by_name(manifests("approval"))


def test_the_verifier_is_that_of_its_kustomization_and_the_remotes(tmp_path: Path) -> None:
    values = _OFF | {"crds": {"install": False}, "egress": {"enabled": True, "northbound": "tcp:192.0.2.1:6641"}}
    objects = _by_name(rendered(values, scratch=tmp_path))
    remotes = objects.pop(("ConfigMap", "nodeagent", "nodeagent-egress"))
    assert remotes["data"] == {"northbound": "tcp:192.0.2.1:6641"}
    assert objects == _by_name(manifests("egress"))


def test_gateways_are_programmed_where_the_mode_says_so(tmp_path: Path) -> None:
    settings = {"egress.mode": "program"}
    values = {"enabled": True, "northbound": "tcp:192.0.2.1:6641", "settings": settings}
    objects = _by_name(rendered(_OFF | {"crds": {"install": False}, "egress": values}, scratch=tmp_path))
    del objects["ConfigMap", "nodeagent", "nodeagent-egress"]
    assert objects == _by_name(manifests("program"))


def _base_definition(each: dict[str, Any]) -> bool:
    return each["kind"] == "CustomResourceDefinition" and "encryption" not in each["metadata"]["name"]


def test_encryption_is_that_of_its_kustomization(tmp_path: Path) -> None:
    """The agent's own custom resources come along with its own."""
    values = _OFF | {"crds": {"keep": False}, "encryption": {"enabled": True}}
    objects = [each for each in rendered(values, scratch=tmp_path) if not _base_definition(each)]
    assert _by_name(objects) == _by_name(manifests("encryption"))


def test_alaudas_namespace_is_that_of_its_component(tmp_path: Path) -> None:
    """Chosen as an administrator does: `kustomize edit add component alauda`."""
    values = _WHOLE | {"agent": {"reportNamespace": "cpaas-system"}}
    copy = tmp_path / "deploy"
    shutil.copytree(DEPLOY, copy, ignore=shutil.ignore_patterns("chart"))
    with (copy / "kustomization.yaml").open("a") as kustomization:
        kustomization.write("components:\n  - alauda\n")
    assert _by_name(rendered(values, scratch=tmp_path)) == _by_name(built(copy))


# -- values -----------------------------------------------------------------------------------------------------------


def test_helm_has_nothing_to_say_against_it() -> None:
    assert "1 chart(s) linted, 0 chart(s) failed" in lint()


def test_nothing_is_left_where_all_is_off(tmp_path: Path) -> None:
    assert rendered(_OFF | {"crds": {"install": False}}, scratch=tmp_path) == []


@pytest.mark.parametrize(("off", "gone", "stays"), [("agent", "agent", "pools"), ("coordinator", "pools", "agent")])
def test_an_identity_that_is_off_is_granted_nothing(off: str, gone: str, stays: str, tmp_path: Path) -> None:
    objects = rendered({off: {"enabled": False}}, scratch=tmp_path)
    subjects = {subject["name"] for each in objects for subject in each.get("subjects", ())}
    accounts = {each["metadata"]["name"] for each in objects if each["kind"] == "ServiceAccount"}
    assert subjects == accounts == {stays}
    assert gone not in {each["metadata"]["name"] for each in objects if each["kind"] in {"Deployment", "DaemonSet"}}


def test_everything_follows_the_namespace_of_the_release(tmp_path: Path) -> None:
    values = _EVERYTHING | {"monitoring": {"rules": True, "dashboards": True}}
    objects = rendered(values, scratch=tmp_path, namespace="elsewhere")
    assert {each["metadata"].get("namespace", "elsewhere") for each in objects} == {"elsewhere", "default"}
    assert {each["namespace"] for o in objects for each in o.get("subjects", ())} == {"elsewhere"}
    conditions = [each for o in objects for each in o.get("spec", {}).get("matchConditions", ())]
    assert conditions
    assert all("'system:serviceaccount:elsewhere:" in each["expression"] for each in conditions)


def test_settings_become_variables_beside_those_of_the_manifest(tmp_path: Path) -> None:
    settings = {
        "cluster.enabled": False,
        "drift.sweep_interval": 30,
        "fetch.max_bytes": 123456789,
        "log.level": "debug",
    }
    env = _container(rendered({"agent": {"settings": settings}}, scratch=tmp_path), "DaemonSet", "agent")["env"]
    names = [each["name"] for each in env]
    assert len(set(names)) == len(names)
    assert {"NODEAGENT_ROOT", "NODEAGENT_NODE_NAME"} <= set(names)
    given = {each["name"]: each["value"] for each in env if "value" in each}
    for key, text in (("drift.sweep_interval", "30"), ("fetch.max_bytes", "123456789"), ("cluster.enabled", "false")):
        assert given[FIELDS[key].variable] == text
        FIELDS[key].kind.parse(text)


def test_pods_are_placed_and_sized_as_asked(tmp_path: Path) -> None:
    asked = {
        "resources": {"limits": {"memory": "1Gi"}},
        "nodeSelector": {"example.test/pool": "a"},
        "tolerations": [{"key": "a", "operator": "Exists"}],
        "priorityClassName": "important",
        "podAnnotations": {"example.test/scrape": "true"},
    }
    values = {name: asked | {"enabled": True} for name in ("agent", "coordinator", "approval", "egress")}
    values["egress"]["northbound"] = "tcp:192.0.2.1:6641"
    workloads = [o for o in rendered(values, scratch=tmp_path) if o["kind"] in {"DaemonSet", "Deployment"}]
    assert len(workloads) == len(values)
    for workload in workloads:
        template = workload["spec"]["template"]
        assert template["metadata"]["annotations"] == asked["podAnnotations"]
        assert template["spec"]["containers"][0]["resources"] == asked["resources"]
        for key in ("nodeSelector", "tolerations", "priorityClassName"):
            assert template["spec"][key] == asked[key]


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ({"repository": "registry.example/nodeagent"}, "registry.example/nodeagent:0.1.0"),
        ({"repository": "r.example/n", "tag": "9"}, "r.example/n:9"),
        ({"repository": "r.example/n", "digest": "sha256:" + "a" * 64}, "r.example/n@sha256:" + "a" * 64),
    ],
)
def test_the_image_is_named_by_tag_or_digest(image: dict[str, str], name: str, tmp_path: Path) -> None:
    values = {"image": image | {"pullPolicy": "Always"}, "imagePullSecrets": [{"name": "pull"}]}
    for kind, workload in (("DaemonSet", "agent"), ("Deployment", "pools")):
        objects = rendered(values, scratch=tmp_path)
        container = _container(objects, kind, workload)
        assert (container["image"], container["imagePullPolicy"]) == (name, "Always")


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"egress": {"enabled": True}}, "northbound"),
        ({"agent": {"setings": {}}}, "setings"),
        ({"agent": {"settings": {"drift.swep": 3}}}, "drift.swep"),
        ({"coordinator": {"roles": ["pool"]}}, "roles"),
        ({"coordinator": {"replicas": 0}}, "replicas"),
        ({"image": {"digest": "sha256:abc"}}, "digest"),
    ],
)
def test_wrong_values_are_refused_by_name(values: dict[str, Any], word: str, tmp_path: Path) -> None:
    with pytest.raises(Refused, match=word):
        rendered(values, scratch=tmp_path)


# -- a real API server ------------------------------------------------------------------------------------------------


def test_an_api_server_takes_everything(own_control_plane: ControlPlane, tmp_path: Path) -> None:
    """In another namespace than that of the manifests; then an agent's token writes its own Node, and no other's."""
    plane = own_control_plane
    plane.apply_crds()
    for each in _in_order(rendered(_EVERYTHING, scratch=tmp_path, namespace="elsewhere")):
        plane.admin.apply(each)
    for name in ("own", "other"):
        plane.admin.create("/api/v1/nodes", {"metadata": {"name": name}})
    agent = plane.client_with_token(plane.service_account_token("elsewhere", "agent", "own"))
    patch = {"metadata": {"annotations": {"machineconfiguration.alauda.io/state": "Done"}}}

    def is_refused() -> bool:
        try:
            agent.patch("/api/v1/nodes/other/status?dryRun=All", patch)
        except ApiError:
            return True
        return False

    eventually(is_refused, "the policies are in force")
    agent.patch("/api/v1/nodes/own/status", patch)


def _in_order(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The namespace first."""
    return sorted(objects, key=lambda each: each["kind"] != "Namespace")


def test_custom_resources_outlive_the_release(tmp_path: Path) -> None:
    definitions = [o for o in rendered({}, scratch=tmp_path) if o["kind"] == "CustomResourceDefinition"]
    assert len(definitions) == len(list((CHART / "files/crds").glob("*.yaml")))
    assert all(o["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep" for o in definitions)


def test_dashboards_come_along_unchanged(tmp_path: Path) -> None:
    (found,) = [o for o in rendered(_EVERYTHING, scratch=tmp_path) if o["metadata"]["name"] == "nodeagent-dashboards"]
    files = {path.name: json.loads(path.read_text()) for path in (CHART / "files/monitoring/dashboards").glob("*.json")}
    assert {name: json.loads(text) for name, text in found["data"].items()} == files
