"""A rendered config depends on what was declared and on nothing else."""

from __future__ import annotations

import hashlib
import itertools
import json

import pytest

from nodeagent.errors import Rejected
from nodeagent.machineconfig.api import MachineConfig
from nodeagent.machineconfig.ignition.model import BLANK
from nodeagent.machineconfig.render import EMPTY, Rendered, render
from tests.unit.machineconfig.documents import declared, files

A = declared("10-a", **files({"path": "/a", "contents": {"source": "data:,a"}}))
B = declared("20-b", kernel_arguments=("quiet",), **files({"path": "/b", "contents": {"source": "data:,%C3%A4"}}))
INFRA = declared("05-i", role="infra", **files({"path": "/a", "contents": {"source": "data:,i"}}))
MASTER = declared("00-m", role="master", **files({"path": "/m", "contents": {"source": "data:,m"}}))


def sources(rendered: Rendered) -> dict[str, str | None]:
    return {file.path: file.contents.source for file in rendered.config.storage.files}


def test_the_name_tells_the_pool_and_the_contents() -> None:
    """Nodes compare names across versions of the agent, so the bytes that are hashed must never change."""
    file = '{"contents":{"source":"data:,a"},"overwrite":true,"path":"/a"}'
    spec = f'{{"config":{{"ignition":{{"version":"3.4.0"}},"storage":{{"files":[{file}]}}}},"kernelArguments":[]}}'
    assert render([A]).name == f"render-worker-{hashlib.sha256(spec.encode()).hexdigest()[:32]}"


@pytest.mark.parametrize("order", list(itertools.permutations([A, B, INFRA])))
def test_the_order_of_the_sources_means_nothing(order: tuple[MachineConfig, ...]) -> None:
    assert render(order, "infra").name == render([A, B, INFRA], "infra").name


def test_different_contents_have_different_names() -> None:
    names = {render(one).name for one in ([], [A], [B], [A, B], [declared("10-a", kernel_arguments=("quiet",))])}
    assert len(names) == 5


def test_pools_get_their_own_and_custom_pools_worker_s_as_well() -> None:
    everything = [A, INFRA, MASTER]
    assert sources(render(everything, "worker")) == {"/a": "data:,a"}
    assert sources(render(everything, "master")) == {"/m": "data:,m"}
    assert sources(render(everything, "infra")) == {"/a": "data:,i"}


def test_what_is_left_out_is_named() -> None:
    assert [str(warning) for warning in render([A, MASTER]).warnings] == [
        "MachineConfig 00-m (00-m.yaml): $.metadata.labels: has role 'master' and is left out of pool 'worker'"
    ]


def test_nothing_renders_to_the_blank_config() -> None:
    assert EMPTY("worker").config == BLANK
    assert EMPTY("worker").document()["spec"] == {"config": {"ignition": {"version": "3.4.0"}}, "kernelArguments": []}


def test_the_document_is_a_machine_config_that_is_read_back() -> None:
    rendered = render([A, B])
    document = json.loads(rendered.encode())
    assert document == json.loads(json.dumps(rendered.document()))
    assert document["kind"] == "MachineConfig"
    assert document["metadata"]["name"] == rendered.name
    assert document["metadata"]["labels"] == {"machineconfiguration.alauda.io/role": "worker"}
    again = Rendered.from_document(document)
    assert (again.name, again.pool, again.config, again.kernel_arguments) == (
        rendered.name,
        "worker",
        rendered.config,
        ("quiet",),
    )


@pytest.mark.parametrize(
    "document", [{}, {"metadata": {"name": "x"}, "spec": {"config": {"storage": 1}}}, {"metadata": {"name": "x"}}]
)
def test_a_damaged_document_is_rejected(document: dict[str, object]) -> None:
    with pytest.raises(Rejected):
        Rendered.from_document(document)


def test_every_problem_of_every_source_and_of_the_merge() -> None:
    configs = [
        declared("a", **files({"path": "/x", "contents": {"source": "data:,"}, "user": {"id": 1}}, {"path": "y"})),
        declared("b", kernel_arguments=("a\nb",), **files({"path": "/x", "user": {"name": "root"}})),
    ]
    with pytest.raises(Rejected) as caught:
        render(configs)
    assert [f"{problem.object}: {problem.path}" for problem in caught.value.problems] == [
        "MachineConfig a (a.yaml): $.spec.config.storage.files[1].path",
        "MachineConfig a (a.yaml): $.spec.config.storage.files[?@.path=='y'].overwrite",
        "MachineConfig a (a.yaml) + MachineConfig b (b.yaml): $.spec.config.storage.files[?@.path=='/x'].user",
        "MachineConfig b (b.yaml): $.spec.kernelArguments[0]",
    ]


def test_a_machine_config_may_hold_kernel_arguments_only() -> None:
    assert render([MachineConfig("a", "worker", kernel_arguments=("quiet",))]).kernel_arguments == ("quiet",)


def test_warnings_are_told_once() -> None:
    rendered = render([declared("a", **files({"path": "/x", "contents": {"source": "data:,"}, "mode": 0o4755}))])
    assert [warning.path for warning in rendered.warnings] == ["$.spec.config.storage.files[0].mode"]


def test_a_pool_has_a_name() -> None:
    with pytest.raises(Rejected, match="pool 'a b': is no name of a pool"):
        render([], "a b")
