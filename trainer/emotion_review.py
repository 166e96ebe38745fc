"""Learns the review head: labelled reviews and an emotion encoder in, 28 logistic regressions out.

How strongly to regularise, and from which probability an emotion is shown, is chosen on the training
reviews by five-fold cross-validation; the dev reviews only measure. It does not train encoders.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from shared.inference.emotion_review import ReviewHead, stars_of
from shared.inference.emotions import WindowedClassifier
from trainer.emotion_data import LabelledReview, targets_of
from trainer.emotion_scores import emotion_scores

FOLDS = 5
STEPS = 60  # of L-BFGS; the loss moves by less than 0.001 afterwards
PENALTIES = (3e-3, 1e-2, 3e-2)  # times the squared weights; the losses of one review are summed
FLOORS = tuple(round(0.2 + 0.02 * i, 2) for i in range(16))
POLARITIES = (0.0, 0.1, 0.2, 0.3)
# A shown emotion of the wrong polarity costs trust; among settings that stay under, F1 decides.
WRONG_POSITIVE_LIMIT = 0.08


def learn_head(
    classifier: WindowedClassifier,
    reviews: Sequence[LabelledReview],
    say: Callable[[str], Any] = print,
) -> tuple[ReviewHead, dict[str, Any]]:
    """The head for `classifier`'s encoder, and what was chosen and measured.

    Args:
        classifier: reads features; its thresholds and present head play no part.
        reviews: labelled ones; those `in_dev` are measured on and nothing else.
        say: called with one line of progress at a time.
    """
    found = np.stack(classifier.features([r.text for r in reviews]))
    say(f"features of {len(reviews)} reviews")
    return head_from_features(found, reviews, say)


def head_from_features(
    found: np.ndarray, reviews: Sequence[LabelledReview], say: Callable[[str], Any] = print
) -> tuple[ReviewHead, dict[str, Any]]:
    """As `learn_head`, from features [reviews, n]."""
    train = [i for i, r in enumerate(reviews) if not r.in_dev]
    dev = [i for i, r in enumerate(reviews) if r.in_dev]
    targets = targets_of(list(reviews))
    stars = np.stack([stars_of(r.rating) for r in reviews])
    trials = []
    for penalty in PENALTIES:
        apart = _out_of_fold(found[train], stars[train], targets[train], penalty)
        kept = [reviews[i] for i in train]
        for floor, polarity in product(FLOORS, POLARITIES):
            scores = _scores(apart, kept, floor, polarity)
            over = max(0.0, scores["wrong_positive"] - WRONG_POSITIVE_LIMIT)
            trials.append((-over, scores["micro_f1"], penalty, floor, polarity, scores))
        say(
            f"penalty {penalty:g}: best micro-F1 {max(t[1] for t in trials if t[2] == penalty):.4f}"
        )
    _, _, penalty, floor, polarity, folds = max(trials, key=lambda t: t[:2])
    head = _fit(found[train], stars[train], targets[train], penalty)
    head.floor, head.polarity = floor, polarity
    rows = [head.probabilities(found[i], reviews[i].rating) for i in dev]
    measured = _scores(np.stack(rows), [reviews[i] for i in dev], floor, polarity) if dev else {}
    facts = {
        "train_reviews": len(train),
        "dev_reviews": len(dev),
        "penalty": penalty,
        "floor": floor,
        "polarity": polarity,
        "folds": folds,
        "dev": measured,
    }
    say(f"review head: {facts}")
    return head, facts


def _out_of_fold(
    found: np.ndarray, stars: np.ndarray, targets: np.ndarray, penalty: float
) -> np.ndarray:
    fold = np.random.default_rng(0).permutation(len(found)) % FOLDS
    out = np.zeros_like(targets)
    for k in range(FOLDS):
        head = _fit(found[fold != k], stars[fold != k], targets[fold != k], penalty)
        inputs = np.concatenate(
            [(found[fold == k] - head.centre) / head.spread, stars[fold == k]], axis=1
        )
        out[fold == k] = 1 / (1 + np.exp(-(inputs @ head.weight + head.bias)))
    return out


def _fit(found: np.ndarray, stars: np.ndarray, targets: np.ndarray, penalty: float) -> ReviewHead:
    centre, spread = found.mean(0), found.std(0) + 1e-6
    inputs = torch.from_numpy(
        np.concatenate([(found - centre) / spread, stars], axis=1).astype(np.float32)
    )
    truth = torch.from_numpy(targets)
    weight = torch.zeros(inputs.shape[1], targets.shape[1], requires_grad=True)
    bias = torch.full((targets.shape[1],), -3.0, requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        each = F.binary_cross_entropy_with_logits(inputs @ weight + bias, truth, reduction="none")
        total = each.sum(1).mean() + penalty * weight.square().sum()
        total.backward()
        return total

    optimiser.step(loss)
    arrays = weight.detach().numpy(), bias.detach().numpy(), centre, spread
    return ReviewHead(*arrays, floor=0.3, polarity=0.0)


def _scores(
    rows: np.ndarray, reviews: Sequence[LabelledReview], floor: float, polarity: float
) -> dict[str, float]:
    none = np.zeros(0, dtype=np.float32)
    rule = ReviewHead(none, none, none, none, floor, polarity)
    shown = [rule.shown(row, r.rating) for row, r in zip(rows, reviews, strict=True)]
    return emotion_scores(shown, reviews)
