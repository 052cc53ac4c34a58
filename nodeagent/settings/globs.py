"""Globs of paths, as a setting.

Invariant: a glob is absolute and clean, and holds no ',' since its text form separates globs by it.
"""

from __future__ import annotations

from nodeagent.settings.kinds import ABSOLUTE_PATH, SettingError, quoted, string


class Globs:
    """Absolute paths in which *, ? and [...] stand for parts of a name (never for '/')."""

    form = 'array of absolute path globs, or as text "GLOB,..."'

    def parse(self, text: str) -> tuple[str, ...]:
        return tuple(_glob(part.strip()) for part in text.split(",")) if text else ()

    def native(self, value: object) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise SettingError(f"{quoted(value)} is not an array of globs")
        return tuple(_glob(string(each)) for each in value)

    def show(self, value: tuple[str, ...]) -> str:
        return ",".join(value)

    def plain(self, value: tuple[str, ...]) -> list[str]:
        return list(value)


def _glob(text: str) -> str:
    if "," in text:
        raise SettingError(f"{quoted(text)} holds a ','; name it with '?' in its place")
    return ABSOLUTE_PATH.native(text)
