"""BERTScore F1 per pair (Zhang et al. 2020, https://arxiv.org/abs/1904.09675), unrescaled: unrelated texts score high."""

from __future__ import annotations

from typing import Any

import bert_score
import datasets
import evaluate


class BertScore(evaluate.Metric):
    """`compute(predictions, references, model_type=PATH_OR_ID, num_layers=N)` -> {"bertscore": [F1 per pair]}."""

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
        self,
        predictions: list[str],
        references: list[str],
        model_type: str,
        num_layers: int | None = None,
    ) -> dict[str, list[float]]:
        scorer = bert_score.BERTScorer(model_type=model_type, num_layers=num_layers, batch_size=32)
        # A tokenizer that names no limit counts to 10^30, and bert-score cuts texts there. RoBERTa's
        # positions begin at 2.
        words = scorer._tokenizer
        most_tokens = scorer._model.config.max_position_embeddings - 2
        words.model_max_length = min(words.model_max_length, most_tokens)
        # bert-score warns and fails on empty strings; an empty answer deserves a score, and a low
        # one.
        _, _, f1 = scorer.score([p or "." for p in predictions], [r or "." for r in references])
        return {"bertscore": [float(x) for x in f1]}
