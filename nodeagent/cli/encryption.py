"""`nodeagent encryption`: how far the keys of encryption at rest are, and whether a configuration would be read."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

from nodeagent.cli import show
from nodeagent.cli.codes import OK, PENDING
from nodeagent.cli.machineconfig import Commands, settings_of
from nodeagent.errors import Problem, Rejected
from nodeagent.settings.flags import add_flags


def register(commands: Commands) -> None:
    """Add the command group."""
    group = commands.add_parser("encryption", help="look at encryption at rest", allow_abbrev=False)
    inner = group.add_subparsers(dest="encryption_command", metavar="COMMAND", required=True)
    status = inner.add_parser("status", help="show how far keys are on each control-plane node; 3 while work is left")
    status.set_defaults(run=status_command)
    add_flags(status, "cluster.kubeconfig")
    check = inner.add_parser("check", help="check an EncryptionConfiguration; 3 if a kube-apiserver would refuse it")
    check.set_defaults(run=check_command)
    check.add_argument("file", metavar="FILE", help="the configuration")
    for each in (status, check):
        each.add_argument("-o", "--output", choices=("human", "json"), default="human", help="form of the output")


def status_command(arguments: argparse.Namespace) -> int:
    """Print what the EtcdEncryptionConfig says."""
    from nodeagent import __version__  # noqa: PLC0415 - the API's client, by need
    from nodeagent.kube.connection import connect  # noqa: PLC0415
    from nodeagent.kube.encryption import EncryptionApi  # noqa: PLC0415

    connection = connect(settings_of(arguments).cluster.kubeconfig, f"nodeagent/{__version__}")
    found = _document(EncryptionApi(connection, "").config())
    if arguments.output == "json":
        show.emit(found)
    else:
        print("\n".join(_lines(found)))
    return OK if found["settled"] else PENDING


def _document(config: Mapping[str, Any] | None) -> dict[str, Any]:
    """What is asked for and what has come about; nothing where nothing is asked for."""
    spec, status = (dict((config or {}).get(part) or {}) for part in ("spec", "status"))
    revision, nodes = status.get("revision", 0), dict(status.get("deployStatus") or {})
    confirmed = all(each["state"] == "Success" and each["revision"] == revision for each in nodes.values())
    migrated = (status.get("migration") or {}).get("state") == "Success"
    return {
        "name": config["metadata"]["name"] if config else "",
        "resources": spec.get("resources", []),
        "rotationInterval": spec.get("rotationInterval", ""),
        "revision": revision,
        "nodes": nodes,
        "migration": status.get("migration") or {},
        "settled": config is None or (bool(nodes) and confirmed and migrated),
    }


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    if not found["name"]:
        yield "there is no EtcdEncryptionConfig: nothing is asked for"
        return
    yield f"{found['name']}: {', '.join(found['resources'])}; another key each {found['rotationInterval']}"
    yield f"revision {found['revision']}"
    for node, each in sorted(found["nodes"].items()):
        yield f"  {node}: {each['state']}, revision {each['revision']}: {each['message']}"
    if migration := found["migration"]:
        yield f"migration of {', '.join(migration['resources'])}: {migration['state']}: {migration['message']}"


def check_command(arguments: argparse.Namespace) -> int:
    """Print what is wrong with a configuration."""
    from nodeagent.agent.certificates import read_yaml  # noqa: PLC0415 - YAML, by need
    from nodeagent.certs.encryptionconfig import problems  # noqa: PLC0415

    try:
        with open(arguments.file, "rb") as file:
            found = tuple(problems(read_yaml(file.read()), arguments.file))
    except ValueError as error:
        raise Rejected([Problem(arguments.file, "", str(error))]) from None
    if arguments.output == "json":
        show.emit({"problems": [str(each) for each in found]})
    else:
        print("\n".join(map(str, found)) or "a kube-apiserver would read it")
    return PENDING if found else OK
