"""Resolves a rendered MachineConfig against one node: from names to ids, from sources to bytes, from units to links.

Reads the node through `Node` and changes nothing. All problems are found before any is reported.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from nodeagent.errors import Rejected
from nodeagent.machineconfig.applicable import inapplicable
from nodeagent.machineconfig.applied import Applied, Subject
from nodeagent.machineconfig.bootconfig import stale
from nodeagent.machineconfig.desired import Desired
from nodeagent.machineconfig.node import Node
from nodeagent.machineconfig.render import Rendered
from nodeagent.machineconfig.resolve import account, kernel, storage, units
from nodeagent.machineconfig.resolve.context import Context


def resolve(
    rendered: Rendered,
    node: Node,
    applied: Applied,
    *,
    user: str,
    today: int,
    owned: Mapping[str, str] = MappingProxyType({}),
) -> Desired:
    """What `node` should have. `today` is in days since the epoch, for shadow(5); `owned` are paths of other jobs.

    Raises Rejected with every reason why the node cannot have it, Transient if a source is away.
    """
    context = Context(rendered, node, applied)
    named = f"MachineConfig {rendered.name}"
    context.problems += inapplicable(
        rendered.config, object=named, user=user, owned=owned, provenance=rendered.provenance
    )
    storage.resolve(context)
    declared_units = units.resolve(context)
    _refuse_paths_of_others(context, owned)
    declared_account = account.resolve(context, user, today)
    declared_kernel, boot_menu = kernel.resolve(context)
    stale_menu = bool(boot_menu) and stale(node, declared_kernel)
    if context.problems:
        raise Rejected(context.problems)
    parts = (declared_units, declared_account, declared_kernel, boot_menu, stale_menu)
    return Desired(rendered.name, context.paths, *parts)


def _refuse_paths_of_others(context: Context, owned: Mapping[str, str]) -> None:
    """Note a problem for each unit whose files or links another job writes; `inapplicable` looks at storage alone."""
    for path, declared in sorted(context.paths.items()):
        if declared.unit and path in owned:
            field = "dropins" if declared.subject is Subject.DROPIN else "enabled"
            message = f"{path!r} belongs to {owned[path]}: two owners would undo each other"
            context.problem(f"unit:{declared.unit}", field, message, "leave it out here, or turn that job off")
