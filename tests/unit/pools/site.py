"""A cluster in memory for the coordinator: nodes whose agents follow the node protocol, or fail.

The coordinator's view can be stale: `seen` is a copy that is only brought up to date when the test says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from nodeagent.changes.cluster import Announce, ChangeNode, Create, Disown, Evict, Remove, Step, WriteStatus
from nodeagent.errors import Transient
from nodeagent.observed import nodes
from nodeagent.observed.nodes import NodeView
from nodeagent.pools.controller import Coordinator, Rendering
from nodeagent.pools.plan import Rules
from nodeagent.pools.pool import CONFIGS, POOLS, ROLE, Object, Pool
from nodeagent.pools.rollout import Pace

RULES = Rules(Pace(canaries=1, max_failures=1), drain_timeout=600.0, keep_rendered=1, agent_grace=60.0)


def node(name: str, current: str = "", desired: str = "", state: str = "Done", **more: Any) -> NodeView:
    """A Ready node of the worker pool whose agent has spoken."""
    said = {nodes.STATE: state, nodes.CURRENT_CONFIG: current, nodes.DESIRED_CONFIG: desired}
    said |= more.pop("annotations", {})
    view = NodeView(name, f"uid-{name}", "1", "2026-01-01T00:00:00Z", {}, said, False, {"Ready": "True"})
    return replace(view, **more)


def config(name: str, role: str = "worker", text: str = "", **metadata: Any) -> Object:
    meta = {"name": name, "labels": {ROLE: role}, "resourceVersion": text or "1", **metadata}
    return {"metadata": meta, "spec": {"text": text}}


def pod(name: str, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "default", "uid": name, **metadata}, "status": {"phase": "Running"}}


@dataclass
class Site:
    """The API server's truth, and what the coordinator has seen of it."""

    truth: dict[str, NodeView] = field(default_factory=dict)
    pool_objects: dict[str, Pool] = field(default_factory=dict)
    config_objects: dict[str, Object] = field(default_factory=dict)
    seen: dict[str, NodeView] = field(default_factory=dict)
    on_node: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)  # pods that a budget holds
    lost: set[str] = field(default_factory=set)  # nodes whose agent is not there
    bad: set[str] = field(default_factory=set)  # configs that no node can take
    made: list[Step] = field(default_factory=list)
    evicted: list[str] = field(default_factory=list)
    now: float = 1_000_000.0
    leads: bool = True
    lives: int = 10**9  # steps that the coordinator makes before it dies

    def coordinator(self) -> Coordinator:
        return Coordinator(self, render, lambda _: None, RULES, lambda: self.leads, lambda: self.now)

    def add(self, *added: NodeView) -> None:
        self.truth |= {each.name: each for each in added}
        self.watch()

    def watch(self) -> None:
        """The watches bring everything up to date."""
        self.seen = dict(self.truth)

    # -- what the coordinator sees ------------------------------------------------------------------------------------

    def nodes(self) -> Mapping[str, NodeView]:
        return self.seen

    def pools(self) -> Mapping[str, Pool]:
        return self.pool_objects

    def configs(self) -> Mapping[str, Object]:
        return self.config_objects

    def configuration(self) -> Object | None:
        return None

    def absent(self) -> frozenset[str]:
        return frozenset(self.lost)

    def pods(self, node: str) -> Sequence[dict[str, Any]]:
        return list(self.on_node.get(node, ()))

    # -- what it does -------------------------------------------------------------------------------------------------

    def make(self, step: Step) -> Any:
        if self.lives <= 0:
            raise Died
        self.lives -= 1
        self.made.append(step)
        match step:
            case ChangeNode(view, annotations, unschedulable):
                return self._change(view, annotations, unschedulable)
            case Evict(name, found):
                return self._evict(name, found["metadata"]["name"])
            case Create(resource, document):
                self._create(resource, document)
            case Remove(_, name):
                del self.config_objects[name]
            case WriteStatus(_, name, status):
                self.pool_objects[name] = replace(self.pool_objects[name], status=status)
            case Disown() | Announce():
                pass
        return None

    def _change(self, view: NodeView, annotations: Mapping[str, str | None], unschedulable: bool | None) -> NodeView:
        stands = self.truth[view.name]
        if stands.resource_version != view.resource_version:
            raise Transient(f"node {view.name} has changed")
        said = {**stands.annotations, **annotations}
        kept = {key: value for key, value in said.items() if value is not None}
        cordoned = stands.unschedulable if unschedulable is None else unschedulable
        return self.put(replace(stands, annotations=kept, unschedulable=cordoned))

    def put(self, view: NodeView) -> NodeView:
        """The node is as `view` now, under a new version."""
        version = str(int(self.truth[view.name].resource_version) + 1)
        self.truth[view.name] = replace(view, resource_version=version)
        return self.truth[view.name]

    def _evict(self, node: str, name: str) -> str:
        if name in self.held:
            return "PodDisruptionBudget hold"
        self.evicted.append(name)
        self.on_node[node] = [each for each in self.on_node[node] if each["metadata"]["name"] != name]
        return ""

    def _create(self, resource: str, document: Object) -> None:
        if resource == POOLS:
            self.pool_objects[document["metadata"]["name"]] = Pool.of(document)
        else:
            assert resource == CONFIGS
            self.config_objects[document["metadata"]["name"]] = document

    # -- agents -------------------------------------------------------------------------------------------------------

    def agent(self, name: str) -> None:
        """One step of a node's agent: ask for a drain, apply, give back."""
        view = self.truth[name]
        desired, current = view.said(nodes.DESIRED_CONFIG), view.said(nodes.CURRENT_CONFIG)
        drain = view.said(nodes.DESIRED_DRAIN)
        if desired and desired != current:
            if drain != nodes.drain_of(desired) and desired not in self.bad:
                self._say(view, {nodes.STATE: "Working", nodes.DESIRED_DRAIN: nodes.drain_of(desired)})
            elif desired in self.bad:
                self._say(view, {nodes.STATE: "Unreconcilable"} | _given_back(drain))
            elif view.said(nodes.LAST_APPLIED_DRAIN) == drain:
                assert view.unschedulable, f"{name} works without having been cordoned"
                assert not self.on_node.get(name), f"{name} works under its pods"
                self._say(view, {nodes.STATE: "Done", nodes.CURRENT_CONFIG: desired} | _given_back(drain))
        elif desired:
            self._say(view, {nodes.STATE: "Done"} | _given_back(drain))

    def _say(self, view: NodeView, said: dict[str, str]) -> None:
        if any(view.annotations.get(key) != value for key, value in said.items()):
            self.put(replace(view, annotations={**view.annotations, **said}))


class Died(BaseException):
    """The coordinator's process is gone."""


def _given_back(drain: str) -> dict[str, str]:
    config = drain.removeprefix("drain-")
    return {nodes.DESIRED_DRAIN: nodes.uncordon_of(config)} if drain.startswith("drain-") else {}


def render(pool: str, sources: Sequence[Object]) -> Rendering:
    """A rendered config named after what it comes from."""
    text = "-".join(f"{one['metadata']['name']}.{one['spec'].get('text', '')}" for one in sources)
    name = f"render-{pool}-{text}"
    return Rendering(name, {"metadata": {"name": name, "labels": {ROLE: pool}}, "spec": {}})
