"""The gateways' ends of BFD in a fabric, and BIRD as one, which the agent's own code keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nodeagent.egress.node.bird import configuration
from nodeagent.egress.node.part import GatewayPart
from nodeagent.host.speakers import Speakers


class Speaking(Protocol):
    """Speaks BFD in the namespaces of gateways."""

    def keep(self, part: GatewayPart) -> None:
        """Have it speak for `part`; where it does, this is no change."""

    def processes(self, part: GatewayPart) -> Mapping[str, int]:
        """Process ids by the name of the program, while it speaks."""

    def end(self, part: GatewayPart) -> None:
        """Done too where it does not speak."""


@dataclass(frozen=True)
class Birds:
    """BIRD, with its files below `folder`."""

    folder: Path

    def keep(self, part: GatewayPart) -> None:
        assert part.bfd is not None
        self._speakers.keep(part.namespace, configuration(part, part.bfd))

    def processes(self, part: GatewayPart) -> Mapping[str, int]:
        return {"bird": int((self.folder / part.namespace / "pid").read_text())}

    def end(self, part: GatewayPart) -> None:
        self._speakers.end(part.namespace)

    @property
    def _speakers(self) -> Speakers:
        return Speakers(str(self.folder))
