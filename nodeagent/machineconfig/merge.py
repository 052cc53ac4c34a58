"""Many MachineConfigs merged into one config, and which of them each part of it came from. Pure.

MachineConfigs of role worker come first, then the others, both in bytewise order of their names; a later one wins.
A file overwrites what stands at its path unless it says otherwise; only one without contents of its own that no more
than Ignition configs by themselves declare is left to Ignition's default, which is to adopt what is there. Whether the
outcome is valid is told beside it: two valid configs can make an invalid one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from nodeagent.errors import Problem
from nodeagent.machineconfig.api import MachineConfig
from nodeagent.machineconfig.ignition import validation
from nodeagent.machineconfig.ignition.combine import combine
from nodeagent.machineconfig.ignition.findings import Finding
from nodeagent.machineconfig.ignition.model import BLANK, Config, File, Resource
from nodeagent.machineconfig.provenance import Provenance, attribute, trace

_WORKER: Final = "worker"


@dataclass(frozen=True)
class Merged:
    """One config out of many. `order` holds their names as they were merged; `provenance` is what `trace` yields."""

    config: Config
    kernel_arguments: tuple[str, ...]
    order: tuple[str, ...]
    provenance: Provenance
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


def merge(configs: Sequence[MachineConfig]) -> Merged:
    """`configs` merged, with every problem and warning of the outcome.

    Contents that a MachineConfig declares as they stand in the outcome are its own affair, and not looked at again.
    """
    ordered = sorted(configs, key=lambda one: (one.role != _WORKER, one.name.encode()))
    declared = [one.config for one in ordered if one.config is not None]
    config = _with_defaults(combine(declared), ordered) if declared else BLANK
    provenance = trace(ordered)
    problems, warnings = attribute(
        [*validation.findings(config, _contents(declared)).found, *_stale_hashes(ordered, config)],
        config,
        provenance,
        otherwise=f"the merge of {len(ordered)} MachineConfigs",
        objects={one.name: one.object for one in ordered},
    )
    order = tuple(one.name for one in ordered)
    kernel_arguments = tuple(argument for one in ordered for argument in one.kernel_arguments)
    return Merged(config, kernel_arguments, order, provenance, problems, warnings)


def _contents(declared: Iterable[Config]) -> frozenset[Resource]:
    files = [file for config in declared for file in config.storage.files]
    return frozenset(resource for file in files for resource in (file.contents, *file.append))


def _with_defaults(config: Config, ordered: Sequence[MachineConfig]) -> Config:
    wrapped = {file.path for one in ordered if one.config and not one.bare for file in one.config.storage.files}
    files = tuple(_with_default(file, file.path in wrapped) for file in config.storage.files)
    return replace(config, storage=replace(config.storage, files=files))


def _with_default(file: File, wrapped: bool) -> File:
    contents, overwrite = file.contents, file.overwrite
    if contents.compression == "":
        contents = replace(contents, compression=None)
    if overwrite is None and (wrapped or contents.source is not None):
        overwrite = True
    return replace(file, overwrite=overwrite, contents=contents)


def _stale_hashes(ordered: Sequence[MachineConfig], merged: Config) -> Iterator[Finding]:
    """Files whose hash comes from a MachineConfig before the one that their source comes from."""
    hashed: dict[str, tuple[str | None, str]] = {}
    stale: dict[str, tuple[str, str]] = {}
    for one in ordered:
        for file in one.config.storage.files if one.config else ():
            if file.contents.verification.hash is not None:
                hashed[file.path] = (file.contents.source, one.name)
                stale.pop(file.path, None)
            elif file.contents.source is not None and file.path in hashed:
                source, name = hashed[file.path]
                if file.contents.source != source:
                    stale[file.path] = (name, one.name)
    for index, file in enumerate(merged.storage.files):
        if file.path in stale and file.contents.verification.hash is not None:
            yield _stale(index, file.path, *stale[file.path])


def _stale(index: int, path: str, before: str, after: str) -> Finding:
    message = f"the hash comes from {before} and the source from {after}, so it cannot be expected to match"
    advice = f"give the hash of the new contents in {after}"
    where = f".storage.files[{index}].contents.verification.hash"
    return Finding(where, message, advice, (f"file:{path}",), fatal=False)
