"""How the agent's loops fare, and how its jobs are."""

from __future__ import annotations

from collections.abc import Callable

from nodeagent.telemetry.metrics.registry import Registry


class AgentMetrics:
    """Metrics of the loops and jobs that were announced; another name is a KeyError."""

    def __init__(self, registry: Registry) -> None:
        success = "nodeagent_loop_last_success_timestamp_seconds"
        self._success = registry.gauge(success, "When a loop last went through", "controller")
        self._failures = registry.counter("nodeagent_loop_failures", "Rounds of a loop that failed", "controller")
        self._degraded = registry.gauge("nodeagent_degraded", "1 while the node waits for an administrator")
        self._job_degraded = registry.gauge(
            "nodeagent_job_degraded", "1 while a job waits for an administrator", "agent_job"
        )
        self._watch_age = registry.gauge(
            "nodeagent_watch_age_seconds", "Time since the API server was last heard of, by what is watched", "watch"
        )
        self._loops: set[str] = set()
        self._jobs: dict[str, bool] = {}

    def expect_loop(self, name: str) -> None:
        """There is a loop of this name: its series begin."""
        self._loops.add(name)
        self._success.labels(name)
        self._failures.labels(name)

    def expect_job(self, name: str) -> None:
        """There is a job of this name, not degraded yet."""
        self._jobs.setdefault(name, False)
        self._job_degraded.labels(name)

    def expect_watch(self, name: str, age: Callable[[], float]) -> None:
        """There is a watch of this name; `age` tells the seconds, infinite before the first time."""
        self._watch_age.labels(name).set_function(age)

    def succeeded(self, loop: str, when: float) -> None:
        """A loop went through at `when`, in seconds since the epoch."""
        self._success.labels(self._known(loop)).set(when)

    def failed(self, loop: str) -> None:
        """A round of a loop failed."""
        self._failures.labels(self._known(loop)).inc()

    def degraded(self, job: str, now: bool) -> None:
        """Whether a job waits for an administrator; the node does while any of them does."""
        if job not in self._jobs:
            raise KeyError(job)
        self._jobs[job] = now
        self._job_degraded.labels(job).set(now)
        self._degraded.set(any(self._jobs.values()))

    def _known(self, loop: str) -> str:
        if loop not in self._loops:
            raise KeyError(loop)
        return loop
