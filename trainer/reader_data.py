"""Training windows of a matcher: a reading's quotes as targets of tokens, clauses and spans.

It knows no network.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from shared.inference.clauses import clauses
from shared.inference.windows import tokens_in, windows_of
from shared.review import THEMES, TRADES
from trainer.reader_net import NO_THEME, UNKNOWN
from trainer.readings import Quote, Reading

# Share of a clause's characters that a quote must cover to make it evidence, and up to which share
# a covered clause still counts as none; between them it is not used.
_IS, _IS_NOT = 0.5, 0.15
# How often training hides the trade: at serving it is often unknown.
_HIDE_TRADE = 0.5


def windows(
    tokenizer: Any, readings: Sequence[Reading], generator: np.random.Generator
) -> list[dict[str, Any]]:
    """Windows as the matcher sees them, with targets; the generator decides whose trade is hidden.

    Each has `ids`, `kinds`, `themes` [tokens]; `clauses`: (first token, one past the last, theme,
    begins a quote or None, importance or None); `spans`: (line, first, one past the last); `trade`.
    """
    out = []
    for one in readings:
        told = one.trade if generator.random() >= _HIDE_TRADE else None
        for window in windows_of(tokenizer, one.text, one.rating, told):
            out.append(_targets(window, one))
    return out


def _targets(window: dict[str, Any], one: Reading) -> dict[str, Any]:
    window["trade"] = TRADES.index(one.trade) if one.trade else -1
    window["themes"] = [NO_THEME if mine else UNKNOWN for mine in window["own"]]
    window["spans"], window["clauses"] = [], []
    for quote in one.quotes:
        inside = tokens_in(window, quote.start, quote.end)
        for i in inside:
            window["themes"][i] = 1 + THEMES.index(quote.theme)
        if inside and quote.line is not None:
            window["spans"].append((quote.line, inside[0], inside[-1] + 1))
    before: Quote | None = None
    for start, end, _ in clauses(one.text):
        inside = tokens_in(window, start, end)
        if not inside:
            continue
        theme, found = _evidence(start, end, one)
        begins = None if found is None else found is not before
        rank = None
        if found is not None and found.rank is not None:
            rank = 1 - found.rank / max(1, len(one.quotes))
        window["clauses"].append((inside[0], inside[-1] + 1, theme, begins, rank))
        before = found
    return window


def _evidence(start: int, end: int, one: Reading) -> tuple[int, Quote | None]:
    """The theme that a clause is evidence of, and the quote it belongs to."""
    shares = [
        ((min(end, q.end) - max(start, q.start)) / (end - start), i)
        for i, q in enumerate(one.quotes)
    ]
    share, index = max(shares, default=(0.0, -1))
    if share >= _IS:
        return 1 + THEMES.index(one.quotes[index].theme), one.quotes[index]
    return (NO_THEME if share <= _IS_NOT else UNKNOWN), None
