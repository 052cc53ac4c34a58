"""Numbers with units: counts, durations and sizes.

Invariant: the shown form is exact; reading it gives the same number again.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from nodeagent.settings.kinds import SettingError, bounded, quoted

_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_DURATION = r"(?:[0-9]{1,12}(?:\.[0-9]{1,9})?(?:ms|s|m|h|d))+"
_DURATION_PART = r"([0-9.]+)(ms|s|m|h|d)"
_SECONDS_ONLY = r"[0-9]{1,12}(?:\.[0-9]{1,9})?"
_BYTES = {"GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10, "B": 1, "": 1}
_SIZE = r"([0-9]{1,18}) ?(GiB|MiB|KiB|B|)"


def show_duration(seconds: float) -> str:
    """The shortest exact form: 60.0 → 1m, 90.0 → 90s, 0.05 → 50ms."""
    milliseconds = seconds * 1000
    if seconds and milliseconds == int(milliseconds) and milliseconds % 1000:
        return f"{int(milliseconds)}ms"
    if seconds != int(seconds):
        return f"{seconds:.9f}".rstrip("0") + "s"
    unit = next((unit for unit, size in _SECONDS.items() if seconds >= size and seconds % size == 0), "s")
    return f"{int(seconds) // _SECONDS[unit]}{unit}"


def show_size(size: int) -> str:
    """The shortest exact form: 67108864 → 64MiB."""
    unit = next((unit for unit, scale in _BYTES.items() if size >= scale and size % scale == 0), "B")
    return f"{size // _BYTES[unit]}{unit}"


def _whole(value: object, noun: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise SettingError(f"{quoted(value)} is not a {noun}")
    return value


@dataclass(frozen=True)
class Count:
    """A whole number from `low` to `high`."""

    low: int
    high: int

    @property
    def form(self) -> str:
        return f"whole number, {self.low} to {self.high}"

    def parse(self, text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,18}", text):
            raise SettingError(f"{quoted(text)} is not a whole number")
        return self.native(int(text))

    def native(self, value: object) -> int:
        return bounded(_whole(value, "whole number"), self.low, self.high, str)

    def show(self, value: int) -> str:
        return str(value)

    def plain(self, value: int) -> int:
        return value


@dataclass(frozen=True)
class Duration:
    """Seconds, from `low` to `high`; exact to the nanosecond."""

    low: float
    high: float

    @property
    def form(self) -> str:
        bounds = f"{show_duration(self.low)} to {show_duration(self.high)}"
        return f'duration ("50ms", "60s", "1h30m", or seconds), {bounds}'

    def parse(self, text: str) -> float:
        if re.fullmatch(_SECONDS_ONLY, text):
            return self._checked(float(text))
        if not re.fullmatch(_DURATION, text):
            raise SettingError(f"{quoted(text)} is not a duration")
        return self._checked(math.fsum(map(_seconds, re.findall(_DURATION_PART, text))))

    def native(self, value: object) -> float:
        if isinstance(value, str):
            return self.parse(value)
        # TOML has nan and inf, and its booleans are numbers to Python
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise SettingError(f"{quoted(value)} is not a duration")
        return self._checked(value)

    def _checked(self, seconds: float) -> float:
        return bounded(round(float(seconds), 9), self.low, self.high, show_duration)

    def show(self, value: float) -> str:
        return show_duration(value)

    plain = show


def _seconds(part: tuple[str, str]) -> float:
    amount, unit = part
    return float(amount) / 1000 if unit == "ms" else float(amount) * _SECONDS[unit]


@dataclass(frozen=True)
class Size:
    """Bytes, from `low` to `high`."""

    low: int
    high: int

    @property
    def form(self) -> str:
        return f'size ("64MiB", "512KiB", or bytes), {show_size(self.low)} to {show_size(self.high)}'

    def parse(self, text: str) -> int:
        match = re.fullmatch(_SIZE, text)
        if match is None:
            raise SettingError(f"{quoted(text)} is not a size")
        return self.native(int(match[1]) * _BYTES[match[2]])

    def native(self, value: object) -> int:
        if isinstance(value, str):
            return self.parse(value)
        return bounded(_whole(value, "size"), self.low, self.high, show_size)

    def show(self, value: int) -> str:
        return show_size(value)

    plain = show
