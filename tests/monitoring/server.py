"""A real Prometheus for one test, and what it answers."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.cluster.process import Server, free_port

_SECONDS = 30.0


@dataclass(frozen=True)
class Series:
    """One result of a query: its labels, and points of (seconds since the epoch, value)."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Prometheus:
    """`address` is host:port."""

    address: str

    def now(self, expression: str) -> list[Series]:
        """An instant query."""
        return [_series(each["metric"], [each["value"]]) for each in self._ask("query", query=expression)]

    def over(self, expression: str, begin: float, end: float, step: float) -> list[Series]:
        """A range query."""
        asked = {"query": expression, "start": str(begin), "end": str(end), "step": str(step)}
        return [_series(each["metric"], each["values"]) for each in self._ask("query_range", **asked)]

    def targets(self) -> dict[str, dict[str, str]]:
        """The labels of what it scrapes, by address."""
        return {each["scrapeUrl"]: each["labels"] for each in self._get("targets", state="active")["activeTargets"]}

    def _ask(self, what: str, **parameters: str) -> list[dict[str, Any]]:
        """The results; raises urllib.error.HTTPError for an expression that Prometheus does not take."""
        results: list[dict[str, Any]] = self._get(what, **parameters)["result"]
        return results

    def _get(self, what: str, **parameters: str) -> dict[str, Any]:
        url = f"http://{self.address}/api/v1/{what}?{urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=_SECONDS) as answer:
            data: dict[str, Any] = json.load(answer)["data"]
            return data


def _series(labels: Mapping[str, str], points: list[tuple[float, str]]) -> Series:
    return Series(labels, tuple((at, float(value)) for at, value in points))


def scraping(targets: Mapping[str, str]) -> dict[str, Any]:
    """A configuration that scrapes `targets` every three seconds: addresses by the instance that they are called."""
    jobs = [{"targets": [address], "labels": {"instance": name}} for name, address in targets.items()]
    return {"scrape_configs": [{"job_name": "nodeagent", "scrape_interval": "3s", "static_configs": jobs}]}


@contextmanager
def prometheus(base: Path, configuration: Mapping[str, Any]) -> Iterator[Prometheus]:
    """Prometheus with that configuration and its data in `base`."""
    (base / "prometheus.yml").write_text(json.dumps(configuration))
    address = f"127.0.0.1:{free_port()}"
    command = ["prometheus", f"--config.file={base / 'prometheus.yml'}", f"--storage.tsdb.path={base / 'data'}"]
    command += [f"--web.listen-address={address}", "--log.level=warn"]
    server = Server("prometheus", command, base / "prometheus.log", lambda: _is_ready(address))
    server.start()
    try:
        yield Prometheus(address)
    finally:
        server.stop()


def _is_ready(address: str) -> bool:
    with urllib.request.urlopen(f"http://{address}/-/ready", timeout=5) as answer:
        return bool(answer.status == 200)
