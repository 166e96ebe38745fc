"""EmotionClassifier: texts in, 28 probabilities and the present emotions out, long texts read whole.

Two engines behind one protocol: an int8 ONNX file (laptop preset; what `beyond train-emotions`
writes) and any transformers sequence classifier with the 28 GoEmotions labels (gpu preset). A
review is cut into windows of whole sentences and each label takes its highest probability over the
windows: one furious sentence in a long calm review is still found, and nothing is cut off. It does
not know reviews' origin, storage or queues.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from shared.errors import ModelUnavailable
from shared.inference.batching import token_batches, windows
from shared.inference.weights import resolve
from shared.review import EMOTIONS, Emotions
from shared.settings import Settings

MANIFEST = "emotions.json"
WINDOW_TOKENS = 64  # about three sentences; GoEmotions comments average 16 tokens. Measured: see the model card.
_SENTENCE = re.compile(r"(?<=[.!?…。！？])\s+|\n+")


class EmotionClassifier(Protocol):
    """Anything that reads emotions."""

    name: str

    def classify(self, texts: Sequence[str]) -> list[Emotions]:
        """One Emotions per text, same order."""
        ...


class WindowedClassifier:
    """Windows, batches, max-pooling and thresholds around a function from padded token ids to logits.

    Args:
        name: what is written into an Analysis.
        tokenizer: a fast tokenizer.
        logits: (ids int64 [rows, tokens], mask int64 [rows, tokens]) -> float32 [rows, 28], in
            `labels` order.
        labels: label of each logit.
        thresholds: probability from which a label counts as present, in `labels` order.
        budget: padded tokens per batch.
        tick: called after every batch, so that a watchdog sees progress.
    """

    def __init__(
        self,
        name: str,
        tokenizer: Any,
        logits: Callable[[np.ndarray, np.ndarray], np.ndarray],
        labels: Sequence[str],
        thresholds: Sequence[float],
        *,
        budget: int = 1024,
        tick: Callable[[], None] = lambda: None,
        window_tokens: int = WINDOW_TOKENS,
    ) -> None:
        if sorted(labels) != sorted(EMOTIONS):
            raise ModelUnavailable(f"{name}: its labels are not the 28 of GoEmotions")
        self.name, self._tokenizer, self._logits, self._window = (
            name,
            tokenizer,
            logits,
            window_tokens,
        )
        self._order = [list(labels).index(e) for e in EMOTIONS]
        self._thresholds = np.asarray(thresholds, dtype=np.float32)[self._order]
        self._budget, self._tick = budget, tick
        around = tokenizer("")[
            "input_ids"
        ]  # [CLS] [SEP] or <s> </s>: what the model puts around a text
        self._ends = around[: len(around) // 2], around[len(around) // 2 :]

    def classify(self, texts: Sequence[str]) -> list[Emotions]:
        """One Emotions per text, same order. Cost: one forward per `budget` padded tokens of all windows together."""
        return [self._present(row) for row in self.probabilities(texts)]

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """float32 [texts, 28] in the order of EMOTIONS: the maximum over each text's windows."""
        rows: list[list[int]] = []
        owner: list[int] = []
        for index, text in enumerate(texts):
            for piece in self._windows(text):
                rows.append(piece)
                owner.append(index)
        out = np.zeros((len(texts), len(EMOTIONS)), dtype=np.float32)
        for batch in token_batches([len(r) for r in rows], self._budget):
            width = max(len(rows[i]) for i in batch)
            ids = np.full((len(batch), width), self._tokenizer.pad_token_id or 0, dtype=np.int64)
            mask = np.zeros((len(batch), width), dtype=np.int64)
            for at, i in enumerate(batch):
                ids[at, : len(rows[i])] = rows[i]
                mask[at, : len(rows[i])] = 1
            found = 1 / (1 + np.exp(-self._logits(ids, mask)[:, self._order]))
            np.maximum.at(out, [owner[i] for i in batch], found)
            self._tick()
        return out

    def _windows(self, text: str) -> list[list[int]]:
        """Token ids of each window, with the model's own start and end tokens."""
        pieces: list[list[int]] = []
        sentences = [s for s in _SENTENCE.split(text) if s.strip()] or [text]
        for ids in self._tokenizer(sentences, add_special_tokens=False)["input_ids"]:
            # A "sentence" without full stops may be a whole page: cut it, or it would be one
            # over-long window.
            pieces += [ids[i : i + self._window] for i in range(0, len(ids), self._window)] or [[]]
        begin, end = self._ends
        packed = windows([len(p) for p in pieces], self._window)
        return [[*begin, *(t for i in w for t in pieces[i]), *end] for w in packed]

    def _present(self, row: np.ndarray) -> Emotions:
        over = [int(i) for i in np.argsort(-row, kind="stable") if row[i] >= self._thresholds[i]]
        names = tuple(EMOTIONS[i] for i in over if EMOTIONS[i] != "neutral")
        return Emotions(
            probabilities={e: round(float(p), 4) for e, p in zip(EMOTIONS, row, strict=True)},
            present=names or ("neutral",),
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
    """A classifier from a folder: with `model.onnx` by ONNX Runtime, otherwise by transformers."""
    name = name.rsplit("/", 1)[-1].rsplit(":", 1)[-1]
    manifest = json.loads((folder / MANIFEST).read_text()) if (folder / MANIFEST).exists() else {}
    if (folder / "model.onnx").exists():
        logits, labels = _onnx(folder, threads), manifest["labels"]
    else:
        logits, labels = _transformers(folder, device)
    # 0.5 where nobody tuned: what a multi-label sigmoid was trained for.
    thresholds = manifest.get("thresholds") or [0.5] * len(labels)
    return WindowedClassifier(
        name, _tokenizer(folder), logits, labels, thresholds, budget=budget, tick=tick
    )


def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(folder))


def _onnx(folder: Path, threads: int) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
    )
    return lambda ids, mask: session.run(None, {"ids": ids, "mask": mask})[0]  # type: ignore[no-any-return]


def _transformers(
    folder: Path, device: str
) -> tuple[Callable[[np.ndarray, np.ndarray], np.ndarray], list[str]]:
    import torch
    from transformers import AutoModelForSequenceClassification

    model: Any = AutoModelForSequenceClassification.from_pretrained(
        str(folder), dtype=torch.bfloat16
    )
    model = model.to(device).eval()

    @torch.inference_mode()
    def logits(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        out = model(
            input_ids=torch.from_numpy(ids).to(device),
            attention_mask=torch.from_numpy(mask).to(device),
        )
        return out.logits.float().cpu().numpy()  # type: ignore[no-any-return]

    return logits, [model.config.id2label[i].lower() for i in range(model.config.num_labels)]
