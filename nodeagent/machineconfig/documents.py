"""From bytes to JSON values: YAML 1.2 and JSON documents, as people and machines write them.

A value holds only dict, list, str, int, float, bool and None, whatever the input; nothing is guessed into dates, and
yes, no, on and off stay words. Hostile input costs no more than its size: nesting, aliases and sizes have limits, and a
key that stands twice is an error, since which one counts depends on who reads it.
"""

from __future__ import annotations

from typing import Any, Final

from nodeagent.machineconfig.jsondocuments import NotJSON, Unreadable, parse_json

SIZE_LIMIT: Final = 32 << 20  # bytes of one source


def parse(data: bytes, *, strict_json: bool = False) -> list[Any]:
    """The values of all documents in `data`; Unreadable says why there are none.

    JSON is tried first where the text looks like it; with `strict_json` nothing else is.
    """
    if len(data) > SIZE_LIMIT:
        raise Unreadable(f"is larger than {SIZE_LIMIT >> 20} MiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Unreadable(f"line {line} is not UTF-8 (byte {data[error.start]:#04x})") from error
    if strict_json or text.lstrip()[:1] == "{":
        try:
            return [parse_json(text)]
        except NotJSON as error:
            if strict_json:
                raise Unreadable(f"is no JSON: {error}") from error
    from nodeagent.machineconfig.yamldocuments import parse_yaml  # noqa: PLC0415 - not needed where all is JSON

    return parse_yaml(text)
