"""The dashboards as pictures for the documents: a static report of the same queries, as SVG.

python -m tests.monitoring.picture docs/dashboards
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from tests.monitoring.dashboards import Panel, documents, panels
from tests.monitoring.fleet import fleet
from tests.monitoring.server import Prometheus, Series

_COLUMN, _ROW, _GAP, _HEAD = 50, 26, 8, 40
_SPAN, _STEP = 60.0, 2.0  # seconds that lines show, and between two of their points
_COLOURS = ("#3274d9", "#e0752d", "#56a64b", "#a352cc", "#c4162a", "#b8860b", "#17807e", "#6b6b6b")
_MOST = 7  # legend lines of a panel
_UNITS = ((86400.0, "d"), (3600.0, "h"))

Row = tuple[str, Series]


def pictures(server: Prometheus) -> dict[str, str]:
    """An SVG document for each dashboard."""
    now = time.time()
    return {name: _picture(name, document["title"], server, now) for name, document in documents().items()}


def _picture(name: str, title: str, server: Prometheus, now: float) -> str:
    own = [panel for panel in panels() if panel.dashboard == name]
    height = _HEAD + _ROW * max(each.place["y"] + each.place["h"] for each in own)
    parts = [part for panel in own for part in _panel(panel, server, now)]
    size = f'width="{24 * _COLUMN}" height="{height}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">',
            '<rect width="100%" height="100%" fill="#f4f5f5"/>',
            f'<text x="{_GAP}" y="26" font-size="18">{escape(title)}</text>',
            *parts,
            "</svg>\n",
        ]
    )


def _panel(panel: Panel, server: Prometheus, now: float) -> Iterator[str]:
    width, height = panel.place["w"] * _COLUMN - _GAP, panel.place["h"] * _ROW - _GAP
    yield f'<g transform="translate({panel.place["x"] * _COLUMN + _GAP // 2},{panel.place["y"] * _ROW + _HEAD})">'
    yield f'<rect width="{width}" height="{height}" fill="#fff" stroke="#d8d9da"/>'
    yield f'<text x="{_GAP}" y="18" font-weight="bold">{escape(panel.title)}</text>'
    rows = _rows(panel, server, now)
    drawn = {"stat": _stat, "table": _table, "timeseries": _lines}[panel.kind]
    yield from drawn(panel, rows, width, height) if rows else ('<text x="8" y="40">no data</text>',)
    yield "</g>"


def _rows(panel: Panel, server: Prometheus, now: float) -> list[Row]:
    """Each series with its legend."""
    found: list[Row] = []
    for expression, legend in panel.queries:
        lines = panel.kind == "timeseries"
        answer = server.over(expression, now - _SPAN, now, _STEP) if lines else server.now(expression)
        found += [(_named(legend, each), each) for each in answer]
    return found


def _named(legend: str, series: Series) -> str:
    for label, text in series.labels.items():
        legend = legend.replace(f"{{{{{label}}}}}", text)
    return legend


def _stat(panel: Panel, rows: Sequence[Row], _width: int, height: int) -> Iterator[str]:
    for index, (name, series) in enumerate(rows[:3]):
        text = " ".join(filter(None, (_shown(series.points[-1][1], panel.unit), name if len(rows) > 1 else "")))
        size = 30 if len(rows) == 1 else 18
        yield f'<text x="{_GAP * 2}" y="{height // 2 + 14 + index * 24}" font-size="{size}">{escape(text)}</text>'


def _table(panel: Panel, rows: Sequence[Row], width: int, _height: int) -> Iterator[str]:
    for index, (name, series) in enumerate(rows[:_MOST]):
        y = 44 + index * 20
        yield f'<text x="{_GAP}" y="{y}">{escape(name)}</text>'
        value = escape(_shown(series.points[-1][1], panel.unit))
        yield f'<text x="{width - _GAP}" y="{y}" text-anchor="end">{value}</text>'
    yield from _rest(rows, 44 + _MOST * 20)


def _lines(panel: Panel, rows: Sequence[Row], width: int, height: int) -> Iterator[str]:
    plot, left = width // 2, 70
    values = [value for _, series in rows for _, value in series.points]
    low, high = min(0.0, *values), max(values) or 1.0
    begin, end = (pick(at for _, series in rows for at, _ in series.points) for pick in (min, max))
    for value, y in ((high, 32), (low, height - 10)):
        yield f'<text x="{left - 6}" y="{y}" text-anchor="end" fill="#777">{escape(_shown(value, panel.unit))}</text>'
    for index, (name, series) in enumerate(rows):
        colour = _COLOURS[index % len(_COLOURS)]
        across = (left + (at - begin) / ((end - begin) or 1.0) * (plot - left) for at, _ in series.points)
        down = (height - 14 - (value - low) / (high - low) * (height - 42) for _, value in series.points)
        points = " ".join(f"{x:.0f},{y:.0f}" for x, y in zip(across, down, strict=True))
        yield f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
        if index < _MOST:
            label = escape(f"{name or 'all'}: {_shown(series.points[-1][1], panel.unit)}")
            yield f'<text x="{plot + 12}" y="{40 + index * 20}" fill="{colour}">{label}</text>'
    yield from _rest(rows, 40 + _MOST * 20, plot + 12)


def _rest(rows: Sequence[Row], y: int, x: int = _GAP) -> Iterator[str]:
    if len(rows) > _MOST:
        yield f'<text x="{x}" y="{y}" fill="#777">and {len(rows) - _MOST} more</text>'


def _shown(value: float, unit: str) -> str:
    if unit == "s":
        size, name = next((each for each in _UNITS if abs(value) > 2 * each[0]), (1.0, "s"))
        return f"{value / size:.3g} {name}" if size == 1.0 else f"{value / size:.0f} {name}"
    if unit == "bytes":
        return f"{value / (1 << 20):.1f} MiB"
    return f"{value:.1%}" if unit == "percentunit" else f"{value:.4g}"


def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch, fleet(Path(scratch)) as server:
        for name, text in pictures(server).items():
            (folder / f"{name}.svg").write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
