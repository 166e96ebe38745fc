"""A picture of scores: what is right by kind, and how far confidence can be believed.

It does not know models.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trainer.metrics.labels_score import reliability
from trainer.score import Scores

_DRAWN = {"quote": "#9aa5b1", "theme": "#3d7ea6", "problem": "#e07a5f", "main": "#81b29a"}
_BAR = 0.2  # width of a bar; four stand beside each other at each kind
_INCHES = (13, 4.5)


def draw(scores: Scores, path: Path) -> None:
    """Write a PNG: bars by kind on the left, the reliability diagram on the right."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (bars, diagram) = pyplot.subplots(
        1, 2, figsize=_INCHES, width_ratios=(3, 1), layout="constrained"
    )
    _bars(bars, scores)
    _diagram(diagram, scores)
    figure.savefig(path, dpi=110, format="png")
    pyplot.close(figure)


def _bars(axes: Any, scores: Scores) -> None:
    kinds = list(scores.shares)
    for place, (name, colour) in enumerate(_DRAWN.items()):
        heights = [s[name].value if s[name].of else 0.0 for s in scores.shares.values()]
        left = [index + (place - 1.5) * _BAR for index in range(len(kinds))]
        axes.bar(left, heights, _BAR, color=colour, label=name)
    labels = [f"{kind}\n{scores.reviews[kind]}" for kind in kinds]
    axes.set(title=f"Right of what {scores.name} shows", ylim=(0, 1), ylabel="share")
    axes.set_xticks(range(len(kinds)), labels, fontsize=8)
    axes.legend(ncols=len(_DRAWN), fontsize=8, loc="upper right")
    axes.grid(axis="y", alpha=0.3)


def _diagram(axes: Any, scores: Scores) -> None:
    points = reliability(scores.pairs)
    axes.plot([0, 1], [0, 1], color="#9aa5b1", linestyle=":")
    axes.scatter(
        [mean for mean, _ in points],
        [share.value for _, share in points],
        [10 + share.of for _, share in points],
        color="#3d7ea6",
        alpha=0.7,
    )
    axes.set(
        title="Quote and theme right", xlabel="confidence", ylabel="share", xlim=(0, 1), ylim=(0, 1)
    )
    axes.grid(alpha=0.3)
