"""Metrics: a fixed set of series, all there from the start, all documented."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from nodeagent.agent import certrotator, egressrole, encryption, viprole
from nodeagent.certs import approvals
from nodeagent.certs.series import COLUMNS
from nodeagent.egress.node import series as gateways
from nodeagent.pools import series as pools
from nodeagent.telemetry.metrics.agent import AgentMetrics
from nodeagent.telemetry.metrics.configuration import ApplyOutcome, ConfigurationMetrics, Recovery
from nodeagent.telemetry.metrics.registry import Registry, pages
from nodeagent.telemetry.metrics.tables import Tables
from nodeagent.vip import series as vip

REFERENCE = Path(__file__).parents[3] / "docs" / "metrics.md"

Series = tuple[str, tuple[tuple[str, str], ...]]


class Metrics:
    """All metrics of one agent."""

    def __init__(self) -> None:
        self.registry = Registry("1.2.3")
        self.agent = AgentMetrics(self.registry)
        for loop in ("machineconfig", "drift"):
            self.agent.expect_loop(loop)
        for job in ("machineconfig", "certs"):
            self.agent.expect_job(job)
        self.registry.counters("nodeagent_cert_renewals", "Renewals", "result", certrotator.RESULTS)
        Tables(
            self.registry,
            {
                **COLUMNS,
                **pools.COLUMNS,
                **vip.COLUMNS,
                **viprole.COLUMNS,
                **egressrole.COLUMNS,
                **gateways.COLUMNS,
                **approvals.COLUMNS,
                **encryption.COLUMNS,
            },
        )
        self.registry.counter(approvals.APPROVALS, "Requests approved")
        self.configuration = ConfigurationMetrics(
            self.registry, drift_kinds=["content", "mode"], drift_actions=["alert", "ignore"]
        )


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def samples(metrics: Metrics) -> dict[Series, float]:
    """Every sample of the agent's own, as Prometheus' own parser reads it."""
    parse: Callable[[str], Iterable[Metric]] = text_string_to_metric_families
    families = parse(metrics.registry.exposition().decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
        if family.name.startswith("nodeagent_")
    }


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return samples(metrics)[name, tuple(sorted(labels.items()))]


def everything_happens(metrics: Metrics) -> None:
    for outcome in ApplyOutcome:
        metrics.configuration.applied(outcome, 0.2)
    for result in Recovery:
        metrics.configuration.recovered(result)
    metrics.configuration.drift({("mode", "alert"): 3})
    metrics.configuration.drift_reported(writer_known=True)
    metrics.configuration.drift_reported(writer_known=False)
    metrics.configuration.watch_overflowed()
    metrics.agent.succeeded("drift", 1000.0)
    metrics.agent.failed("drift")
    metrics.agent.degraded("certs", True)
    metrics.configuration.reboot_pending(True)
    metrics.configuration.in_place("render-worker-abc", 7)


def test_no_event_adds_a_series_but_the_config_that_is_in_place(metrics: Metrics) -> None:
    before = samples(metrics).keys()
    everything_happens(metrics)
    added = samples(metrics).keys() - before
    assert {name for name, _ in added} == {"nodeagent_config_info"}


def test_each_event_shows(metrics: Metrics) -> None:
    everything_happens(metrics)
    for outcome in ("applied", "unchanged", "undone", "rejected", "failed"):
        assert value(metrics, "nodeagent_applies_total", outcome=outcome) == 1
    assert value(metrics, "nodeagent_apply_duration_seconds_count") == 5
    assert value(metrics, "nodeagent_apply_duration_seconds_bucket", le="0.1") == 0
    assert value(metrics, "nodeagent_apply_duration_seconds_bucket", le="0.25") == 5
    assert value(metrics, "nodeagent_journal_recoveries_total", result="resumed") == 1
    assert value(metrics, "nodeagent_drift_reports_total", writer="known") == 1
    assert value(metrics, "nodeagent_drift_reports_total", writer="unknown") == 1
    assert value(metrics, "nodeagent_watch_overflows_total") == 1
    assert value(metrics, "nodeagent_loop_last_success_timestamp_seconds", controller="drift") == 1000
    assert value(metrics, "nodeagent_loop_failures_total", controller="drift") == 1
    assert value(metrics, "nodeagent_loop_failures_total", controller="machineconfig") == 0
    assert value(metrics, "nodeagent_degraded") == 1
    assert value(metrics, "nodeagent_job_degraded", agent_job="certs") == 1
    assert value(metrics, "nodeagent_job_degraded", agent_job="machineconfig") == 0
    assert value(metrics, "nodeagent_reboot_pending") == 1
    assert value(metrics, "nodeagent_generation") == 7
    python = ".".join(map(str, sys.version_info[:3]))
    assert value(metrics, "nodeagent_build_info", version="1.2.3", python=python) == 1


def test_the_node_is_degraded_until_the_last_job_is_well(metrics: Metrics) -> None:
    metrics.agent.degraded("certs", True)
    metrics.agent.degraded("machineconfig", True)
    metrics.agent.degraded("certs", False)
    assert value(metrics, "nodeagent_degraded") == 1
    metrics.agent.degraded("machineconfig", False)
    assert value(metrics, "nodeagent_degraded") == 0


def test_the_age_of_a_watch_is_asked_for_at_each_scrape(metrics: Metrics) -> None:
    ages = iter([float("inf"), 7.5])
    metrics.agent.expect_watch("node", lambda: next(ages))
    assert value(metrics, "nodeagent_watch_age_seconds", watch="node") == float("inf")
    assert value(metrics, "nodeagent_watch_age_seconds", watch="node") == 7.5


def test_drift_that_is_gone_counts_nothing(metrics: Metrics) -> None:
    metrics.configuration.drift({("mode", "alert"): 3})
    assert value(metrics, "nodeagent_drift_paths", kind="mode", action="alert") == 3
    metrics.configuration.drift({("content", "ignore"): 1})
    assert value(metrics, "nodeagent_drift_paths", kind="mode", action="alert") == 0
    assert value(metrics, "nodeagent_drift_paths", kind="content", action="ignore") == 1


def test_a_new_config_replaces_the_old(metrics: Metrics) -> None:
    metrics.configuration.in_place("render-worker-old", 1)
    metrics.configuration.in_place("render-worker-new", 2)
    configs = [labels for name, labels in samples(metrics) if name == "nodeagent_config_info"]
    assert configs == [(("config", "render-worker-new"),)]


def test_a_label_value_that_was_not_announced_is_refused(metrics: Metrics) -> None:
    before = samples(metrics)
    with pytest.raises(KeyError):
        metrics.configuration.applied("ENOSPC: no space left on /var", 1.0)
    with pytest.raises(KeyError):
        metrics.configuration.drift({("mode", "alert"): 1, ("/etc/passwd", "alert"): 1})
    with pytest.raises(KeyError):
        metrics.agent.failed("unknown")
    with pytest.raises(KeyError):
        metrics.agent.degraded("unknown", True)
    assert samples(metrics) == before


def test_the_process_is_measured_too(metrics: Metrics) -> None:
    assert b"\nprocess_resident_memory_bytes " in metrics.registry.exposition()


def test_two_agents_in_one_process_do_not_share_metrics(metrics: Metrics) -> None:
    other = Metrics()
    other.agent.failed("drift")
    assert value(metrics, "nodeagent_loop_failures_total", controller="drift") == 0


def test_the_page_says_that_it_is_openmetrics(metrics: Metrics) -> None:
    page = pages(metrics.registry)["/metrics"]()
    assert page.status == 200
    assert page.content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert page.body.endswith(b"# EOF\n")


def test_every_metric_is_documented_and_no_other(metrics: Metrics) -> None:
    exposed = set(re.findall(r"^# TYPE (nodeagent_\w+) (\w+)", metrics.registry.exposition().decode(), re.MULTILINE))
    suffix = {"counter": "_total", "info": "_info"}
    documented = set(re.findall(r"^\| `(nodeagent_\w+)` \| (\w+)", REFERENCE.read_text(), re.MULTILINE))
    assert documented == {(name + suffix.get(kind, ""), kind) for name, kind in exposed}


def test_the_library_loads_neither_servers_nor_tls_and_stays_whole_for_others() -> None:
    program = (
        "import sys; import nodeagent.telemetry.metrics.registry;"
        "print(*{'http.server', 'ssl', 'wsgiref', 'urllib.request', 'prometheus_client'} & set(sys.modules));"
        "import prometheus_client; print(prometheus_client.Counter.__name__, prometheus_client.metrics.__name__)"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.splitlines() == ["", "Counter prometheus_client.metrics"]
