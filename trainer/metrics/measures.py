"""Our own measures of one answer beside its label: numbers per pair, NaN where a measure does not apply.

They judge what a reader of insights needs: can it be parsed, is the quote real, is it the right
issue, does it promise what nobody asked for, does it stutter. It does not know models.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from shared.inference.offers import offers_unsupported
from shared.inference.prompts import Unparsable, fence, parse_issues, parse_text
from shared.review import Issue
from trainer.examples import Label

NAN = math.nan
_QUOTE = re.compile(r"^evidence: (.+)$", re.M)
_LABELS = re.compile(r"^(?:evidence|theme|problem|action): ", re.M)
# The measure that decides a promotion, per task.
PRIMARY = {"issues": "issue_f1", "feedback": "meteor", "reply": "meteor"}
# What each means, for the report; higher is better unless it says so.
MEANING = {
    "parsed": "the answer has the task's form",
    "verbatim": "share of quotes that the review contains",
    "found": "at least one gold issue's evidence is touched (reviews with issues)",
    "theme": "share of touching issues whose theme is the gold one's",
    "issue_f1": "F1 of issues: evidence touches a gold issue of the same theme; 1 where both say none",
    "none_recall": "says none where the label says none",
    "offers": "share of issues that promise what the review does not speak of (lower)",
    "repetition": "share of 4-grams seen before in the answer (lower)",
    "length_ratio": "words of the answer / words of the label",
    "meteor": "METEOR against the label (Banerjee & Lavie 2005)",
    "bertscore": "BERTScore F1 against the label (Zhang et al. 2020)",
    "bleurt": "BLEURT against the label (Sellam et al. 2020)",
}


def own(task: str, label: Label, answer: str, reference: str) -> dict[str, float]:
    """All measures of ours for one answer.

    Args:
        task: a name of shared.inference.prompts.TASKS.
        label: the review with what should be said of it.
        answer: what the model wrote, raw.
        reference: the label as text.
    """
    out = {
        "repetition": repetition(answer),
        "length_ratio": len(answer.split()) / max(1, len(reference.split())),
    }
    if task == "issues":
        return out | _issues(label, answer)
    try:
        text = parse_text(answer)
    except Unparsable:
        return out | {"parsed": 0.0, "offers": NAN}
    return out | {"parsed": 1.0, "offers": float(offers_unsupported(text, label.review.text))}


def _issues(label: Label, answer: str) -> dict[str, float]:
    gold, text = label.issues or (), label.review.text
    quotes = _QUOTE.findall(answer)
    out = dict.fromkeys(("found", "theme", "none_recall", "offers"), NAN)
    out["verbatim"] = (
        sum(fence(q.strip()) in fence(text) for q in quotes) / len(quotes) if quotes else NAN
    )
    try:
        issues = parse_issues(answer, text)
        out["parsed"] = 1.0
    except Unparsable:
        issues = []
        out["parsed"] = 0.0
    pairs = matched(issues, gold)
    if gold:
        out["found"] = float(bool(pairs))
    else:
        out["none_recall"] = float(out["parsed"] == 1 and not issues)
    if pairs:
        out["theme"] = sum(a.theme == b.theme for a, b in pairs) / len(pairs)
    if issues:
        out["offers"] = sum(offers_unsupported(i.action or "", text) for i in issues) / len(issues)
    right = sum(a.theme == b.theme for a, b in pairs)
    both_none = not gold and not issues and out["parsed"] == 1
    out["issue_f1"] = 1.0 if both_none else 2 * right / max(1, len(issues) + len(gold))
    return out


def matched(issues: Sequence[Issue], gold: Sequence[Issue]) -> list[tuple[Issue, Issue]]:
    """Pairs (issue, gold issue) whose evidence overlaps most, each used once, in order of overlap."""
    shared = [
        (min(a.end, b.end) - max(a.start, b.start), i, j)
        for i, a in enumerate(issues)
        for j, b in enumerate(gold)
    ]
    out, used, taken = [], set(), set()
    for overlap, i, j in sorted(shared, reverse=True):
        if overlap > 0 and i not in used and j not in taken:
            out.append((issues[i], gold[j]))
            used.add(i)
            taken.add(j)
    return out


def repetition(answer: str) -> float:
    """Share of 4-grams that occurred before in the same answer.

    The labels of lines do not count.
    """
    words = _LABELS.sub("", answer).lower().split()
    grams = [tuple(words[i : i + 4]) for i in range(len(words) - 3)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def mean(values: Sequence[float]) -> float:
    """Mean of the numbers that are not NaN; NaN if there are none."""
    real = [v for v in values if not math.isnan(v)]
    return sum(real) / len(real) if real else NAN
