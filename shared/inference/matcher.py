"""Extract and match: issues of a review without a language model.

One pass of a small encoder over the review tells for every token which theme it is evidence of, if
any, whether it begins a quote, how important it is, and where its problem lies among sentence
embeddings; and for the whole, which trade it is about. Whole clauses are judged, so quotes begin
and end where people pause; problem and action are the playbook line that lies nearest among those
that the trade may hear. Nothing is generated: every quote is verbatim, every sentence well formed,
and no text in a review can give instructions.

A matcher is a folder: model.onnx, tokenizer.json, matcher.json, playbook.jsonl, lines.npy. It does
not know queues or stores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from shared.inference.clauses import MIN_QUOTE_CHARS, clauses, quoted
from shared.inference.confidence import FEATURES, Calibration
from shared.inference.playbook import Line
from shared.inference.prompts import MAX_ISSUES
from shared.inference.windows import WINDOW_TOKENS, tokens_in, windows_of
from shared.review import THEMES, TRADES, Issue, Review

# The model's last layer is a cosine divided by this (trainer/reader_net.py).
TEMPERATURE = 0.07


class Rows(Protocol):
    """What reads windows: shared/inference/onnx_rows.py, or a network in training."""

    def run(self, rows: Sequence[dict[str, Any]]) -> list[list[np.ndarray]]:
        """Per row: themes [tokens, 18], extras [tokens, 2], vectors [tokens, 384], trade [8].

        Logits.
        """
        ...


@dataclass(frozen=True)
class Limits:
    """From where on something counts; chosen on the dev split (trainer/LOG.md), kept in matcher.json.

    `evidence`: a clause's probability of telling of a complaint, from which it is a candidate.
    `line`: probability from which a playbook line is said; below it theme and quote speak alone.
    `trade`: probability from which an inferred trade restricts the lines.
    `important`: weight of importance beside confidence in the order of what is shown.
    """

    evidence: float = 0.35
    line: float = 0.45
    trade: float = 0.7
    important: float = 3.0


@dataclass(frozen=True)
class Candidate:
    """A quote [start, end) in characters, what is thought of it, and how sure that is.

    `theme` indexes THEMES; `line` the playbook, None where none says it; `features` in the order of
    confidence.FEATURES; `confidence`: that a careful reader agrees with quote and theme.
    """

    start: int
    end: int
    theme: int
    line: int | None
    importance: float
    confidence: float
    features: tuple[float, ...]


class Matcher:
    """Finds issues.

    Args:
        tokenizer: a fast tokenizer.
        model: reads windows.
        lines: the playbook.
        vectors: float [lines, 384], where each line lies.
        limits: from where on something counts.
        calibration: from features to confidence.
        show: confidence from which an issue is shown; the rest is unsure.
    """

    languages = ("en",)

    def __init__(
        self,
        tokenizer: Any,
        model: Rows,
        lines: Sequence[Line],
        vectors: np.ndarray,
        limits: Limits,
        calibration: Calibration,
        *,
        show: float = 0.5,
    ) -> None:
        self._tokenizer, self._model, self._lines = tokenizer, model, list(lines)
        unit = vectors.astype(np.float32)
        self._vectors = unit / np.linalg.norm(unit, axis=1, keepdims=True)
        self._limits, self._calibration, self.show = limits, calibration, show
        self._of_theme = [[i for i, x in enumerate(lines) if x.theme == theme] for theme in THEMES]

    def issues(self, reviews: Sequence[Review]) -> list[list[Issue]]:
        """0-3 issues per review that are sure enough, most important first; same order."""
        return [shown for shown, _ in self.read(reviews)]

    def read(self, reviews: Sequence[Review]) -> list[tuple[list[Issue], list[Issue]]]:
        """(shown, unsure) per review: sure enough, most important first.

        Not sure enough, surest first.
        """
        out = []
        for review, found in zip(reviews, self.candidates(reviews), strict=True):
            shown = self.chosen(found, self.show)
            unsure = (one for one in found if one.confidence < self.show)
            rest = sorted(unsure, key=lambda c: c.confidence, reverse=True)
            issues = [[self._issue(review, c) for c in part] for part in (shown, rest[:MAX_ISSUES])]
            out.append((issues[0], issues[1]))
        return out

    def chosen(self, found: Sequence[Candidate], show: float) -> list[Candidate]:
        """What is shown of a review's candidates from this confidence on: the best of each problem, most important first."""
        sure = self._distinct([one for one in found if one.confidence >= show])
        return sorted(sure, key=self._order, reverse=True)[:MAX_ISSUES]

    def _order(self, one: Candidate) -> float:
        return one.confidence + self._limits.important * one.importance

    def _distinct(self, found: Sequence[Candidate]) -> list[Candidate]:
        """The best of each problem: shown twice it would look like two."""
        best: dict[object, Candidate] = {}
        for one in sorted(found, key=self._order, reverse=True):
            best.setdefault((one.theme, one.line if one.line is not None else one.start), one)
        return list(best.values())

    def candidates(self, reviews: Sequence[Review]) -> list[list[Candidate]]:
        """Every quote that may be a complaint, in order of the text.

        Cost: one encoder pass over all tokens.
        """
        windows = [
            (index, window)
            for index, review in enumerate(reviews)
            for window in windows_of(self._tokenizer, review.text, review.rating, review.category)
        ]
        outputs = self._model.run([window for _, window in windows])
        per_review: list[list[tuple[dict[str, Any], list[np.ndarray]]]] = [[] for _ in reviews]
        for (index, window), output in zip(windows, outputs, strict=True):
            per_review[index].append((window, output))
        return [
            self._of_review(review, parts)
            for review, parts in zip(reviews, per_review, strict=True)
        ]

    def _of_review(
        self, review: Review, parts: Sequence[tuple[dict[str, Any], list[np.ndarray]]]
    ) -> list[Candidate]:
        trades = self._trades(review, np.mean([output[3] for _, output in parts], axis=0))
        heard = np.array([line.fits(trades) for line in self._lines])
        out: list[Candidate] = []
        done = 0  # clauses of the overlap of two windows belong to the first that holds them whole
        for window, output in parts:
            whole = [
                (a, b, n, tokens)
                for a, b, n in clauses(review.text)
                if a >= done
                and (tokens := tokens_in(window, a, b))
                and _whole(window, tokens, review)
            ]
            for run in self._runs(whole, output):
                start, end = quoted(review.text, run[0][0], run[-1][1])
                if end - start >= MIN_QUOTE_CHARS:
                    tokens = [t for clause in run for t in clause[3]]
                    out.append(self._judge(review, start, end, tokens, output, heard, len(trades)))
            done = max([done, *(b for _, b, _, _ in whole)])
        return out

    def _trades(self, review: Review, logits: np.ndarray) -> list[str]:
        """The trades whose lines may be said: the one that is known, or the likely ones."""
        if review.category in TRADES:
            return [str(review.category)]
        likely = _softmax(logits)
        best = int(likely.argmax())
        if likely[best] >= self._limits.trade:
            return [TRADES[best]]
        return [TRADES[i] for i in np.argsort(-likely)[:3]]

    def _runs(
        self, whole: Sequence[tuple[int, int, int, list[int]]], output: Sequence[np.ndarray]
    ) -> list[list[tuple[int, int, int, list[int]]]]:
        """Neighbouring clauses of one sentence and one theme that do not begin a new quote."""
        runs: list[list[tuple[int, int, int, list[int]]]] = []
        last_theme, last_index = -1, -2
        for index, clause in enumerate(whole):
            themes = _softmax(output[0][clause[3]].mean(0))
            if 1 - themes[0] < self._limits.evidence:
                continue
            theme = int(themes[1:].argmax())
            begins = output[1][clause[3][0], 0] > 0
            if (
                runs
                and index == last_index + 1
                and clause[2] == runs[-1][-1][2]
                and theme == last_theme
                and not begins
            ):
                runs[-1].append(clause)
            else:
                runs.append([clause])
            last_theme, last_index = theme, index
        return runs

    def _judge(
        self,
        review: Review,
        start: int,
        end: int,
        tokens: Sequence[int],
        output: Sequence[np.ndarray],
        heard: np.ndarray,
        trades: int,
    ) -> Candidate:
        themes = _softmax(output[0][tokens].mean(0))
        evidence, given = float(1 - themes[0]), themes[1:] / max(1e-6, 1 - themes[0])
        vector = output[2][tokens].mean(0)
        near = self._vectors @ (vector / (np.linalg.norm(vector) + 1e-9))
        lines = _softmax(np.where(heard, near / TEMPERATURE, -1e4))
        # Theme and line speak for each other: a theme is as likely as itself times its lines.
        by_line = np.array([lines[of].sum() for of in self._of_theme])
        joint = given * (by_line + 0.05)
        theme = int(joint.argmax())
        joint /= joint.sum()
        own = self._of_theme[theme]
        best = max(own, key=lambda i: float(lines[i]), default=None)
        share = float(lines[best] / max(1e-6, by_line[theme])) if best is not None else 0.0
        importance = float(1 / (1 + np.exp(-output[1][tokens, 1].mean())))
        second = float(np.partition(joint, -2)[-2])
        values = {
            "evidence": float(np.log(evidence + 1e-4) - np.log(1 - evidence + 1e-4)),
            "theme": float(np.log(joint[theme] + 1e-4)),
            "margin": float(joint[theme]) - second,
            "line": float(near[own].max()) if own else 0.0,
            "importance": importance,
            "length": float(np.log(end - start)),
            "review": float(np.log(len(review.text))),
            "rated": 0.0 if review.rating is None else 1.0,
            "low": 0.0 if review.rating is None else max(0.0, 3.5 - review.rating),
            "trades": float(trades),
        }
        features = tuple(values[name] for name in FEATURES)
        line = best if best is not None and share * by_line[theme] >= self._limits.line else None
        return Candidate(
            start, end, theme, line, importance, self._calibration.confidence(features), features
        )

    def _issue(self, review: Review, one: Candidate) -> Issue:
        line = None if one.line is None else self._lines[one.line]
        return Issue(
            theme=THEMES[one.theme],  # type: ignore[arg-type]
            problem=line.problem if line else None,
            action=line.action if line else None,
            evidence=review.text[one.start : one.end],
            start=one.start,
            end=one.end,
            confidence=round(one.confidence, 3),
        )


def _softmax(logits: np.ndarray) -> np.ndarray:
    raised = np.exp(logits - logits.max())
    out: np.ndarray = raised / raised.sum()
    return out


def _whole(window: dict[str, Any], tokens: Sequence[int], review: Review) -> bool:
    """Whether a window shows enough of a clause: all of it, or as much as half a window."""
    last = max(i for i, mine in enumerate(window["own"]) if mine)
    ends_here = tokens[-1] < last or window["offsets"][last][1] >= len(review.text.rstrip())
    return ends_here or len(tokens) >= WINDOW_TOKENS // 2
