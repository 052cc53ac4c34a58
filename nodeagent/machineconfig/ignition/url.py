"""URLs as Ignition takes them: parsed the way Go's net/url does, which is what decides whether a config is valid.

Python's urllib refuses almost nothing and drops control characters in silence, so it cannot tell.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs

from nodeagent.machineconfig import dataurl

FETCHED: Final = ("http", "https", "tftp", "gs", "s3", "arn")

_CONTROLS: Final = bytes((*range(0x20), 0x7F))
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_USER: Final = re.compile(r"(?:[A-Za-z0-9._:~!$&'()*+,;=@-]|%[0-9A-Fa-f]{2})*")
# A host keeps only escapes of % and of bytes that are no ASCII; the characters that it may not hold, RFC 3986 3.2.2.
_HOST: Final = re.compile(r"(?:[^\x00-\x20%/:?#@\[\\\]^`{|}\x7f]|%25|%[89A-Fa-f][0-9A-Fa-f])*")
_ADDRESS: Final = re.compile(r"\[(?P<address>[0-9A-Fa-f:.]+)(?:%25[A-Za-z0-9._~-]+)?\](?P<port>.*)", re.DOTALL)
_PORT: Final = re.compile(r":[0-9]*")


@dataclass(frozen=True, slots=True)
class URL:
    """`opaque` is what follows the scheme where that is no path; `scheme` is in lower case."""

    scheme: str
    opaque: str
    query: str


def parse(text: str) -> URL:
    """The parts of an absolute URL that Ignition looks at; ValueError says what is wrong, without quoting the URL."""
    scheme = _SCHEME.match(text)
    if scheme is None:
        raise ValueError("the URL has no scheme")
    rest, _, fragment = text[scheme.end() :].partition("#")
    if _holds_control(rest):
        raise ValueError("the URL holds a control character or a newline")
    rest, _, query = rest.partition("?")
    opaque = "" if rest.startswith("/") else rest
    _check_escapes(fragment if opaque else rest + fragment, rest)
    return URL(scheme[1].lower(), opaque, query)


def _holds_control(text: str) -> bool:
    """Whether ASCII control characters are in `text`; contents are long, and this is several times a search's speed."""
    data = text.encode(errors="surrogatepass")
    return len(data.translate(None, _CONTROLS)) != len(data)


def _check_escapes(escaped: str, rest: str) -> None:
    path = escaped
    if rest.startswith("//") and not rest.startswith("///"):
        authority = rest[2:].partition("/")[0]
        path = escaped[2 + len(authority) :]
        _check_authority(authority)
    if _BAD_ESCAPE.search(path):
        raise ValueError("the URL holds a % without two hexadecimal digits")


def _check_authority(authority: str) -> None:
    user, _, host = authority.rpartition("@")
    if not _USER.fullmatch(user):
        raise ValueError("the URL's user information holds a character that must be escaped")
    _check_port(_after_name(host))


def _after_name(host: str) -> str:
    """What follows the name or address: a port, or nothing."""
    if "[" in host:
        address = _ADDRESS.fullmatch(host)
        if address is None or not _is_address(address["address"]):
            raise ValueError("the URL's host is no IPv6 address in brackets")
        return address["port"]
    name, colon, port = host.rpartition(":")
    if not _HOST.fullmatch(name if colon else host):
        raise ValueError("the URL's host holds a character that no host name has")
    return colon + port if colon else ""


def _is_address(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _check_port(port: str) -> None:
    if port and not _PORT.fullmatch(port):
        raise ValueError("the URL's port is no number")


def check(text: str) -> None:
    """ValueError unless Ignition takes contents from `text`: data (decodable), http, https, tftp, gs, s3 or arn."""
    url = parse(text)
    if url.scheme == "data":
        dataurl.check(text)
    elif url.scheme not in FETCHED:
        raise ValueError("the URL's scheme is none of data, https, http, tftp, gs, s3 and arn")
    elif url.scheme == "arn":
        _check_arn("arn:" + url.opaque)
    if url.scheme in ("s3", "arn"):
        _check_object_version(url.query)


def _check_arn(arn: str) -> None:
    """An ARN of an S3 object: arn:partition:s3:region:account:bucket/key, or an access point's."""
    sections = arn.split(":", 5)
    if len(sections) < 6 or sections[2] != "s3":
        raise ValueError("the ARN is not one of S3 (arn:partition:s3:region:account:bucket/key)")
    slashes = 2 if sections[5].startswith("accesspoint/") else 1
    if arn.count("/") < slashes:
        raise ValueError("the ARN names no object (arn:partition:s3:region:account:bucket/key)")


def _check_object_version(query: str) -> None:
    versions = parse_qs(query, keep_blank_values=True).get("versionId")
    if versions and not versions[0]:
        raise ValueError("the URL's versionId is empty")
