"""The alerts, by promtool: over what a real agent serves, and each by itself at and below its threshold."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.capabilities import require
from tests.monitoring.troubled import scraped, troubled_agent

_RULES = Path(__file__).parents[2] / "deploy" / "monitoring" / "alerts.yaml"
_ALERTS = [rule["alert"] for group in yaml.safe_load(_RULES.read_text())["groups"] for rule in group["rules"]]
_SCRAPE = {"job": "nodeagent", "instance": "n1"}
_DAY = 86400
_FIRING = 'group by (alertname) (ALERTS{alertstate="firing"})'


@dataclass(frozen=True)
class Case:
    """Series in promtool's notation, one value a minute, that fire an alert (and `also` others) or do not."""

    alert: str
    fires: Mapping[str, str]
    keeps: Mapping[str, str]
    also: tuple[str, ...] = ()


CASES = (
    Case("NodeagentDown", {"up": "0x3000"}, {"up": "1x3000"}),
    Case(
        "NodeagentLoopStuck",
        {"nodeagent_loop_last_success_timestamp_seconds{controller='certs'}": "60x3000"},
        {
            "nodeagent_loop_last_success_timestamp_seconds{controller='certs'}": "60+60x3000",
            "nodeagent_loop_last_success_timestamp_seconds{controller='machineconfig'}": "0x3000",
            "nodeagent_loop_last_success_timestamp_seconds{controller='events'}": "60x3000",
        },
    ),
    Case(
        "NodeagentWatchStale",
        {"nodeagent_watch_age_seconds{watch='node'}": "60+60x3000"},
        {"nodeagent_watch_age_seconds{watch='node'}": "60 30 59 899x3000"},
    ),
    Case(
        "NodeagentRestarting",
        {"process_start_time_seconds": "0+60x3000"},
        {"process_start_time_seconds": "0x2990 1 2 3"},
    ),
    Case(
        "NodeagentDrift",
        {"nodeagent_drift_paths{kind='mode',action='alert'}": "2x3000"},
        {
            "nodeagent_drift_paths{kind='mode',action='alert'}": "0x3000",
            "nodeagent_drift_paths{kind='mode',action='ignore'}": "2x3000",
        },
    ),
    Case(
        "NodeagentDegraded",
        {"nodeagent_job_degraded{agent_job='certs'}": "1x3000"},
        {"nodeagent_job_degraded{agent_job='certs'}": "0x3000"},
    ),
    Case(
        "NodeagentApplyFailed",
        {"nodeagent_applies_total{outcome='undone'}": "0x2990 1x10"},
        {
            "nodeagent_applies_total{outcome='undone'}": "5x3000",
            "nodeagent_applies_total{outcome='applied'}": "0+1x3000",
        },
    ),
    Case(
        "NodeagentRebootPending", {"nodeagent_reboot_pending": "1x3000"}, {"nodeagent_reboot_pending": "0x1600 1x1400"}
    ),
    Case(
        "NodeagentRolloutHalted",
        {"nodeagent_pool_condition{pool='worker',condition='RolloutHalted'}": "1x3000"},
        {
            "nodeagent_pool_condition{pool='worker',condition='RolloutHalted'}": "0x3000",
            "nodeagent_pool_condition{pool='worker',condition='Updated'}": "1x3000",
        },
    ),
    Case(
        "NodeagentRolloutStalled",
        {
            "nodeagent_pool_condition{pool='worker',condition='Updating'}": "1x3000",
            "nodeagent_pool_nodes{pool='worker',state='updated'}": "3x3000",
        },
        {
            "nodeagent_pool_condition{pool='worker',condition='Updating'}": "1x3000",
            "nodeagent_pool_nodes{pool='worker',state='updated'}": "0+1x3000",
        },
    ),
    *(
        Case(
            name, {"certificate_expires_status{path='/a'}": f"{status}x3000"}, {"certificate_expires_status": "0x3000"}
        )
        for name, status in (
            ("NodeagentCertificateEnds30d", 1),
            ("NodeagentCertificateEnds10d", 2),
            ("NodeagentCertificateExpired", 3),
        )
    ),
    Case(
        "NodeagentLoopbackCertificateEnds",
        {"nodeagent_cert_loopback_not_after_timestamp_seconds{component='etcd'}": f"{20 * _DAY}x3000"},
        {"nodeagent_cert_loopback_not_after_timestamp_seconds{component='etcd'}": f"{40 * _DAY}x3000"},
    ),
    Case(
        "NodeagentCertificatePairBroken",
        {"nodeagent_cert_key_match{path='/a'}": "1x3000", "nodeagent_cert_chain_ok{path='/a'}": "0x3000"},
        {"nodeagent_cert_key_match{path='/a'}": "1x3000", "nodeagent_cert_chain_ok{path='/a'}": "1x3000"},
    ),
    Case(
        "NodeagentCertificateRenewalFailed",
        {"nodeagent_cert_renewals_total{result='undone'}": "0x2990 1x10"},
        {"nodeagent_cert_renewals_total{result='renewed'}": "0+1x3000"},
    ),
    Case(
        "NodeagentServingRequestWaits",
        {"nodeagent_serving_request_age_seconds{decision='refused'}": "0+60x3000"},
        {"nodeagent_serving_request_age_seconds{decision='refused'}": "3000x3000"},
    ),
    Case(
        "NodeagentVipFlapping",
        {"nodeagent_vip_state_since_timestamp_seconds{vrrp_instance='VI_1'}": "0+60x3000"},
        {"nodeagent_vip_state_since_timestamp_seconds{vrrp_instance='VI_1'}": "0x2995 1 2 3 4 5"},
    ),
    Case(
        "NodeagentEgressSessionDown",
        {
            "nodeagent_egress_session_up{gateway='a/b',nexthop='10.0.0.1'}": "0x3000",
            "nodeagent_egress_session_up{gateway='a/b',nexthop='10.0.0.2'}": "1x3000",
        },
        {"nodeagent_egress_session_up{gateway='a/b',nexthop='10.0.0.1'}": "1x3000"},
    ),
    Case(
        "NodeagentEgressGatewayLost",
        {"nodeagent_egress_session_up{gateway='a/b',nexthop='10.0.0.1'}": "0x3000"},
        {
            "nodeagent_egress_session_up{gateway='a/b',nexthop='10.0.0.1'}": "1x3000",
            "nodeagent_egress_session_up{gateway='a/c',nexthop='10.0.0.2'}": "1x3000",
        },
        ("NodeagentEgressSessionDown",),
    ),
    Case(
        "NodeagentEgressFinding",
        {"nodeagent_egress_findings{gateway='a/b',code='nexthop-missing'}": "1x3000"},
        {"nodeagent_egress_findings{gateway='a/b',code='nexthop-missing'}": "0x3000"},
    ),
    Case(
        "NodeagentVipNowhere",
        {"nodeagent_vip_held{vrrp_instance='VI_1',address='10.0.0.100'}": "1x2990 0x10"},
        {
            "nodeagent_vip_held{vrrp_instance='VI_1',address='10.0.0.100'}": "0x3000",
            "nodeagent_vip_held{vrrp_instance='VI_2',address='10.0.0.100'}": "1x3000",
        },
    ),
    Case(
        "NodeagentVipConflict",
        {"nodeagent_vip_conflicts{address='10.0.0.100',reason='VIPDuplicateHolder'}": "1x3000"},
        {"nodeagent_vip_conflicts{address='10.0.0.100',reason='VIPDuplicateHolder'}": "0x3000"},
    ),
    Case(
        "NodeagentVipFinding",
        {"nodeagent_vip_findings{reason='DuplicateOwner'}": "1x3000"},
        {"nodeagent_vip_findings{reason='DuplicateOwner'}": "0x2990 1 0x9"},
    ),
    Case(
        "NodeagentVipUnfit",
        {"nodeagent_vip_check_failed{check='etcd',scope='shared'}": "1x3000"},
        {"nodeagent_vip_check_failed{check='etcd',scope='shared'}": "0x3000"},
    ),
)


def _check_that_just_these_fire(alerts: set[str], series: Mapping[str, str], directory: Path) -> None:
    """By promtool, after all minutes have gone by."""
    samples = [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in sorted(alerts)]
    asked = {"eval_time": "3000m", "expr": _FIRING, "exp_samples": samples}
    inputs = [{"series": _labelled(name), "values": values} for name, values in series.items()]
    test = {"interval": "1m", "input_series": inputs, "promql_expr_test": [asked]}
    file = directory / "rules.test.yaml"
    file.write_text(json.dumps({"rule_files": [str(_RULES)], "evaluation_interval": "5m", "tests": [test]}))
    done = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _labelled(series: str) -> str:
    name, _, labels = series.partition("{")
    told = [f"{key}='{value}'" for key, value in _SCRAPE.items()]
    return f"{name}{{{','.join([labels.rstrip('}'), *told] if labels else told)}}}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.alert)
def test_each_alert_fires_at_its_threshold_and_not_below(case: Case, tmp_path: Path) -> None:
    require("promtool")
    _check_that_just_these_fire({case.alert, *case.also}, case.fires, tmp_path)
    _check_that_just_these_fire(set(), case.keeps, tmp_path)


def test_every_alert_has_its_case() -> None:
    assert sorted(case.alert for case in CASES) == sorted(_ALERTS)


def test_what_a_troubled_agent_serves_fires_what_it_should(tmp_path: Path) -> None:
    require("promtool")
    with troubled_agent(tmp_path) as address:
        text = scraped(address)
    # promtool's clock begins at zero: what is compared with the time has its own cases.
    told = {name: values for name, values in _constant(text) if "timestamp" not in name}
    fires = {
        "NodeagentDrift",
        "NodeagentDegraded",
        "NodeagentCertificateEnds30d",
        "NodeagentCertificateExpired",
    }
    _check_that_just_these_fire(fires, told, tmp_path)


def _constant(text: str) -> Iterable[tuple[str, str]]:
    """Each sample as a series that stays as it is."""
    plain = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("# EOF"))
    families: Any = text_string_to_metric_families(plain)
    for family in families:
        for sample in family.samples:
            labels = ",".join(f"{key}={json.dumps(value)}" for key, value in sample.labels.items())
            yield f"{sample.name}{{{labels}}}" if labels else sample.name, f"{sample.value:.17g}x3000"
