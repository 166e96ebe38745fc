from __future__ import annotations

import itertools

import pytest

from shared.inference.playbook import read_lines
from shared.replies.compose import (
    TONES,
    NoReply,
    Voice,
    compose,
    mood_of,
    named,
    named_problems,
)
from shared.replies.guard import breaches
from shared.review import THEMES, TRADES, Analysis, Emotions, Insight, Issue, Review
from tests.conftest import EPOCH, ROOT, make_review

PLAYBOOK = ROOT / "shared" / "inference" / "weights" / "minilm-issues" / "playbook.jsonl"
TEXT = "The soup was cold. Call me: Anna Lind, 555 0134 887, anna@example.org, order 90817263."


def analysis_of(
    review: Review,
    *problems: tuple[str, str | None],
    present: tuple[str, ...] = ("disappointment",),
) -> Analysis:
    issues = tuple(
        Issue(theme=theme, problem=problem, evidence=review.text[:18], start=0, end=18)
        for theme, problem in problems
    )
    insight = Insight(
        issues=issues, urgency="normal", urgency_reason="", adapter="a", prompt_version="1"
    )
    return Analysis(
        review_id=review.id,
        emotions=Emotions(probabilities={}, present=present),
        insight=insight,
        analysed_at=EPOCH,
    )


def test_whatever_the_parts_the_guard_passes_them():
    """Every theme, trade, tone and mood, with fifty ids each: no part breaks a rule or stays unfilled."""
    moods = set()
    cases = itertools.product((*THEMES, None), (None, *TRADES), TONES, (1, 3, 5, None), range(6))
    for theme, trade, tone, rating, number in cases:
        review = make_review(number, TEXT, rating).model_copy(update={"category": trade})
        felt = ("joy",) if rating == 5 else ("anger",) if number % 2 else ("confusion",)
        found = analysis_of(review, *([(theme, None)] if theme else []), present=felt)
        text = compose(review, found, Voice(tone=tone))
        assert breaches(text, TEXT) == [] and "{" not in text
        assert not any(word in text for word in ("Anna", "soup", "555"))
        moods.add(mood_of(review, found, found.insight.issues))
    assert moods == {"praise", "plain", "mixed", "low", "angry", "grave"}


def test_most_of_the_packaged_playbook_is_named_in_words_of_its_own():
    lines = read_lines(PLAYBOOK)
    unnamed = [line.problem for line in lines if line.problem not in named_problems()]
    assert len(unnamed) <= len(lines) // 10, unnamed
    review = make_review(1, TEXT)
    for line in lines:
        found = analysis_of(review, (line.theme, line.problem))
        text = compose(review, found)
        assert named(found.insight.issues) in text and breaches(text, TEXT) == []


def test_the_problem_is_named_and_a_second_one_beside_it():
    review = make_review(1, TEXT)
    cold = ("quality", "Food was cold when it was served.")
    slow = ("waiting", "The customer waited far too long for food or drinks.")
    both = named(analysis_of(review, cold, slow).insight.issues)
    assert both == "the temperature of your food and the wait for your food and drinks"
    assert both in compose(review, analysis_of(review, cold, slow))


def test_the_same_review_gets_the_same_reply_and_twenty_do_not_read_alike():
    reviews = [make_review(n, TEXT) for n in range(20)]
    problem = ("staff", "An employee was rude, disrespectful or dismissive.")
    texts = [compose(r, analysis_of(r, problem)) for r in reviews]
    assert texts == [compose(r, analysis_of(r, problem)) for r in reviews]
    assert len(set(texts)) == 20
    assert len({text.split(". ")[0] for text in texts}) >= 4


def test_a_reply_ends_with_the_signature_of_the_business():
    review = make_review(1, TEXT)
    signature = "Maria, Harbour Café\n+44 20 7946 0958"
    text = compose(review, analysis_of(review), Voice("formal", signature))
    assert text.endswith("\n\n" + signature)
    assert breaches(text, TEXT, signature) == [], "a business may give its own number"
    assert [b.rule for b in breaches(text, TEXT)] == ["personal data"]


def test_brief_is_shorter():
    review = make_review(1, TEXT)
    found = analysis_of(review, ("price", None))
    assert len(compose(review, found, Voice("brief"))) < len(compose(review, found)) - 40


def test_a_review_in_another_language_gets_none_and_the_reason():
    review = make_review(1, TEXT).model_copy(update={"language": "de"})
    with pytest.raises(NoReply, match="German.*English only"):
        compose(review, analysis_of(review))


@pytest.mark.parametrize(
    "rating, present, mood",
    [
        (5, ("joy",), "praise"),
        (4, ("disappointment",), "mixed"),
        (3, ("anger",), "mixed"),
        (2, ("disappointment",), "low"),
        (1, ("annoyance",), "angry"),
        (None, ("admiration",), "plain"),  # "Keep up the good work!" after two delayed flights
        (None, ("joy", "admiration"), "praise"),
        (None, ("anger",), "angry"),
    ],
)
def test_the_mood_follows_stars_and_emotions(rating, present, mood):
    review = make_review(1, TEXT, rating)
    assert mood_of(review, analysis_of(review, present=present), ()) == mood


def test_danger_and_money_are_answered_gravely_whatever_the_stars():
    for theme in ("safety", "billing"):
        review = make_review(1, TEXT, 3)
        found = analysis_of(review, (theme, None))
        assert mood_of(review, found, found.insight.issues) == "grave"
