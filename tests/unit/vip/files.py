"""Files in memory, as a configuration is read from them."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping

from nodeagent.vip.blocks import Document, parse
from nodeagent.vip.configuration import Configuration, configuration

PATH = "/etc/keepalived/keepalived.conf"


class FilesInMemory:
    """`texts` by absolute path."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts

    def read(self, path: str) -> str:
        if path not in self._texts:
            raise FileNotFoundError(2, "No such file or directory", path)
        return self._texts[path]

    def matches(self, pattern: str) -> tuple[str, ...]:
        if "*" not in pattern:
            return (pattern,)
        return tuple(sorted(fnmatch.filter(self._texts, pattern)))

    def exists(self, path: str) -> bool:
        return path in self._texts


def document(text: str, config_id: str = "k1", **others: str) -> Document:
    """The statements of `text`; `others` are files beside it, by name without its ending."""
    texts = {f"/etc/keepalived/{name}.conf": each for name, each in others.items()}
    return parse(PATH, FilesInMemory({PATH: text, **texts}), config_id)


def configured(text: str, config_id: str = "k1", **others: str) -> Configuration:
    return configuration(PATH, document(text, config_id, **others))
