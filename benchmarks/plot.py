"""Bars with whiskers from minimum to maximum, as SVG; the bars of one unit share a scale."""

from html import escape
from typing import NamedTuple

LABEL, CHART, VALUE = 430, 420, 150
LINE, TOP = 22, 44
COLOURS = ("#4269d0", "#efb118", "#3ca951", "#ff725c", "#a463f2", "#97bbf5")


class Bar(NamedTuple):
    """One measure of a result."""

    label: str
    unit: str
    minimum: float
    median: float
    maximum: float


def svg(title: str, bars: list[Bar]) -> str:
    """The picture; readable in light and dark as it brings its own background."""
    width, height = LABEL + CHART + VALUE, TOP + LINE * len(bars) + 12
    units = list(dict.fromkeys(bar.unit for bar in bars))
    scales = {unit: max(bar.maximum for bar in bars if bar.unit == unit) or 1.0 for unit in units}
    size = f'width="{width}" height="{height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="system-ui, sans-serif" font-size="12">',
        f'<rect {size} fill="white"/>',
        f'<text x="12" y="24" font-size="15" font-weight="bold">{escape(title)}</text>',
    ]
    for number, bar in enumerate(bars):
        colour = COLOURS[units.index(bar.unit) % len(COLOURS)]
        lines += _bar(bar, TOP + LINE * number, CHART / scales[bar.unit], colour)
    return "\n".join([*lines, "</svg>", ""])


def _bar(bar: Bar, top: int, scale: float, colour: str) -> list[str]:
    middle = top + LINE / 2
    low, mid, high = (LABEL + max(value, 0) * scale for value in (bar.minimum, bar.median, bar.maximum))
    whisker = f"M{low:.1f} {middle}H{high:.1f}M{low:.1f} {top + 6}v{LINE - 12}M{high:.1f} {top + 6}v{LINE - 12}"
    return [
        f'<text x="{LABEL - 8}" y="{middle + 4}" text-anchor="end">{escape(bar.label)}</text>',
        f'<rect x="{LABEL}" y="{top + 4}" width="{mid - LABEL:.1f}" height="{LINE - 8}" fill="{colour}"/>',
        f'<path d="{whisker}" stroke="black" fill="none"/>',
        f'<text x="{high + 8:.1f}" y="{middle + 4}">{bar.median:,.4g} {escape(bar.unit)}</text>',
    ]
