"""Windows of a review for an encoder: overlapping, so that nothing is cut off; training sees the same.

It does not know models, only a tokenizer.
"""

from __future__ import annotations

from typing import Any

# Tokens. Most reviews fit one window; longer windows read long reviews worse (trainer/LOG.md).
WINDOW_TOKENS, _STRIDE_TOKENS = 192, 48


def windows_of(
    tokenizer: Any, text: str, rating: float | None, trade: str | None
) -> list[dict[str, Any]]:
    """Windows over the whole text, each with what is known of the review in front.

    Each has `ids`, `kinds` (token types), `offsets` (characters) and `own` (whether a token is the
    review's), all [tokens].
    """
    # The rating tells much about whether something went wrong, the trade about what can go wrong.
    head = f"{rating:g} stars" if rating is not None else "unrated"
    coded = tokenizer(
        f"{head}, {trade}" if trade else head,
        text,
        truncation="only_second",
        max_length=WINDOW_TOKENS,
        stride=_STRIDE_TOKENS,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        return_token_type_ids=True,
    )
    rows = zip(coded["input_ids"], coded["token_type_ids"], coded["offset_mapping"], strict=True)
    return [
        {
            "ids": ids,
            "mask": [1] * len(ids),
            "kinds": kinds,
            "offsets": offsets,
            "own": [part == 1 for part in coded.sequence_ids(i)],
        }
        for i, (ids, kinds, offsets) in enumerate(rows)
    ]


def tokens_in(window: dict[str, Any], start: int, end: int) -> list[int]:
    """Indices of the review's tokens that touch its characters [start, end)."""
    return [
        i
        for i, (a, b) in enumerate(window["offsets"])
        if window["own"][i] and a < end and b > start
    ]
