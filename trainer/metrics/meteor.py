"""METEOR per pair by NLTK with real WordNet (Banerjee & Lavie 2005, https://aclanthology.org/W05-0909/)."""

from __future__ import annotations

from typing import Any

import datasets
import evaluate
from nltk.tokenize.treebank import TreebankWordTokenizer
from nltk.translate.meteor_score import single_meteor_score


class Meteor(evaluate.Metric):
    """`compute(predictions=[str], references=[str])` -> {"meteor": [float in 0..1 per pair]}."""

    def _info(self) -> Any:
        return evaluate.MetricInfo(
            description=__doc__ or "",
            citation="",
            inputs_description="",
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, list[float]]:
        split = TreebankWordTokenizer().tokenize
        pairs = zip(references, predictions, strict=True)
        return {"meteor": [float(single_meteor_score(split(r), split(p))) for r, p in pairs]}
