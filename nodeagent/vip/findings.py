"""What is wrong with the VIP, in a word for programs and a sentence for people.

Invariant: the word is one of `Code`, so that it can be the reason of a condition and the label of a metric.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Code(StrEnum):
    """What was found."""

    NOT_RUNNING = "KeepalivedNotRunning"
    HUNG = "KeepalivedHung"
    FAULT = "InstanceFault"
    MASTER_WITHOUT_VIP = "MasterWithoutVIP"
    VIP_WITHOUT_MASTER = "VIPWithoutMaster"
    DUPLICATE_OWNER = "DuplicateOwner"
    UNOWNED = "VIPUnowned"
    DROPPED = "VIPDropped"
    FOREIGN_VRID = "ForeignVRID"
    NOT_LOADED = "ConfigurationNotLoaded"
    PROBLEM = "ConfigurationProblem"


@dataclass(frozen=True, order=True)
class Finding:
    """`subject` is the instance, address or file that it is about; `advice` is what to do about it."""

    subject: str
    code: Code
    message: str
    advice: str = ""

    def __str__(self) -> str:
        text = f"{self.code}: {self.subject}: {self.message}"
        return f"{text}; {self.advice}" if self.advice else text

    def facts(self) -> dict[str, Any]:
        return {"code": str(self.code), "subject": self.subject, "message": self.message, "advice": self.advice}
