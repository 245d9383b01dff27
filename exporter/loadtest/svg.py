"""Charts as inline SVG: lines and bars with axes, coloured by the page's style (``.c0`` to ``.c3``)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 720, 280, 70, 14, 26, 44
_TICKS = 5


@dataclass(frozen=True)
class Series:
    """A line, or one bar of every group; None leaves a gap. ``dots`` shows the points alone."""

    name: str
    values: Sequence[float | None]
    dots: bool = False


@dataclass(frozen=True)
class _Scale:
    """From values to places on an axis."""

    low: float
    high: float
    begin: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        f = math.log if self.logarithmic else float
        low, high = f(self.low), f(self.high)
        share = (f(value) - low) / (high - low) if high > low else 0.5
        return round(self.begin + share * (self.end - self.begin), 2)


def line_chart(
    title: str,
    x: Sequence[float],
    series: Sequence[Series],
    *,
    x_label: str,
    y_label: str,
    goal: float | None = None,
    logarithmic: bool = False,
    tell: Callable[[float], str] = lambda value: f"{value:.3g}",
) -> str:
    """Lines over the same ``x``; ``goal`` is drawn across. ``tell`` writes the value that is pointed at."""
    known = [value for one in series for value in one.values if value is not None]
    across = _Scale(min(x), max(x), _LEFT, _WIDTH - _RIGHT, logarithmic)
    up = _upwards([*known, *([goal] if goal is not None else [])])
    drawn = [_axis_x(across, x_label), _axis_y(up, y_label)]
    for number, one in enumerate(series):
        points = [(across(at), up(v), v) for at, v in zip(x, one.values, strict=True) if v is not None]
        if not one.dots and len(points) > 1:
            path = " ".join(f"{left},{top}" for left, top, _ in points)
            drawn.append(f'<polyline class="line c{number}" points="{path}"/>')
        drawn += [
            f'<circle class="dot c{number}" cx="{left}" cy="{top}" r="{4 if one.dots else 2}">'
            f"<title>{escape(one.name)}: {escape(tell(value))}</title></circle>"
            for left, top, value in points
        ]
    if goal is not None:
        drawn.append(
            f'<line class="goal" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{up(goal)}" y2="{up(goal)}"/>'
        )
    return _svg(title, [one.name for one in series], drawn)


def bar_chart(
    title: str,
    names: Sequence[str],
    series: Sequence[Series],
    *,
    x_label: str,
    y_label: str,
    tell: Callable[[float], str] = lambda value: f"{value:.3g}",
) -> str:
    """A group of bars for each name; of many names some are written."""
    up = _upwards([value for one in series for value in one.values if value is not None])
    room = (_WIDTH - _LEFT - _RIGHT) / max(1, len(names))
    width = room * 0.8 / max(1, len(series))
    drawn = [_axis_y(up, y_label), _label_x(x_label)]
    every = max(1, math.ceil(len(names) / 12))
    for place, name in enumerate(names):
        left = _LEFT + place * room + room * 0.1
        if place % every == 0:
            middle, base = left + room * 0.4, _HEIGHT - _BOTTOM + 16
            drawn.append(f'<text x="{middle:.1f}" y="{base}" text-anchor="middle">{escape(name)}</text>')
        for number, one in enumerate(series):
            if (value := one.values[place]) is None:
                continue
            top = up(value)
            drawn.append(
                f'<rect class="bar c{number}" x="{left + number * width:.1f}" y="{top}" width="{width:.1f}" '
                f'height="{up(0) - top:.2f}"><title>{escape(f"{name}, {one.name}: {tell(value)}")}</title>'
                "</rect>"
            )
    return _svg(title, [one.name for one in series], drawn)


def ticks(low: float, high: float) -> list[float]:
    """Round numbers between two, about five; the worked example: 0 and 0.42 give 0, 0.1, 0.2, 0.3, 0.4."""
    if high <= low:
        return [low]
    rough = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(n * step, 12) for n in range(first, math.floor(high / step + 1e-9) + 1)]


def _upwards(values: Sequence[float]) -> _Scale:
    return _Scale(0.0, max([*values, 0.0]) * 1.05 or 1.0, _HEIGHT - _BOTTOM, _TOP)


def _axis_x(scale: _Scale, label: str) -> str:
    places = _powers(scale) if scale.logarithmic else ticks(scale.low, scale.high)
    base = _HEIGHT - _BOTTOM
    marks = "".join(
        f'<text x="{scale(at)}" y="{base + 16}" text-anchor="middle">{at:g}</text>' for at in places
    )
    return (
        f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{base}" y2="{base}"/>'
        + marks
        + _label_x(label)
    )


def _label_x(label: str) -> str:
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    return f'<text x="{middle}" y="{_HEIGHT - 8}" text-anchor="middle">{escape(label)}</text>'


def _axis_y(scale: _Scale, label: str) -> str:
    lines = "".join(
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{scale(at)}" y2="{scale(at)}"/>'
        f'<text x="{_LEFT - 8}" y="{scale(at) + 4}" text-anchor="end">{at:g}</text>'
        for at in ticks(scale.low, scale.high)
    )
    return lines + f'<text x="8" y="{_TOP - 10}">{escape(label)}</text>'


def _powers(scale: _Scale) -> list[float]:
    """1, 2 and 5 times powers of ten; both ends where there are fewer than two."""
    first, last = math.floor(math.log10(scale.low)), math.ceil(math.log10(scale.high))
    found = [factor * 10.0**power for power in range(first, last + 1) for factor in (1, 2, 5)]
    inside = [value for value in found if scale.low <= value <= scale.high]
    return inside if len(inside) > 1 else [float(f"{scale.low:.3g}"), float(f"{scale.high:.3g}")]


def _svg(title: str, names: Sequence[str], drawn: Sequence[str]) -> str:
    legend, left = [], float(_WIDTH - _RIGHT)
    for number, name in reversed(list(enumerate(names))):
        left -= 7.2 * len(name) + 24
        legend.append(
            f'<rect class="bar c{number}" x="{left:.1f}" y="6" width="10" height="10"/>'
            f'<text x="{left + 14:.1f}" y="15">{escape(name)}</text>'
        )
    content = "".join([*drawn, *(legend if len(names) > 1 else [])])
    return (
        f"<figure><figcaption>{escape(title)}</figcaption>"
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">'
        f"{content}</svg></figure>"
    )
