"""What a drift of contents did to the lines of a file, for whoever may read the file anyway."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from nodeagent.agent import Workplace
from nodeagent.cli import diff
from nodeagent.errors import NodeAgentError
from nodeagent.machineconfig.drift import Drift, Kind

_LONGEST = 1 << 20  # bytes


def explainer(place: Workplace) -> Callable[[Drift], Iterator[str]]:
    """A function from a drift to the unified diff between what is declared and what stands there now."""
    declared = _declared(place)

    def explain(drift: Drift) -> Iterator[str]:
        path = drift.finding.path
        data = declared.get(path)
        if drift.finding.kind is not Kind.CONTENT or data is None:
            return
        state = place.node.states([path])[path]
        secret = not state.mode & place.job.applied().entries[path].trace.mode & 0o004
        try:
            now = None if state.size > _LONGEST else place.node.read(path, _LONGEST)
        except OSError as error:
            yield f"(contents not shown: {error.strerror})"
            return
        yield from diff.between(path, data, now, secret)

    return explain


def _declared(place: Workplace) -> dict[str, bytes]:
    """The bytes that the applied config declares, by path; none where they cannot be had any more."""
    from nodeagent.machineconfig.desired import File  # noqa: PLC0415 - only drift needs it

    applied = place.job.applied()
    try:
        rendered = place.job.intent_of(applied.generation).rendered
        paths = place.job.resolve(rendered, applied).paths
    except NodeAgentError:  # the generation has expired or a source is away: drift shows without its diff
        return {}
    return {path: file.data for path, file in paths.items() if isinstance(file, File) and file.data is not None}
