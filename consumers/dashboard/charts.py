"""Charts as SVG text made on the server: columns and lines over time, bars in tables, a trend in a cell.

Shapes stretch with the page (no text inside them), words and numbers are HTML around them: so they
stay legible at 360 px, and what a chart shows can also be read as a table. It knows neither queries
nor pages. Everything returned is escaped Markup without style attributes (the pages' CSP forbids them).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

_WIDTH, _HEIGHT = 600, 100  # units of the viewBox, not pixels


@dataclass(frozen=True)
class Point:
    """One step of a series: its label ("3 Nov", "week of 3 Nov") and its value; None: nothing there."""

    label: str
    value: float | None


def columns(
    title: str, points: Sequence[Point], unit: str, digits: int = 0, hot: Sequence[int] = ()
) -> Markup:
    """A column a point, from zero. `hot`: indexes that stand out (spikes)."""
    top = max((p.value or 0 for p in points), default=0) or 1
    step = _WIDTH / max(len(points), 1)
    shapes = Markup("").join(
        Markup(
            '<g><title>{}: {} {}</title><rect class="hit" x="{:.1f}" y="0" width="{:.1f}" height="{}"/>'
            '<rect class="column{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/></g>'
        ).format(
            p.label,
            number(p.value, digits),
            unit,
            i * step,
            step,
            _HEIGHT,
            " hot" if i in hot else "",
            i * step + step * 0.12,
            _HEIGHT - _HEIGHT * (p.value or 0) / top,
            step * 0.76,
            _HEIGHT * (p.value or 0) / top,
        )
        for i, p in enumerate(points)
    )
    return _figure(title, points, unit, digits, shapes, (0, top))


def line(
    title: str, points: Sequence[Point], unit: str, low: float, high: float, digits: int = 1
) -> Markup:
    """A line through the points between `low` and `high`; it is broken where there is nothing."""
    step = _WIDTH / max(len(points), 1)

    def place(i: int, value: float) -> tuple[float, float]:
        share = (min(max(value, low), high) - low) / (high - low)
        return (i + 0.5) * step, _HEIGHT - share * _HEIGHT

    path, pen_down = [], False
    marks = []
    for i, point in enumerate(points):
        if point.value is None:
            pen_down = False
            continue
        x, y = place(i, point.value)
        path.append(f"{'L' if pen_down else 'M'}{x:.1f} {y:.1f}")
        # A path of no length with round caps is a dot that no stretching distorts.
        marks.append(f"M{x:.1f} {y:.1f}h0.01")
        pen_down = True
    shapes = Markup('<path class="line" d="{}"/><path class="dots" d="{}"/>').format(
        " ".join(path), " ".join(marks)
    )
    shapes += Markup("").join(
        Markup(
            '<g><title>{}: {} {}</title><rect class="hit" x="{:.1f}" y="0" width="{:.1f}" height="{}"/></g>'
        ).format(p.label, number(p.value, digits), unit, i * step, step, _HEIGHT)
        for i, p in enumerate(points)
    )
    return _figure(title, points, unit, digits, shapes, (low, high))


def bar(share: float, kind: str = "") -> Markup:
    """A bar in a table's cell, `share` of its width in [0, 1].

    Its number stands in the next cell.
    """
    width = 100 * min(max(share, 0), 1)
    return Markup(
        '<svg class="bar {}" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="track" width="100" height="10"/><rect class="fill" width="{:.1f}" height="10"/></svg>'
    ).format(kind, width)


def trend(values: Sequence[float]) -> Markup:
    """A series without axes in a table's cell; decoration beside the numbers of its row."""
    top = max(values, default=0) or 1
    step = 100 / max(len(values), 1)
    shapes = Markup("").join(
        Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
            i * step, 24 - 24 * v / top, step * 0.8, 24 * v / top
        )
        for i, v in enumerate(values)
    )
    return Markup(
        '<svg class="trend" viewBox="0 0 100 24" preserveAspectRatio="none" aria-hidden="true">{}</svg>'
    ).format(shapes)


def number(value: float | None, digits: int = 0) -> str:
    """As people read it: "12,345", "3.4"; "none" where there is nothing."""
    return "none" if value is None else f"{value:,.{digits}f}"


def _figure(
    title: str,
    points: Sequence[Point],
    unit: str,
    digits: int,
    shapes: Markup,
    ends: tuple[float, float],
) -> Markup:
    """Shapes with their scale, the dates below, and the numbers as a table that opens."""
    rows = Markup("").join(
        Markup('<tr><th scope="row">{}</th><td>{}</td></tr>').format(
            p.label, number(p.value, digits)
        )
        for p in points
    )
    shown = _ticks(points)
    told = [p.value for p in points if p.value is not None]
    spoken = (
        f"{title}: {len(points)} steps from {points[0].label} to {points[-1].label}, "
        f"lowest {number(min(told), digits)}, highest {number(max(told), digits)} {unit}"
        if told
        else f"{title}: nothing in this period"
    )
    return Markup(
        '<figure class="chart"><figcaption>{title}</figcaption>'
        '<div class="plot"><span class="scale" aria-hidden="true"><span>{high}</span><span>{low}</span></span>'
        '<svg role="img" viewBox="0 0 {width} {height}" preserveAspectRatio="none" aria-label="{spoken}">'
        '<title>{spoken}</title><path class="grid" d="M0 0H{width}M0 50H{width}M0 100H{width}"/>{shapes}</svg></div>'
        '<div class="dates" aria-hidden="true">{ticks}</div>'
        '<details><summary>Numbers<span class="unseen"> of {title}</span></summary>'
        '<div class="scroll" tabindex="0" role="region" aria-label="{title}, numbers"><table class="numbers">'
        '<thead><tr><th scope="col">When</th><th scope="col">{head}</th></tr></thead><tbody>{rows}</tbody></table></div>'
        "</details></figure>"
    ).format(
        title=title,
        low=number(ends[0]),
        high=number(ends[1]),
        width=_WIDTH,
        height=_HEIGHT,
        spoken=spoken,
        shapes=shapes,
        ticks=Markup("").join(Markup("<span>{}</span>").format(label) for label in shown),
        head=unit.capitalize(),
        rows=rows,
    )


def _ticks(points: Sequence[Point]) -> list[str]:
    """At most three labels: both ends and the middle."""
    if len(points) < 3:
        return [p.label for p in points]
    return [points[0].label, points[len(points) // 2].label, points[-1].label]
