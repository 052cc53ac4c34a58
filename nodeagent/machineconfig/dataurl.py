"""Data URLs (RFC 2397), read exactly as Ignition reads them.

Stricter than the RFC and than Python: the scheme is lower case, base64 needs its padding and nothing after it, and raw
spaces, quotes and brackets are refused. Newlines between base64 characters pass here, as they do there (a URL that
holds one is refused as a URL).
"""

from __future__ import annotations

import binascii
import re
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
_HEADER: Final = re.compile(
    rf"data:(?:(?:[xX]-|{_TYPES}){_WORD}*/{_WORD}*)?"
    rf"(?P<parameters>(?:;{_WORD}+=(?:{_WORD}+|{_QUOTED}))*)(?P<base64>;base64)?,"
)
_STRING: Final = re.compile(_QUOTED)
_FORBIDDEN: Final = re.compile(r"[^!$%&'()*+,./0-9:;=?@A-Z_a-z~-]")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_BAD_VALUE: Final = re.compile(r"=[^;]*%(?![0-9A-Fa-f]{2})")


def decode(url: str) -> bytes:
    """The bytes that a data URL holds; ValueError says what is wrong with it, without quoting it."""
    header = _HEADER.match(url)
    if header is None:
        raise ValueError("malformed data URL: " + _complaint(url))
    if _BAD_VALUE.search(_STRING.sub("", header["parameters"])):
        raise ValueError("malformed data URL: a parameter holds a % without two hexadecimal digits")
    data = url[header.end() :]
    return _base64(data) if header["base64"] else _text(data)


def _complaint(url: str) -> str:
    if not url.startswith("data:"):
        return "it does not start with data: in lower case"
    if "," not in url:
        return "there is no comma before the data"
    return "what stands before the comma is neither a media type nor ;base64"


def _base64(data: str) -> bytes:
    data = data.replace("\n", "")
    try:
        if len(data) % 4 == 0:  # Python lets padding that is not needed pass
            return binascii.a2b_base64(data, strict_mode=True)
    except ValueError:
        pass  # its text would quote where in the data
    raise ValueError("malformed data URL: the data is no base64 with padding (RFC 4648 section 4)")


def _text(data: str) -> bytes:
    forbidden = _FORBIDDEN.search(data)
    if forbidden:
        message = f"malformed data URL: character {forbidden.start() + 1} of the data must be escaped"
        raise ValueError(message)
    if _BAD_ESCAPE.search(data):
        raise ValueError("malformed data URL: the data holds a % without two hexadecimal digits")
    return unquote_to_bytes(data)
