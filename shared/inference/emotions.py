"""EmotionClassifier: reviews in, 28 probabilities and the present emotions out, long texts read whole.

Two engines behind one protocol: an int8 ONNX file (laptop preset; what `beyond train-emotions`
writes) and any transformers sequence classifier with the 28 GoEmotions labels (gpu preset). A text
is cut into windows of whole sentences, so nothing is cut off. The packaged model has a review head
(shared/inference/emotion_review.py); without one, each label takes its highest probability over the
windows. What is said of a text does not depend on the texts beside it. It does not know reviews'
origin, storage or queues.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from shared.errors import ModelUnavailable
from shared.inference.batching import windows
from shared.inference.emotion_engines import Engine, onnx_engine, transformers_engine
from shared.inference.emotion_review import FILE as REVIEW_HEAD
from shared.inference.emotion_review import ReviewHead, features
from shared.inference.weights import resolve
from shared.review import EMOTIONS, Emotions
from shared.settings import Settings

MANIFEST = "emotions.json"
WINDOW_TOKENS = 64  # about three sentences; GoEmotions comments average 16 tokens. Measured: see the model card.
# The review head reads up to so many tokens in one pass; 95% of the labelled reviews are shorter.
REVIEW_WINDOW_TOKENS = 254
# Texts whose features are held at a time.
_CHUNK_TEXTS = 256
_SENTENCE = re.compile(r"(?<=[.!?…。！？])\s+|\n+")


class EmotionClassifier(Protocol):
    """Anything that reads emotions."""

    name: str

    def classify(
        self, texts: Sequence[str], ratings: Sequence[float | None] | None = None
    ) -> list[Emotions]:
        """One Emotions per review, same order; `ratings` in stars, none where unknown."""
        ...


class WindowedClassifier:
    """Windows, pooling and thresholds around an engine that turns token ids into logits.

    Args:
        name: what is written into an Analysis.
        tokenizer: a fast tokenizer.
        engine: rows of token ids -> per row its float32 [28] logits in `labels` order, and features.
        labels: label of each logit.
        thresholds: probability from which a label of a comment counts as present, in `labels` order.
        head: judges whole reviews by the engine's features and the stars; None: thresholds do.
        languages: ISO 639-1 codes of what the model reads; empty: not known.
    """

    def __init__(
        self,
        name: str,
        tokenizer: Any,
        engine: Engine,
        labels: Sequence[str],
        thresholds: Sequence[float],
        *,
        head: ReviewHead | None = None,
        languages: Sequence[str] = (),
        window_tokens: int = WINDOW_TOKENS,
    ) -> None:
        if sorted(labels) != sorted(EMOTIONS):
            raise ModelUnavailable(f"{name}: its labels are not the 28 of GoEmotions")
        self.name, self.languages = name, tuple(languages)
        self._tokenizer, self._engine, self._head = tokenizer, engine, head
        self._window = window_tokens
        self._order = [list(labels).index(e) for e in EMOTIONS]
        self._thresholds = np.asarray(thresholds, dtype=np.float32)[self._order]
        around = tokenizer("")["input_ids"]  # what the model puts around a text
        self._ends = around[: len(around) // 2], around[len(around) // 2 :]

    def classify(
        self, texts: Sequence[str], ratings: Sequence[float | None] | None = None
    ) -> list[Emotions]:
        """One Emotions per review, same order. Cost: one forward over every token, once.

        Stars matter where the model has a review head: the same words are kinder at three than at one.
        """
        if self._head is None:
            return [_emotions(row, self._over(row)) for row in self.probabilities(texts)]
        head, out = self._head, []
        stars = ratings if ratings is not None else [None] * len(texts)
        for found, rating in zip(self.features(texts), stars, strict=True):
            row = head.probabilities(found, rating)
            out.append(_emotions(row, head.shown(row, rating)))
        return out

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """float32 [texts, 28] in the order of EMOTIONS, as GoEmotions' comments are read: the maximum over windows."""
        out = np.zeros((len(texts), len(EMOTIONS)), dtype=np.float32)
        for index, ran in enumerate(self._run(texts, self._window)):
            logits = np.stack([found[0] for _, found in ran])[:, self._order]
            out[index] = (1 / (1 + np.exp(-logits))).max(0)
        return out

    def features(self, texts: Sequence[str]) -> list[np.ndarray]:
        """What the review head judges by, one float32 array a text."""
        return [
            features([(tokens, f[0][self._order], f[1], f[2]) for tokens, f in ran])
            for ran in self._run(texts, REVIEW_WINDOW_TOKENS)
        ]

    def _run(self, texts: Sequence[str], limit: int) -> list[list[tuple[int, list[np.ndarray]]]]:
        """Per text and window: tokens and what the engine found."""
        out: list[list[tuple[int, list[np.ndarray]]]] = []
        for start in range(0, len(texts), _CHUNK_TEXTS):
            cut = [self._windows(text, limit) for text in texts[start : start + _CHUNK_TEXTS]]
            found = iter(self._engine([row for rows in cut for row in rows]))
            out += [[(len(row), next(found)) for row in rows] for rows in cut]
        return out

    def _windows(self, text: str, limit: int) -> list[list[int]]:
        """Token ids of each window, with the model's own start and end tokens."""
        pieces: list[list[int]] = []
        sentences = [s for s in _SENTENCE.split(text) if s.strip()] or [text]
        for ids in self._tokenizer(sentences, add_special_tokens=False)["input_ids"]:
            # A "sentence" without full stops may be a whole page: cut it, or it would be one
            # over-long window.
            pieces += [ids[i : i + limit] for i in range(0, len(ids), limit)] or [[]]
        begin, end = self._ends
        packed = windows([len(p) for p in pieces], limit)
        return [[*begin, *(t for i in w for t in pieces[i]), *end] for w in packed]

    def _over(self, row: np.ndarray) -> tuple[str, ...]:
        over = [int(i) for i in np.argsort(-row, kind="stable") if row[i] >= self._thresholds[i]]
        return tuple(EMOTIONS[i] for i in over if EMOTIONS[i] != "neutral") or ("neutral",)


def _emotions(row: np.ndarray, present: tuple[str, ...]) -> Emotions:
    return Emotions(
        probabilities={e: round(float(p), 4) for e, p in zip(EMOTIONS, row, strict=True)},
        present=present,
    )


def load_emotions(
    settings: Settings, tick: Callable[[], None] = lambda: None
) -> WindowedClassifier:
    """The classifier that `settings.emotion_model` names, on `settings.device`.

    Raises:
        ModelUnavailable: weights missing or of another kind.
    """
    return load_folder(
        resolve(settings.emotion_model, settings.cache),
        settings.emotion_model,
        device=settings.device,
        threads=settings.threads,
        budget=settings.emotion_tokens,
        tick=tick,
    )


def load_folder(
    folder: Path,
    name: str,
    *,
    device: str = "cpu",
    threads: int = 0,
    budget: int = 1024,
    tick: Callable[[], None] = lambda: None,
) -> WindowedClassifier:
    """A classifier from a folder: with `model.onnx` by ONNX Runtime, otherwise by transformers in batches of `budget` tokens."""
    from transformers import AutoTokenizer

    name = name.rsplit("/", 1)[-1].rsplit(":", 1)[-1]
    manifest = json.loads((folder / MANIFEST).read_text()) if (folder / MANIFEST).exists() else {}
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    if (folder / "model.onnx").exists():
        engine, labels = onnx_engine(folder, threads, tick), manifest["labels"]
    else:
        pad = tokenizer.pad_token_id or 0
        engine, labels = transformers_engine(folder, device, pad, budget, tick)
    return WindowedClassifier(
        name,
        tokenizer,
        engine,
        labels,
        # 0.5 where nobody tuned: what a multi-label sigmoid was trained for.
        manifest.get("thresholds") or [0.5] * len(labels),
        head=ReviewHead.load(folder) if (folder / REVIEW_HEAD).exists() else None,
        languages=manifest.get("languages", ()),
    )
