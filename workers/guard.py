"""What may leave: evidence is verbatim, no promise that the review doesn't carry, urgency by rule.

It does not know models or storage; it judges texts.
"""

from __future__ import annotations

from collections.abc import Sequence

from shared.inference.leaving import ACTION_WORDS, REPLY_WORDS, unsupported, why_not
from shared.review import Emotions, Insight, Issue, Review, Urgency

UNSUPPORTED_OFFER = "unsupported_offer"
WITHHELD = "written_line_withheld"
_URGENT_THEMES = {"safety": "a safety matter", "billing": "money was taken or withheld"}


def guarded(issues: Sequence[Issue], review: Review, *, free_text: bool = False) -> list[Issue]:
    """The issues that may leave: evidence verbatim (others are dropped), unsupported offers flagged, no repeats.

    With `free_text` (a language model wrote, not people) a line that gives way to the review is
    withheld: the quote stays and speaks for itself.
    """
    out: list[Issue] = []
    for issue in issues:
        if review.text[issue.start : issue.end] != issue.evidence:
            continue
        if any(issue.start < kept.end and kept.start < issue.end for kept in out):
            continue
        out.append(_flagged(_withheld(issue, review) if free_text else issue, review))
    return out


def _withheld(issue: Issue, review: Review) -> Issue:
    problem, action = issue.problem, issue.action
    if problem and why_not(problem, review.text):
        problem = None
    if action and why_not(action, review.text, ACTION_WORDS):
        action = None
    if (problem, action) == (issue.problem, issue.action):
        return issue
    return issue.model_copy(update={"problem": problem, "action": action, "flags": (WITHHELD,)})


def _flagged(issue: Issue, review: Review) -> Issue:
    if not unsupported(issue.action or "", review.text):
        return issue
    return issue.model_copy(update={"flags": (*issue.flags, UNSUPPORTED_OFFER)})


def guarded_reply(text: str, review: Review) -> tuple[str | None, str]:
    """A written reply that may leave, or None and why not. Nobody reads it before it is shown as an answer."""
    if (reason := why_not(text, review.text, REPLY_WORDS)) is not None:
        return None, reason
    if unsupported(text, review.text):
        return None, "it offers what the review does not speak of"
    return text, ""


def urgency(issues: Sequence[Issue], review: Review, emotions: Emotions) -> tuple[Urgency, str]:
    """Urgency and the reason for it, from theme, rating and emotions."""
    for issue in issues:
        if issue.theme in _URGENT_THEMES:
            return "high", _URGENT_THEMES[issue.theme]
    strong = [e for e in ("anger", "fear", "disgust") if e in emotions.present]
    low = review.rating is not None and review.rating <= 2
    if strong and (low or review.rating is None):
        return (
            "high",
            f"{strong[0]} in a review rated {f'{review.rating:g}/5' if review.rating else 'without stars'}",
        )
    if not issues:
        return "low", "no issue was found"
    if review.rating is not None and review.rating >= 4:
        return "low", f"rated {review.rating:g}/5 all the same"
    return "normal", "an issue without danger, money or strong anger"


def insight(
    issues: Sequence[Issue],
    review: Review,
    emotions: Emotions,
    adapter: str,
    prompt_version: str,
    *,
    unsure: Sequence[Issue] = (),
    free_text: bool = False,
) -> Insight:
    """The guarded Insight of one review; what is unsure has no say in its urgency."""
    kept = guarded(issues, review, free_text=free_text)
    level, reason = urgency(kept, review, emotions)
    return Insight(
        issues=tuple(kept),
        unsure=tuple(guarded(unsure, review, free_text=free_text)),
        urgency=level,
        urgency_reason=reason,
        adapter=adapter,
        prompt_version=prompt_version,
    )
