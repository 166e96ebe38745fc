"""Scores of what is shown against reviews in which every complaint was marked, by kind of review.

A shown quote is right if it shares at least half of the shorter one's characters with a marked
quote; its theme, if such a quote has that theme; its problem, if such a quote has that playbook
line. It does not know models.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from trainer.readings import Quote, Reading

# What the three numbers of an issue are called for short.
QUOTE, THEME, PROBLEM = "quote", "theme", "problem"


@dataclass(frozen=True)
class Shown:
    """A shown issue: characters [start, end), theme, playbook line or None."""

    start: int
    end: int
    theme: str
    line: int | None


@dataclass
class Tally:
    """Counts over reviews; `scores` makes shares of them, NaN-free: an empty share is left out."""

    count: Counter[str] = field(default_factory=Counter)

    def add(self, one: Reading, shown: Sequence[Shown]) -> None:
        """Count one review."""
        for issue in shown:
            found = right(issue, one.quotes)
            self.count["shown"] += 1
            self.count[QUOTE] += found[QUOTE]
            self.count[THEME] += found[THEME]
            self.count[PROBLEM] += found[PROBLEM]
            self.count["unsaid"] += issue.line is None
        if not one.quotes:
            self.count["without"] += 1
            self.count["silent"] += not shown
            return
        self.count["with"] += 1
        main = one.quotes[0]
        self.count["main"] += any(right(s, [main])[THEME] for s in shown)
        for quote in one.quotes[:3]:
            self.count["first"] += 1
            self.count["found"] += any(right(s, [quote])[QUOTE] for s in shown)

    def scores(self) -> dict[str, float]:
        """Shares: quote, theme, problem, unsaid of shown; main, found of complaints; silent of reviews without any."""
        pairs = {
            QUOTE: (QUOTE, "shown"),
            THEME: (THEME, "shown"),
            PROBLEM: (PROBLEM, "shown"),
            "unsaid": ("unsaid", "shown"),
            "main": ("main", "with"),
            "found": ("found", "first"),
            "silent": ("silent", "without"),
        }
        shares = {
            name: round(self.count[part] / self.count[whole], 4)
            for name, (part, whole) in pairs.items()
            if self.count[whole]
        }
        return {**shares, "shown": float(self.count["shown"])}


def right(issue: Shown, quotes: Sequence[Quote]) -> Mapping[str, bool]:
    """Whether quote, theme and problem of an issue are those of one of the marked quotes."""
    out = {QUOTE: False, THEME: False, PROBLEM: False}
    for quote in quotes:
        shared = min(issue.end, quote.end) - max(issue.start, quote.start)
        if shared * 2 < min(issue.end - issue.start, quote.end - quote.start):
            continue
        out[QUOTE] = True
        if quote.theme == issue.theme:
            out[THEME] = True
            out[PROBLEM] |= issue.line is not None and quote.line == issue.line
    return out


def score(
    readings: Sequence[Reading], shown: Sequence[Sequence[Shown]]
) -> dict[str, dict[str, float]]:
    """Scores by kind of review, and of "all" first."""
    tallies: dict[str, Tally] = defaultdict(Tally)
    tallies["all"] = Tally()
    for one, issues in zip(readings, shown, strict=True):
        for name in ("all", one.kind):
            tallies[name].add(one, issues)
    return {name: tally.scores() for name, tally in tallies.items()}
