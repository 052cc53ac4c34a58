"""Validity of the ignition section and of kernel arguments."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from nodeagent.machineconfig.ignition import resource, url
from nodeagent.machineconfig.ignition.findings import Findings, Place
from nodeagent.machineconfig.ignition.model import VERSION, Ignition, KernelArguments, Proxy

_LINE_BREAK: Final = re.compile(r"[\r\n\0]")


def validate(ignition: Ignition, findings: Findings) -> None:
    """Find what is wrong with the version, further configs, proxies and certificate authorities."""
    place = findings.at(".ignition")
    _version(ignition.version, place)
    for index, config in enumerate(ignition.config.merge):
        resource.validate_required(config, place.at(f".config.merge[{index}]"))
    resource.validate(ignition.config.replace, place.at(".config.replace"))
    for index, authority in enumerate(ignition.security.tls.certificate_authorities):
        resource.validate_required(authority, place.at(f".security.tls.certificateAuthorities[{index}]"))
    _proxy(ignition.proxy, place.at(".proxy"))
    _without_effect(ignition, place)


def validate_arguments(arguments: KernelArguments, findings: Findings) -> None:
    """Find what is wrong with Ignition's own kernel arguments."""
    for key, values in (("shouldExist", arguments.should_exist), ("shouldNotExist", arguments.should_not_exist)):
        check_arguments(values, findings.at(f".kernelArguments.{key}"))


def check_arguments(values: Iterable[str], place: Place) -> None:
    """Find arguments that would break out of a boot loader's line."""
    for index, value in enumerate(values):
        if _LINE_BREAK.search(value):
            place.problem(f"[{index}]", "holds a line break or NUL", "write one entry an argument")


def _without_effect(ignition: Ignition, place: Place) -> None:
    """Valid, and for a machine's first boot only."""
    for key, part in (
        ("config", ignition.config),
        ("proxy", ignition.proxy),
        ("security", ignition.security),
        ("timeouts", ignition.timeouts),
    ):
        if part != type(part)():
            place.warn(f".{key}", "has no effect on a running node", "remove it, or keep it for provisioning")


def _version(version: str, place: Place) -> None:
    if not version:
        place.problem(".version", "is missing", f"write version: {VERSION}")
    elif version != VERSION:
        place.problem(".version", f"{version!r} is not supported", f"write the config for Ignition {VERSION}")


def _proxy(proxy: Proxy, place: Place) -> None:
    for key, value in (("httpProxy", proxy.http_proxy), ("httpsProxy", proxy.https_proxy)):
        if value is not None:
            _proxy_url(value, place.at(f".{key}"), encrypted=key == "httpsProxy")


def _proxy_url(value: str, place: Place, *, encrypted: bool) -> None:
    try:
        scheme = url.parse(value).scheme
    except ValueError as error:
        place.problem("", str(error), "write http://… or https://…")
        return
    if scheme not in ("http", "https"):
        place.problem("", "is no http or https URL", "write http://… or https://…")
    elif scheme == "http" and encrypted:
        place.warn("", "reaches the proxy for https over plain http")
