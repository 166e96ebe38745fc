"""The report of an evaluation: Markdown tables and PNG pictures, per pair, not one mean copied.

Pictures as in the original project: distributions of each score before and after, and BERTScore
against BLEURT. It does not know models; it reads scored rows.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainer.evaluate import Scored
from trainer.metrics.measures import MEANING

_SHOWN = ("meteor", "bertscore", "bleurt")
_COLOURS = {"base": "#9aa5b1", "champion": "#3d7ea6", "challenger": "#e07a5f"}


def write(scored: Sequence[Scored], task: str, folder: Path, verdict: Sequence[str] = ()) -> Path:
    """Write report.md, distributions.png and scatter.png; returns the Markdown file."""
    folder.mkdir(parents=True, exist_ok=True)
    _distributions(scored, folder / "distributions.png")
    drawn = _scatter(scored, folder / "scatter.png")
    lines = [
        f"# Evaluation of task `{task}`",
        "",
        f"{len(scored[0].rows)} reviews of the fixed holdout, greedy decoding.",
        "",
    ]
    if verdict:
        lines += ["## Verdict", "", *(f"- {line}" for line in verdict), ""]
    lines += ["## Means", "", *_means(scored), "", "## Per pair", "", *_quartiles(scored), ""]
    lines += [f"- {name} not computed: {why}" for name, why in scored[-1].missing.items()]
    lines += [
        "",
        "![distributions](distributions.png)",
        "",
        f"![{drawn}](scatter.png)",
        "",
        "## Slices",
        "",
        *_slices(scored),
    ]
    path = folder / "report.md"
    path.write_text("\n".join(lines) + "\n")
    return path


def _cell(value: float | None) -> str:
    return "n/a" if value is None or math.isnan(value) else f"{value:.3f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    out = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return out + ["| " + " | ".join(row) + " |" for row in rows]


def _means(scored: Sequence[Scored]) -> list[str]:
    means = [s.means() for s in scored]
    names = [n for n in MEANING if any(n in m and not math.isnan(m[n]) for m in means)]
    rows = [[n, *(_cell(m.get(n)) for m in means), MEANING[n]] for n in names]
    rows.append(["seconds", *(f"{s.seconds:.3f}" for s in scored), "per review, this machine"])
    return _table(["measure", *(f"{s.arm.role} `{s.arm.name}`" for s in scored), "meaning"], rows)


def _values(one: Scored, name: str) -> list[float]:
    found = [row["measures"].get(name, math.nan) for row in one.rows]
    return [v for v in found if not math.isnan(v)]


def _quartiles(scored: Sequence[Scored]) -> list[str]:
    rows = []
    for name in _SHOWN:
        for one in scored:
            values = _values(one, name)
            if len(values) > 1:
                low, _, high = statistics.quantiles(values, n=4)
                middle = (
                    statistics.mean(values),
                    statistics.median(values),
                    statistics.stdev(values),
                    low,
                    high,
                )
                rows.append([name, one.arm.role, *map(_cell, (*middle, min(values), max(values)))])
    return _table(["score", "arm", "mean", "median", "std", "25%", "75%", "min", "max"], rows)


def _slices(scored: Sequence[Scored]) -> list[str]:
    from trainer.metrics.measures import PRIMARY, mean

    name = next(
        (PRIMARY[t] for t in PRIMARY if any(PRIMARY[t] in r["measures"] for r in scored[0].rows)),
        "meteor",
    )
    found = sorted({s for row in scored[0].rows for s in row["slices"]})
    rows = []
    for group in found:
        inside = [
            [r["measures"].get(name, math.nan) for r in one.rows if group in r["slices"]]
            for one in scored
        ]
        rows.append([group, str(len(inside[0])), *(_cell(mean(values)) for values in inside)])
    return _table(["slice", "reviews", *(f"{s.arm.role} {name}" for s in scored)], rows)


def _figure(columns: int) -> Any:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot.subplots(
        1, columns, figsize=(4.6 * columns, 3.4), layout="constrained", squeeze=False
    )


def _distributions(scored: Sequence[Scored], path: Path) -> None:
    names = [n for n in (*_SHOWN, "issue_f1") if any(_values(s, n) for s in scored)]
    figure, axes = _figure(max(1, len(names)))
    for axis, name in zip(axes[0], names, strict=False):
        for one in scored:
            colour = _COLOURS[one.arm.role]
            values = _values(one, name)
            if values:
                axis.hist(
                    values,
                    bins=24,
                    alpha=0.55,
                    color=colour,
                    label=f"{one.arm.role}, mean {statistics.mean(values):.3f}",
                )
                axis.axvline(statistics.mean(values), color=colour, linewidth=1.5)
        axis.set(title=name, xlabel="score of a pair", ylabel="pairs")
        axis.legend(fontsize=8, frameon=False)
    figure.savefig(path, dpi=110)


def _scatter(scored: Sequence[Scored], path: Path) -> str:
    """BERTScore against BLEURT.

    Against METEOR, and named so, where no BLEURT checkpoint was at hand.
    """
    other = "bleurt" if any(_values(s, "bleurt") for s in scored) else "meteor"
    figure, axes = _figure(1)
    for one in scored:
        pairs = [(r["measures"].get("bertscore"), r["measures"].get(other)) for r in one.rows]
        real = [(a, b) for a, b in pairs if a is not None and b is not None]
        if real:
            axes[0][0].scatter(
                *zip(*real, strict=True),
                s=14,
                alpha=0.6,
                color=_COLOURS[one.arm.role],
                label=one.arm.role,
            )
    axes[0][0].set(
        xlabel="BERTScore F1",
        ylabel=other.upper(),
        title=f"BERTScore against {other.upper()}, a point per pair",
    )
    axes[0][0].legend(frameon=False)
    figure.savefig(path, dpi=110)
    return f"BERTScore against {other.upper()}"
