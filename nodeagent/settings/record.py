"""One setting as a record: its kind, default and help, from which all else is derived."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from nodeagent.settings.kinds import Kind

V = TypeVar("V")

IP_ADDRESS = r"([0-9]{1,3}(\.[0-9]{1,3}){3}|[0-9a-fA-F:]*:[0-9a-fA-F:.]*)?"


@dataclass(frozen=True)
class Record:
    kind: Kind[Any]
    help: str
    default: Callable[[], Any]
    default_text: str
    negation: str


def setting(
    kind: Kind[V],
    default: V | Callable[[], V],
    *,
    help: str,  # noqa: A002 - the word that argparse and everybody else uses
    default_text: str = "",
    negation: str = "",
) -> V:
    """One field. A `default` that is only known on the node is a callable and described by `default_text`.

    `negation` is the flag that turns a Switch off; the field's own flag turns it on.
    """
    factory: Callable[[], V] = default if callable(default) else lambda: default
    record = Record(kind, help, factory, default_text or kind.show(factory()), negation)
    specifier: V = dataclasses.field(default_factory=factory, metadata={"record": record})
    return specifier
