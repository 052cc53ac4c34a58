"""The drift monitor of a running daemon: looks at what was touched and at what is due, and puts right what is to be.

An event only says where to look; a sweep of fingerprints and a look at all contents find what no event told of.
"""

from __future__ import annotations

import time
from collections.abc import Collection

from nodeagent.errors import NodeAgentError, Transient
from nodeagent.machineconfig import inspection
from nodeagent.machineconfig.applied import STATE_FILE, Applied
from nodeagent.machineconfig.drift import Drift
from nodeagent.machineconfig.following import Change, Follower
from nodeagent.machineconfig.job import Job
from nodeagent.machineconfig.surroundings import Surroundings
from nodeagent.machineconfig.touched import Touched

FORCE_FILE = "/run/machine-config-daemon-force"

_NAMED = 5  # paths that a reason names


class DriftMonitor:
    """Drift of one node. `woken` may be called from any thread, everything else from the loop's.

    `sweep` and `content` are the times between two looks, `debounce` the quiet to wait for, all in seconds.
    """

    def __init__(
        self, job: Job, follower: Follower, around: Surroundings, *, sweep: float, content: float, debounce: float
    ) -> None:
        self._job = job
        self._follower = follower
        self._around = around
        self._periods = {"sweep": sweep, "content": content}
        self._debounce = debounce
        self._due = {"sweep": 0.0, "content": 0.0}
        self._touched = Touched(everything=True)
        self._watched: tuple[Applied, tuple[str, ...]] | None = None
        self._unremedied = ""  # why drift cannot be put right

    # -- what was touched ---------------------------------------------------------------------------------------------

    def woken(self, paths: Collection[str], *, everything: bool) -> None:
        """Remember what was touched; the loop looks at it."""
        self._touched.add(paths, everything=everything)

    def take(self) -> tuple[set[str], bool]:
        """What was touched, once it has been quiet for a moment; forgets it."""
        return self._touched.take(self._debounce)

    @property
    def due(self) -> float:
        """When the next look is due, on the monotonic clock."""
        return min(self._due.values())

    # -- looking ------------------------------------------------------------------------------------------------------

    def glance(self, applied: Applied) -> bool:
        """Look at files that were touched while the loop is busy; False if there are none."""
        inside = self._inside(self._touched.glance())
        if inside:
            self._tell(self._follower.look_at(applied, inside))
        return bool(inside)

    def look(self, applied: Applied, touched: Collection[str], *, everything: bool) -> bool:
        """Look at what was touched or is due. True if unit files were, so that systemd should be asked as well."""
        now = time.monotonic()
        inside = self._inside(touched)
        if applied.generation == 0:
            self._set_due(now + self._periods["sweep"])
        elif everything or self._is_due("content", now):
            self._set_due(now + self._periods["sweep"], now + self._periods["content"])
            self._tell(self._follower.look_at_everything(applied))
        elif self._is_due("sweep", now):
            self._tell(self._follower.sweep(applied))
        elif inside:
            self._tell(self._follower.look_at(applied, inside))
            return bool(applied.units) and any(map(inspection.concerns_units, inside))
        return False

    def look_at_units(self, applied: Applied) -> None:
        """Ask systemd, which may take a while, whether it has read the unit files as they are."""
        self._tell(self._follower.look_at_units(applied))

    def _is_due(self, what: str, now: float) -> bool:
        if now < self._due[what]:
            return False
        self._due[what] = now + self._periods[what]
        return True

    def _set_due(self, sweep: float, content: float | None = None) -> None:
        self._due = {"sweep": sweep, "content": sweep if content is None else content}

    def _inside(self, touched: Collection[str]) -> set[str]:
        """Those of the touched paths that lie in the root, as the node has them."""
        return {path for each in touched if (path := self._around.inside(each)) is not None}

    def _tell(self, change: Change) -> None:
        if change:
            self._around.observer.drifted(change)

    # -- putting right ------------------------------------------------------------------------------------------------

    def remedy(self) -> None:
        """Put right what the policy wants put right; files and services, never a reboot."""
        if not self._follower.ledger.drifts:
            self._unremedied = ""
        drifts = self._follower.to_remedy()
        applied = self._job.applied()
        if not drifts or applied.generation == 0:
            return
        paths = {drift.finding.path for drift in drifts}
        self._unremedied = self._put_right(paths)
        self._follower.remedied(paths)
        self._follower.settled()
        if not self._unremedied:
            self._around.observer.remedied(drifts)
        self._tell(self._follower.look_at(applied, paths))
        if any(map(inspection.concerns_units, paths)):
            self.look_at_units(applied)

    def _put_right(self, paths: Collection[str]) -> str:
        """Put single paths right: why that failed, "" if it did not."""
        try:
            with self._around.lock():
                why = self._job.apply(self._job.remedy(paths), lambda _: None).why
        except Transient:
            raise
        except NodeAgentError as error:
            why = str(error)
        return why and f"drift cannot be put right: {why}"

    # -- what to watch ------------------------------------------------------------------------------------------------

    def settled(self, applied: Applied) -> None:
        """The agent itself has changed the node: nobody is named for that, and everything is looked at soon."""
        self._follower.settled()
        self.watch(applied)
        self._due["content"] = 0.0

    def follow(self, applied: Applied) -> bool:
        """Watch what others have applied (`nodeagent apply`, a rollback) and new directories; True if somebody has."""
        before, directories = self._watched or (None, ())
        anew = applied is not before
        if anew:
            self._follower.settled()
        if anew or directories != inspection.rest_directories(self._job.node, applied):
            self.watch(applied)
        return anew

    def watch(self, applied: Applied) -> None:
        """Watch everything whose change may be drift, the sources, the force file and the agent's own state."""
        directories = inspection.rest_directories(self._job.node, applied)
        self._watched = applied, directories
        outside = self._around.outside
        paths = [*inspection.paths(applied), *inspection.rest_paths(self._job.node, applied)]
        paths += [FORCE_FILE, f"{self._job.store.path}/{STATE_FILE}"]
        entries = [outside(path) for path in directories]
        self._around.watch.watch([outside(path) for path in paths], [*entries, *self._around.sources])

    # -- what there is ------------------------------------------------------------------------------------------------

    @property
    def drifts(self) -> tuple[Drift, ...]:
        """All open drifts."""
        return self._follower.ledger.drifts

    @property
    def alerts(self) -> tuple[Drift, ...]:
        """Open drifts that wait for an administrator."""
        return self._follower.ledger.alerts()

    def trouble(self) -> str:
        """Why the node is Degraded by drift: what waits for an administrator, and who caused it; "" if nothing does."""
        by_path = {drift.finding.path: drift for drift in self.alerts}
        told = [_told(by_path[path]) for path in sorted(by_path)[:_NAMED]]
        more = [f"and {len(by_path) - _NAMED} more"] if len(by_path) > _NAMED else []
        return self._unremedied or ("drift: " + "; ".join(told + more) if told else "")


def _told(drift: Drift) -> str:
    declared = f" of {' + '.join(drift.finding.sources)}" if drift.finding.sources else ""
    return f"{drift.finding.path}{declared} by {drift.who()}"
