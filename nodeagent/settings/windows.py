"""Times of the week in which work that can wait is done, as a setting. All in UTC, whatever the node's own zone is."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from typing import Final

from nodeagent.settings.kinds import SettingError, quoted, string

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAY: Final = f"(?:{'|'.join(_DAYS)})"
_TIME: Final = r"(?:[01]\d|2[0-3]):[0-5]\d"
_FORM: Final = re.compile(rf"(?:(?P<days>{_DAY}(?:,{_DAY})*) )?(?P<begin>{_TIME})-(?P<end>{_TIME})", re.ASCII)


@dataclass(frozen=True)
class Window:
    """A time of the week. One that ends before it begins goes over midnight, and is of the day on which it begins."""

    days: tuple[int, ...]
    begin: datetime.time
    end: datetime.time

    def holds(self, now: datetime.datetime) -> bool:
        """Whether `now` lies in it."""
        utc = now.astimezone(datetime.UTC)
        time, day = utc.time(), utc.weekday()
        if self.begin < self.end:
            return day in self.days and self.begin <= time < self.end
        return (day in self.days and time >= self.begin) or ((day - 1) % 7 in self.days and time < self.end)

    def __str__(self) -> str:
        days = ",".join(_DAYS[day] for day in self.days)
        return f"{days} {self.begin:%H:%M}-{self.end:%H:%M}"


class Windows:
    """Windows such as "Sat,Sun 22:00-04:00", or "01:30-05:00" for each day."""

    form = 'array of windows "[DAY,...] HH:MM-HH:MM", or as text "WINDOW;..."'

    def parse(self, text: str) -> tuple[Window, ...]:
        return tuple(_window(part.strip()) for part in text.split(";")) if text else ()

    def native(self, value: object) -> tuple[Window, ...]:
        if not isinstance(value, list):
            raise SettingError(f"{quoted(value)} is not an array of windows")
        return tuple(_window(string(each)) for each in value)

    def show(self, value: tuple[Window, ...]) -> str:
        return ";".join(map(str, value))

    def plain(self, value: tuple[Window, ...]) -> list[str]:
        return list(map(str, value))


def _window(text: str) -> Window:
    found = _FORM.fullmatch(text)
    if found is None:
        raise SettingError(f"{quoted(text)} is no window, such as 'Sat,Sun 22:00-04:00' or '01:30-05:00' (UTC)")
    days = (found["days"] or ",".join(_DAYS)).split(",")
    begin, end = (datetime.time.fromisoformat(found[name]) for name in ("begin", "end"))
    if begin == end:
        raise SettingError(f"{quoted(text)} ends when it begins; leave windows out to have no limit")
    return Window(tuple(sorted({_DAYS.index(day) for day in days})), begin, end)
