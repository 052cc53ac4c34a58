"""Validity of what is fetched or decoded into contents (specification: "source", "verification", "httpHeaders")."""

from __future__ import annotations

import re
from typing import Final

from nodeagent.machineconfig.ignition import url
from nodeagent.machineconfig.ignition.findings import Place
from nodeagent.machineconfig.ignition.model import HTTPHeader, Resource

_DIGITS: Final = {"sha256": 64, "sha512": 128}
_HEX: Final = re.compile(r"[0-9a-fA-F]*")
_LINE_BREAK: Final = re.compile(r"[\r\n\0]")


def validate(resource: Resource, place: Place) -> None:
    """Find what is wrong with a resource, whose source may be left out."""
    if resource.source:
        _source(resource.source, place)
    if resource.compression not in (None, "", "gzip"):
        place.problem(".compression", "is an unknown compression", "write gzip, or leave it out")
    _hash(resource, place)
    _headers(resource, place)


def validate_required(resource: Resource, place: Place) -> None:
    """Likewise, but the source must be there."""
    validate(resource, place)
    if not resource.source:
        place.problem("", "has no source", "give it one, or remove the entry")


def _source(source: str, place: Place) -> None:
    try:
        url.check(source)
    except ValueError as error:
        place.problem(".source", str(error), "write the contents as a data URL, for example data:;base64,…")


def _hash(resource: Resource, place: Place) -> None:
    declared = resource.verification.hash
    if declared is None:
        return
    if resource.source is None:
        place.problem(".verification.hash", "there is a hash and no source", "give both, or neither")
    function, dash, digest = declared.partition("-")
    if not dash or function not in _DIGITS:
        place.problem(".verification.hash", "names no known function", "write sha256-<hex> or sha512-<hex>")
    elif len(digest.encode()) != _DIGITS[function]:
        message = f"has {len(digest)} digits, and {function} has {_DIGITS[function]} in hexadecimal"
        place.problem(".verification.hash", message, "copy the whole digest")
    elif not _HEX.fullmatch(digest):
        place.warn(".verification.hash", "is not hexadecimal and matches no contents", "copy the digest again")


def _headers(resource: Resource, place: Place) -> None:
    for index, header in enumerate(resource.http_headers):
        _header(header, place.at(f".httpHeaders[{index}]"))
    if resource.http_headers and scheme_of(resource.source) not in ("http", "https"):
        place.problem(".httpHeaders", "are only sent to an http or https source", "remove them")


def _header(header: HTTPHeader, place: Place) -> None:
    if not header.name:
        place.problem(".name", "is missing", "name the header")
    if header.value == "":
        place.problem(".value", "is empty", "give a value; leave the key out to remove an inherited header")
    if _LINE_BREAK.search(header.name) or _LINE_BREAK.search(header.value or ""):
        place.problem("", "holds a line break or NUL, which would end the header")


def scheme_of(source: str | None) -> str:
    """The scheme of a source, in lower case; "" if there is none."""
    if source and source.startswith("data:"):  # contents are long: a look at the rest would take its time
        return "data"
    try:
        return url.parse(source).scheme if source else ""
    except ValueError:
        return ""
