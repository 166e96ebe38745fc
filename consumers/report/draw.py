"""Charts of a report as SVG: reviews and rating over time, a theme's trend, a bar. Numbers in, markup out.

Every number is rounded, so the same report gives the same bytes; texts inside are days and numbers
of ours. It does not know the page around them.
"""

from __future__ import annotations

from collections.abc import Sequence

from consumers.record.answers import Point

_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 640, 130, 28, 18


def over_time(points: Sequence[Point]) -> str:
    """Bars of reviews, and the mean rating as a line over a scale from 1 to 5; "" without points."""
    if not points:
        return ""
    most = max([point.reviews for point in points] + [1])
    step = (_WIDTH - 2 * _LEFT) / len(points)
    high = _HEIGHT - _BOTTOM - 8
    out = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" class="chart" '
        'aria-label="Reviews (bars) and mean rating (line) over time">'
    ]
    for place, point in enumerate(points):
        bar = high * point.reviews / most
        x, y = _LEFT + place * step + 0.1 * step, _HEIGHT - _BOTTOM - bar
        out.append(
            f'<rect class="bar" x="{x:.1f}" y="{y:.1f}" width="{0.8 * step:.1f}" height="{bar:.1f}"/>'
        )
    for run in _runs(points):
        where = [
            (
                _LEFT + (place + 0.5) * step,
                _HEIGHT - _BOTTOM - high * (rating - 1) / 4,
            )
            for place, rating in run
        ]
        if len(where) > 1:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in where)
            out.append(f'<polyline class="line" points="{path}"/>')
        if len(where) == 1 or len(points) <= 31:
            out += [f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="2.2"/>' for x, y in where]
    out.append(_axes(points, most, high, step))
    return "".join(out) + "</svg>"


def _runs(points: Sequence[Point]) -> list[list[tuple[int, float]]]:
    """Neighbouring points with a rating: a line does not cross days that nobody rated."""
    runs: list[list[tuple[int, float]]] = []
    last = -2
    for place, point in enumerate(points):
        if point.mean_rating is None:
            continue
        if place != last + 1:
            runs.append([])
        runs[-1].append((place, point.mean_rating))
        last = place
    return runs


def _axes(points: Sequence[Point], most: int, high: float, step: float) -> str:
    base = _HEIGHT - _BOTTOM
    out = [f'<line class="axis" x1="{_LEFT}" y1="{base}" x2="{_WIDTH - _LEFT}" y2="{base}"/>']
    for value, y in ((str(most), base - high), ("0", base)):
        out.append(f'<text x="{_LEFT - 4}" y="{y + 3:.1f}" text-anchor="end">{value}</text>')
    for stars in (1, 3, 5):
        y = base - high * (stars - 1) / 4
        out.append(f'<text class="stars" x="{_WIDTH - _LEFT + 4}" y="{y + 3:.1f}">{stars}★</text>')
    shown = sorted({0, len(points) // 2, len(points) - 1})
    for place in shown:
        x = _LEFT + (place + 0.5) * step
        anchor = "start" if place == 0 else "end" if place == len(points) - 1 else "middle"
        day = points[place].day
        out.append(
            f'<text x="{x:.1f}" y="{_HEIGHT - 4}" text-anchor="{anchor if len(points) > 1 else "middle"}">'
            f"{day.day} {day:%b}</text>"
        )
    return "".join(out)


def sparkline(values: Sequence[int]) -> str:
    """A theme's issues over the period as small bars."""
    if not values:
        return ""
    most, width, height = max([*values, 1]), 84, 20
    step = width / len(values)
    bars = "".join(
        f'<rect x="{n * step:.1f}" y="{height - height * v / most:.1f}" width="{max(0.8, 0.8 * step):.1f}" '
        f'height="{height * v / most:.1f}"/>'
        for n, v in enumerate(values)
    )
    return (
        f'<svg viewBox="0 0 {width} {height}" class="spark" role="img" '
        f'aria-label="between {min(values)} and {max(values)} a step">{bars}</svg>'
    )


def grouped(values: Sequence[int], most: int = 15) -> list[int]:
    """Sums of neighbours, so that at most `most` bars remain."""
    size = -(-len(values) // most) if values else 1
    return [sum(values[n : n + size]) for n in range(0, len(values), size)]
