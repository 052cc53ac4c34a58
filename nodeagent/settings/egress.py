"""Settings of the egress gateways."""

from __future__ import annotations

from dataclasses import dataclass

from nodeagent.settings.kinds import HostPath, matching, one_of
from nodeagent.settings.record import setting

_REMOTE = r"(unix:/[^,\s]+|(tcp|ssl):(\[[0-9A-Fa-f:.]+\]|[0-9.]+):[0-9]{1,5})"


@dataclass(frozen=True)
class EgressSettings:
    """Who programs gateways, where the northbound database is, and how it is spoken to."""

    mode: str = setting(
        one_of("observe", "program", "takeover"),
        "observe",
        help=(
            "observe: verify what Kube-OVN programs, write nothing; program: run EgressGateway objects; "
            "takeover: run VpcEgressGateway objects too, where no controller of Kube-OVN does"
        ),
    )

    northbound: str = setting(
        matching(
            "list of remotes (unix:PATH, tcp:IP:PORT, ssl:IP:PORT) with commas between them, or nothing",
            rf"({_REMOTE}(,{_REMOTE})*)?",
        ),
        "",
        help="remotes of OVN's northbound database, all members of its cluster; empty for none",
    )
    tls_key: str = setting(HostPath(optional=True), "", help="private key for ssl remotes (PEM)")
    tls_certificate: str = setting(HostPath(optional=True), "", help="certificate for ssl remotes (PEM)")
    tls_authority: str = setting(
        HostPath(optional=True), "", help="certificates of the authorities that sign those of the servers (PEM)"
    )
