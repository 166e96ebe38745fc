"""What people judged about shown issues, as labels: they beat what a teacher would say.

A review becomes a label as soon as somebody judged one of its issues, while its text is the same:
issues judged to be none fall away, the others stay, because whoever judged one had them before their
eyes. It does not know where verdicts are given.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from shared.review import Analysis, Issue, Review
from shared.stream.store import Store
from shared.stream.verdicts import Verdict, read_verdicts
from trainer.examples import Label
from trainer.sample import quarantined

_PAGE_REVIEWS = 500


def judged(store: Store) -> list[Label]:
    """Labels of all reviews with a verdict on their present text, in the order of their ids.

    Raises:
        TemporaryFailure: the server cannot be used.
    """
    by_review: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in read_verdicts(store.connection).values():
        by_review[verdict.review_id].append(verdict)
    ids, out = sorted(by_review), []
    for first in range(0, len(ids), _PAGE_REVIEWS):
        some = ids[first : first + _PAGE_REVIEWS]
        for review, analysis in zip(store.reviews(some), store.analyses(some), strict=True):
            if review is not None and analysis is not None:
                label = _label(review, analysis, by_review[review.id])
                out += [label] if label is not None else []
    return out


def with_judged(labels: Iterable[Label], people: Iterable[Label]) -> list[Label]:
    """The labels, those of people in place of others on the same review, and further ones of people at the end."""
    left = {label.review.id: label for label in people}
    return [left.pop(label.review.id, label) for label in labels] + list(left.values())


def _label(review: Review, analysis: Analysis, verdicts: Iterable[Verdict]) -> Label | None:
    if analysis.insight is None or quarantined(review.text):
        return None
    said = {(v.start, v.end, v.theme): v.is_issue for v in verdicts if v.version == review.version}
    judgements = [said.get(_place(issue)) for issue in analysis.insight.issues]
    if not any(judgement is not None for judgement in judgements):
        return None  # what was judged is not shown any more
    kept = tuple(
        issue
        for issue, judgement in zip(analysis.insight.issues, judgements, strict=True)
        if judgement is not False
    )
    return Label(review, issues=kept, emotions=analysis.emotions.present)


def _place(issue: Issue) -> tuple[int, int, str]:
    return issue.start, issue.end, issue.theme
