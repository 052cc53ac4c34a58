"""Data URLs (RFC 2397), read exactly as Ignition reads them.

Stricter than the RFC and than Python: the scheme is lower case, base64 needs its padding and nothing after it, and raw
spaces, quotes and brackets are refused. Newlines between base64 characters pass here, as they do there (a URL that
holds one is refused as a URL).
"""

from __future__ import annotations

import binascii
import re
import string
from typing import Final
from urllib.parse import unquote_to_bytes

# RFC 2045 tokens: printable ASCII without space and tspecials.
_WORD: Final = r"[!#$%&'*+.0-9A-Z^_`a-z{|}~-]"
_ESCAPE: Final = (
    r"\\(?:[abfnrtv\\\"]|[0-3][0-7]{2}|x[0-9A-Fa-f]{2}|u(?![dD][89A-Fa-f])[0-9A-Fa-f]{4}"
    r"|U000(?!0[dD][89A-Fa-f])0[0-9A-Fa-f]{4}|U00(?:0[1-9A-Fa-f]|10)[0-9A-Fa-f]{4})"
)
_QUOTED: Final = rf'"(?:[^"\\\n\x80-\U0010ffff]|{_ESCAPE})*"'
_TYPES: Final = r"(?:text|image|audio|video|application|message|multipart)"
_HEADER: Final = (  # compiled when first needed, which takes as long as decoding hundreds of URLs
    rf"data:(?:(?:[xX]-|{_TYPES}){_WORD}*/{_WORD}*)?"
    rf"(?P<parameters>(?:;{_WORD}+=(?:{_WORD}+|{_QUOTED}))*)(?P<base64>;base64)?,"
)
_BARE: Final = (("data:;base64,", True), ("data:,", False))  # headers that most URLs have
_DIGITS: Final = (string.ascii_letters + string.digits + "+/").encode()
_NO_BASE64: Final = "malformed data URL: the data is no base64 with padding (RFC 4648 section 4)"
_FORBIDDEN: Final = re.compile(r"[^!$%&'()*+,./0-9:;=?@A-Z_a-z~-]")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_BAD_VALUE: Final = re.compile(r"=[^;]*%(?![0-9A-Fa-f]{2})")


def decode(url: str) -> bytes:
    """The bytes that a data URL holds; ValueError says what is wrong with it, without quoting it."""
    data, in_base64 = _split(url)
    return _base64(data) if in_base64 else unquote_to_bytes(_text(data))


def check(url: str) -> None:
    """ValueError, as from `decode`, unless the URL can be decoded; costs a fraction of doing it."""
    data, in_base64 = _split(url)
    if not in_base64:
        _text(data)
    elif not _is_base64(data):
        raise ValueError(_NO_BASE64)


def _split(url: str) -> tuple[str, bool]:
    """What follows the comma, and whether that is base64."""
    for head, in_base64 in _BARE:
        if url.startswith(head):
            return url[len(head) :], in_base64
    header = re.match(_HEADER, url)
    if header is None:
        raise ValueError("malformed data URL: " + _complaint(url))
    if _BAD_VALUE.search(re.sub(_QUOTED, "", header["parameters"])):
        raise ValueError("malformed data URL: a parameter holds a % without two hexadecimal digits")
    return url[header.end() :], header["base64"] is not None


def _complaint(url: str) -> str:
    if not url.startswith("data:"):
        return "it does not start with data: in lower case"
    if "," not in url:
        return "there is no comma before the data"
    return "what stands before the comma is neither a media type nor ;base64"


def _base64(data: str) -> bytes:
    try:
        if len(data) % 4 == 0:  # Python lets padding that is not needed pass
            return binascii.a2b_base64(data, strict_mode=True)
    except ValueError:
        pass  # its text would quote where in the data
    if "\n" in data:  # seldom, and a strict decoder does not pass over it
        return _base64(data.replace("\n", ""))
    raise ValueError(_NO_BASE64)


def _is_base64(data: str) -> bool:
    encoded = data.encode(errors="surrogatepass").replace(b"\n", b"")
    digits = encoded.rstrip(b"=")
    return len(encoded) % 4 == 0 and len(encoded) - len(digits) <= 2 and not digits.translate(None, _DIGITS)


def _text(data: str) -> str:
    """The data if they hold nothing but what may stand there."""
    forbidden = _FORBIDDEN.search(data)
    if forbidden:
        message = f"malformed data URL: character {forbidden.start() + 1} of the data must be escaped"
        raise ValueError(message)
    if _BAD_ESCAPE.search(data):
        raise ValueError("malformed data URL: the data holds a % without two hexadecimal digits")
    return data
