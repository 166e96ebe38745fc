"""Extract and match: issues of a review without a language model.

One pass of a small encoder over the review tells for every token whether it is evidence of
something that went wrong, of which theme, and where that problem lies in the space of sentence
embeddings. Runs of evidence become quotes; problem and action come from a bank: the sentences that
people wrote for the most similar problem. Nothing is generated, so every quote is verbatim, every
sentence well formed, and no text in a review can give instructions.

A matcher is a folder: model.onnx, tokenizer.json, matcher.json, bank.jsonl, bank.npy. It does not
know queues or stores.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shared.errors import ModelUnavailable
from shared.inference.batching import token_batches
from shared.inference.prompts import MAX_ISSUES
from shared.review import THEMES, Issue, Review

CONFIG = "matcher.json"
_MAX_TOKENS = 192  # windows as long as the reviews it learned from
_STRIDE = 48
_GAP_TOKENS = 2  # a run of evidence goes on over so many doubtful tokens
_MIN_CHARS, _MAX_CHARS = 10, 300
_NEAR_WEIGHT = 4.0  # of a nearest problem's similarity beside a theme's log probability
_SENTENCE_ENDS = ".!?\n"
_REACH_CHARS = 45
_JOINERS = "but|although|because|so"
_EDGE = re.compile(rf"[.!?;:,\n()…]+|\s[-–—]+\s|\s(?:{_JOINERS})(?=\s)")
_OPENING = re.compile(rf"(?:and|{_JOINERS})\s+", re.I)


@dataclass(frozen=True)
class Entry:
    """A written problem and action.

    A broad one fits every case of its theme (there is one a theme), a general one many, a specific
    one near-equal cases.
    """

    theme: str
    problem: str
    action: str
    kind: str


@dataclass(frozen=True)
class Span:
    """A quote: [start, end) in characters of the review, and what is thought of it.

    `theme` indexes THEMES; `near` holds cosine similarities [entries] of its problem to the bank's;
    `sure` is the mean probability of the theme over the quote's tokens.
    """

    start: int
    end: int
    theme: int
    near: np.ndarray
    sure: float


@dataclass(frozen=True)
class Limits:
    """From where on something counts; tuned on gold and marked reviews (trainer/LOG.md), kept in matcher.json.

    `evidence`: a token's probability of being evidence. `sure`: of a quote (see Span) in reviews of
    `chars` characters or more; in shorter ones as the square of their share of that, for a long
    review has more to choose from, and more chatter to mistake.
    `general`: similarity from which a general entry serves, below it the broad one. `specific`:
    similarity from which a specific entry's action is used.
    """

    evidence: float = 0.5
    sure: float = 0.65
    chars: int = 600
    general: float = 0.5
    specific: float = 0.7


class Matcher:
    """Finds issues.

    Args:
        tokenizer: a fast tokenizer.
        forward: (ids, mask, kinds), int64 [rows, tokens] each -> theme logits [rows, tokens, 18]
            (0: no evidence) and
            vectors [rows, tokens, 384].
        bank: written problems and actions.
        vectors: float [entries, 384], unit length, in the bank's order.
        limits: how sure it must be.
        budget: padded tokens per forward pass.
        tick: called after every forward pass.
    """

    def __init__(
        self,
        tokenizer: Any,
        forward: Callable[[np.ndarray, np.ndarray, np.ndarray], Sequence[np.ndarray]],
        bank: Sequence[Entry],
        vectors: np.ndarray,
        limits: Limits,
        *,
        budget: int = 2048,
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        self._tokenizer, self._forward, self._tick = tokenizer, forward, tick
        self._bank, self._vectors = list(bank), vectors.astype(np.float32)
        self._limits, self._budget = limits, budget
        self._broad, self._general, self._specific = (
            [
                [i for i, e in enumerate(bank) if e.kind == kind and e.theme == theme]
                for theme in THEMES
            ]
            for kind in ("broad", "general", "specific")
        )  # indices per theme, in THEMES' order
        self._known = [
            general + specific
            for general, specific in zip(self._general, self._specific, strict=True)
        ]

    def issues(self, reviews: Sequence[Review]) -> list[list[Issue]]:
        """0-3 issues per review, surest first; same order. Cost: one encoder pass over all tokens."""
        return [
            self._distinct(review, spans)
            for review, spans in zip(reviews, self.spans(reviews), strict=True)
        ]

    def spans(self, reviews: Sequence[Review]) -> list[list[Span]]:
        """The quotes of each review, not overlapping, surest first."""
        windows = [
            (r, w) for r, review in enumerate(reviews) for w in windows_of(self._tokenizer, review)
        ]
        found: list[list[Span]] = [[] for _ in reviews]
        for batch in token_batches([len(w["ids"]) for _, w in windows], self._budget):
            themes, vectors = self._run([windows[i][1] for i in batch])
            for at, i in enumerate(batch):
                row, window = windows[i]
                size = len(window["ids"])
                found[row] += self._runs(
                    reviews[row].text, window, themes[at, :size], vectors[at, :size]
                )
            self._tick()
        return [_best(spans) for spans in found]

    def _run(self, rows: Sequence[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
        width = max(len(r["ids"]) for r in rows)
        ids, mask, kinds = (np.zeros((len(rows), width), dtype=np.int64) for _ in range(3))
        for at, row in enumerate(rows):
            size = len(row["ids"])
            ids[at, :size], mask[at, :size], kinds[at, :size] = row["ids"], 1, row["kinds"]
        logits, vectors = self._forward(ids, mask, kinds)
        logits = np.exp(logits - logits.max(-1, keepdims=True))
        return logits / logits.sum(-1, keepdims=True), vectors

    def _runs(
        self, text: str, window: dict[str, Any], themes: np.ndarray, vectors: np.ndarray
    ) -> list[Span]:
        offsets, evidence = window["offsets"], 1 - themes[:, 0]
        runs: list[list[int]] = []
        for i, own in enumerate(window["own"]):
            if not own or evidence[i] < self._limits.evidence:
                continue
            near = runs and i - runs[-1][-1] <= _GAP_TOKENS + 1
            if near and not any(
                c in _SENTENCE_ENDS for c in text[offsets[runs[-1][-1]][1] : offsets[i][0]]
            ):
                runs[-1].append(i)
            else:
                runs.append([i])
        out = []
        floor = self._limits.sure * min(1.0, len(text) / self._limits.chars) ** 2
        for run in runs:
            start, end = _whole_words(text, *_clause(text, offsets[run[0]][0], offsets[run[-1]][1]))
            if end - start < _MIN_CHARS:
                continue
            vector = vectors[run[0] : run[-1] + 1].mean(0)
            near = self._vectors @ (vector / (np.linalg.norm(vector) + 1e-9))
            theme = self._theme(themes[run[0] : run[-1] + 1, 1:].mean(0), near)
            sure = float(themes[tokens_in(window, start, end), 1 + theme].mean())
            if sure >= floor:
                out.append(Span(start, end, theme, near, sure))
        return out

    def _theme(self, likely: np.ndarray, near: np.ndarray) -> int:
        """The theme that both its own probability and the nearest written problem speak for."""
        best = np.array([near[known].max() for known in self._known])
        return int((np.log(likely + 1e-6) + _NEAR_WEIGHT * best).argmax())

    def _distinct(self, review: Review, spans: Sequence[Span]) -> list[Issue]:
        """The best issue of each problem: shown twice it would look like two. A broad problem may cover two cases."""
        chosen: dict[str | int, tuple[Span, Entry]] = {}
        for span in spans:
            entry = (
                self._of_kind(span, self._general, self._limits.general)
                or self._bank[self._broad[span.theme][0]]
            )
            chosen.setdefault(span.start if entry.kind == "broad" else entry.problem, (span, entry))
        return [
            self._issue(review, span, entry) for span, entry in list(chosen.values())[:MAX_ISSUES]
        ]

    def _issue(self, review: Review, span: Span, entry: Entry) -> Issue:
        specific = self._of_kind(span, self._specific, self._limits.specific)
        return Issue(
            theme=THEMES[span.theme],
            problem=entry.problem,
            evidence=review.text[span.start : span.end],  # type: ignore[arg-type]
            start=span.start,
            end=span.end,
            action=(specific or entry).action,
        )

    def _of_kind(self, span: Span, kind: Sequence[list[int]], floor: float) -> Entry | None:
        """The nearest entry of the span's theme among a kind, from the floor up."""
        choice = kind[span.theme]
        best = max(choice, key=lambda i: float(span.near[i]), default=None)
        return self._bank[best] if best is not None and span.near[best] >= floor else None


def windows_of(tokenizer: Any, review: Review) -> list[dict[str, Any]]:
    """Overlapping windows over the whole review, so that nothing is cut off; training sees the same.

    Each has `ids`, `kinds` (token types), `offsets` (characters) and `own` (whether a token is the
    review's), all [tokens].
    """
    # What stands before the review: its rating, which tells much about whether something went
    # wrong.
    head = f"{review.rating:g} stars" if review.rating is not None else "unrated"
    coded = tokenizer(
        head,
        review.text,
        truncation="only_second",
        max_length=_MAX_TOKENS,
        stride=_STRIDE,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        return_token_type_ids=True,
    )
    return [
        {
            "ids": ids,
            "kinds": kinds,
            "offsets": offsets,
            "own": [part == 1 for part in coded.sequence_ids(i)],
        }
        for i, (ids, kinds, offsets) in enumerate(
            zip(coded["input_ids"], coded["token_type_ids"], coded["offset_mapping"], strict=True)
        )
    ]


def tokens_in(window: dict[str, Any], start: int, end: int) -> list[int]:
    """Indices of the review's tokens that touch its characters [start, end)."""
    return [
        i
        for i, (a, b) in enumerate(window["offsets"])
        if window["own"][i] and a < end and b > start
    ]


def _clause(text: str, start: int, end: int) -> tuple[int, int]:
    """Widen to the clause's ends where they are near: a quote that stops in mid-phrase is hard to read."""
    before, after = text[max(0, start - _REACH_CHARS) : start], text[end : end + _REACH_CHARS]
    opens = [match.end() for match in _EDGE.finditer(before)]
    if opens or start <= _REACH_CHARS:
        start -= len(before) - max(opens, default=0)
    closes = _EDGE.search(after)
    if closes is not None or end + _REACH_CHARS >= len(text):
        end += closes.start() if closes is not None else len(after)
    return start, end


def _whole_words(text: str, start: int, end: int) -> tuple[int, int]:
    """Widen to whole words, drop surrounding space and stray punctuation, cut what is too long at a word."""
    while start > 0 and text[start - 1].isalnum() and text[start].isalnum():
        start -= 1
    while end < len(text) and text[end].isalnum() and text[end - 1].isalnum():
        end += 1
    while start < end and text[start] in " \t\r\n.,;:!?)-":
        start += 1
    if joined := _OPENING.match(text, start, end):
        start = joined.end()
    if end - start > _MAX_CHARS:
        end = start + len(text[start : start + _MAX_CHARS].rsplit(" ", 1)[0])
    while end > start and text[end - 1] in " \t\r\n.,;:(-":
        end -= 1
    return start, end


def _best(spans: Sequence[Span]) -> list[Span]:
    out: list[Span] = []
    for span in sorted(spans, key=lambda s: (-s.sure, s.start)):
        if not any(span.start < o.end and o.start < span.end for o in out):
            out.append(span)
    return out


def load_matcher(
    folder: Path, *, threads: int = 0, tick: Callable[[], None] = lambda: None
) -> Matcher:
    """The matcher in a folder.

    Raises:
        ModelUnavailable: a file is missing or of another form.
    """
    import onnxruntime
    from transformers import PreTrainedTokenizerFast

    try:
        config = json.loads((folder / CONFIG).read_text())
        if config["themes"] != list(THEMES):
            raise ModelUnavailable(f"{folder}: made for other themes; retrain it")
        bank = [
            Entry(**json.loads(line))
            for line in (folder / "bank.jsonl").read_text(encoding="utf-8").splitlines()
        ]
        vectors = np.load(folder / "bank.npy")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_file=str(folder / "tokenizer.json"), pad_token="[PAD]"
        )
    except ModelUnavailable:
        raise
    except Exception as error:  # onnxruntime and tokenizers raise types of their own
        raise ModelUnavailable(
            f"{folder} is no matcher: {type(error).__name__}: {error}"
        ) from error
    if vectors.shape[0] != len(bank):
        raise ModelUnavailable(
            f"{folder}: {len(bank)} entries but {vectors.shape[0]} vectors in its bank"
        )

    def forward(ids: np.ndarray, mask: np.ndarray, kinds: np.ndarray) -> Sequence[np.ndarray]:
        return session.run(None, {"ids": ids, "mask": mask, "kinds": kinds})  # type: ignore[no-any-return]

    return Matcher(tokenizer, forward, bank, vectors, Limits(**config["limits"]), tick=tick)
