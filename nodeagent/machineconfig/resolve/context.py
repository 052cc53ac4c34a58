"""What resolving one configuration carries along: the node, the problems found, the paths declared so far."""

from __future__ import annotations

from collections.abc import Callable

from nodeagent.errors import Problem
from nodeagent.machineconfig import accounts
from nodeagent.machineconfig.applied import Applied
from nodeagent.machineconfig.contents import Accept, contents
from nodeagent.machineconfig.desired import Declared
from nodeagent.machineconfig.ignition.model import Owner, Resource
from nodeagent.machineconfig.node import TABLE_LIMIT, Node
from nodeagent.machineconfig.render import Rendered


class Context:
    """Collects what a configuration declares on a node, and what is wrong with it."""

    def __init__(self, rendered: Rendered, node: Node, applied: Applied) -> None:
        self.rendered = rendered
        self.node = node
        self.applied = applied
        self.problems: list[Problem] = []
        self.paths: dict[str, Declared] = {}
        self._tables: dict[str, bytes] = {}

    def sources(self, key: str) -> tuple[str, ...]:
        """The MachineConfigs that contributed `key` of the provenance, the last of which wins."""
        return tuple(self.rendered.provenance.get(key, ()))

    def problem(self, key: str, field: str, message: str, advice: str = "") -> None:
        """Note a problem of `field` in what the provenance calls `key` ("file:/etc/x", "unit:a.service")."""
        sources = self.sources(key)
        named = f"MachineConfig {' + '.join(sources)}" if sources else f"MachineConfig {self.rendered.name}"
        self.problems.append(Problem(named, json_path(key, field), message, advice))

    def declare(self, path: str, declared: Declared, key: str) -> None:
        """Declare `path`; a path that two parts of the configuration claim is a problem."""
        claimed = self.paths.get(path)
        if claimed is not None and claimed != declared:
            self.problem(key, "path", f"{path} is claimed twice, as {claimed.subject} and as {declared.subject}")
            return
        self.paths[path] = declared

    def contents(self, key: str, field: str, resource: Resource) -> bytes:
        """The bytes of a resource, or b"" and a problem. What `inapplicable` refuses is not fetched first."""
        source = resource.source or ""
        if (
            source
            and not source.startswith("data:")
            and not (source.startswith("https:") and resource.verification.hash)
        ):
            return b""
        try:
            return contents(resource, self._fetch)
        except ValueError as error:
            self.problem(key, field, str(error))
            return b""

    def _fetch(self, resource: Resource, accept: Accept) -> bytes:
        headers = {header.name: header.value or "" for header in resource.http_headers}
        return self.node.fetch(resource.source or "", headers, accept)

    def table(self, path: str) -> bytes:
        """One of the node's account tables, read once; empty if it is missing."""
        if path not in self._tables:
            self._tables[path] = self.node.read(path, TABLE_LIMIT) or b""
        return self._tables[path]

    def owner(self, key: str, user: Owner, group: Owner) -> tuple[int | None, int | None]:
        """User and group id, None where none is declared; names are looked up in the node's own tables."""
        return self._id(key, "user", user, self._user_id), self._id(key, "group", group, self._group_id)

    def _id(self, key: str, kind: str, owner: Owner, look_up: Callable[[str], int | None]) -> int | None:
        """The id of an owner, given or looked up; a name that the node does not know is a problem."""
        if owner.id is not None or not owner.name:
            return owner.id
        found = look_up(owner.name)
        if found is None:
            message = f"there is no {kind} {owner.name!r} on this node"
            self.problem(key, f"{kind}.name", message, f"create it first, or give {kind}.id")
        return found

    def _user_id(self, name: str) -> int | None:
        account = accounts.find_user(self.table("/etc/passwd"), name)
        return None if account is None else account.uid

    def _group_id(self, name: str) -> int | None:
        return accounts.find_group(self.table("/etc/group"), name)


_LISTS = {
    "file": "storage.files",
    "directory": "storage.directories",
    "link": "storage.links",
    "unit": "systemd.units",
}


def json_path(key: str, field: str) -> str:
    """JSON path (RFC 9535) of a field, by the provenance's key: $.spec.config.storage.files[?@.path=='/etc/x'].mode."""
    kind, _, name = key.partition(":")
    if kind == "dropin":
        unit, _, dropin = name.partition("/")
        return f"$.spec.config.systemd.units[?@.name=='{unit}'].dropins[?@.name=='{dropin}'].{field}"
    if kind == "user":
        return f"$.spec.config.passwd.users[?@.name=='{name}'].{field}"
    if kind not in _LISTS:
        return f"$.spec.{field}"
    attribute = "name" if kind == "unit" else "path"
    return f"$.spec.config.{_LISTS[kind]}[?@.{attribute}=='{name}'].{field}"
