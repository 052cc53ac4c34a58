"""What egress gateways are read from: the northbound database that the settings name, and objects of the API."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from nodeagent import __version__
from nodeagent.egress.inventory import PATHS, PROGRAM_PATHS, kinds
from nodeagent.egress.rows import DROP, LOCAL, REROUTE
from nodeagent.errors import Problem, Rejected
from nodeagent.kube import pages
from nodeagent.kube.connection import connect
from nodeagent.ovn.link import Credentials, Follow, Link
from nodeagent.settings import Settings

_WAIT: Final = 15.0  # seconds until the database must have answered


def link(settings: Settings, remotes: str, changed: Callable[[], None], *, ports: bool = False) -> Link:
    """A link to the database at `remotes`, not started. Rejected if there is none, or no credentials for it.

    `ports` follows what ports of switches say even where nothing is programmed.
    """
    egress = settings.egress
    if not remotes:
        raise Rejected([Problem("egress.northbound", "", "names no database", "set it, or give --nb REMOTE")])
    files = {
        "tls_key": egress.tls_key,
        "tls_certificate": egress.tls_certificate,
        "tls_authority": egress.tls_authority,
    }
    secure = "ssl:" in remotes
    missing = [name for name, path in files.items() if secure and not path]
    if missing:
        raise Rejected(Problem(f"egress.{name}", "", f"is not set, which {remotes} needs") for name in missing)
    credentials = Credentials(egress.tls_key, egress.tls_certificate, egress.tls_authority) if secure else None
    follow = Follow((LOCAL, REROUTE, DROP), ports=ports or bool(kinds(egress.mode)))
    return Link(remotes, follow, changed, random.Random(), credentials)  # noqa: S311 - jitter, no secret


@contextmanager
def opened(settings: Settings, remotes: str, *, ports: bool = False) -> Iterator[Link]:
    """A link that has seen everything. Transient if the database does not answer in time."""
    following = link(settings, remotes, lambda: None, ports=ports)
    following.start()
    try:
        following.wait(_WAIT)
        yield following
    finally:
        following.close()


def objects(settings: Settings) -> Iterator[Mapping[str, Any]]:
    """Everything in the cluster that gateways depend on."""
    connection = connect(settings.cluster.kubeconfig, f"nodeagent-egress/{__version__}")
    paths = {**PATHS, **(PROGRAM_PATHS if kinds(settings.egress.mode) else {})}
    for kind, path in paths.items():
        for each in pages.objects(connection, path):
            yield {**each, "kind": kind}
