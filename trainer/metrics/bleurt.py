"""BLEURT per pair (Sellam et al. 2020, https://arxiv.org/abs/2004.04696) from a local checkpoint folder.

`evaluate`'s own module needs TensorFlow, bleurt-pytorch cannot be imported under transformers 5;
the architecture is a BERT with (for BLEURT-20) an embedding size of its own, a pooler and one
linear unit. See trainer/metrics/bleurt_model.py.
"""

from __future__ import annotations

from typing import Any

import datasets
import evaluate

from trainer.metrics.bleurt_model import score


class Bleurt(evaluate.Metric):
    """`compute(predictions, references, checkpoint=FOLDER)` -> {"bleurt": [float per pair]}.

    Below 0 is possible.
    """

    def _info(self) -> Any:
        return evaluate.MetricInfo(
            description=__doc__ or "",
            citation="",
            inputs_description="",
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def _compute(
        self, predictions: list[str], references: list[str], checkpoint: str
    ) -> dict[str, list[float]]:
        return {"bleurt": score(predictions, references, checkpoint)}
