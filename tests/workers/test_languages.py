from __future__ import annotations

from datetime import UTC, datetime

from producers.intake import make_review
from shared.review import Analysis
from shared.stream.store import Store
from tests.fakes import FakeEmotions, FakeWriter
from workers.pipeline import Pipeline

SPANISH = "La comida estaba fría y el camarero fue muy grosero con nosotros."
ENGLISH = "The food was cold and the waiter was very rude to us."


def analysed(server, text: str, stars: float | None, **read) -> Analysis:  # type: ignore[no-untyped-def]
    fields = {"source": "shop", "text": text, "rating": stars, "created_at": datetime.now(UTC)}
    review = make_review(fields, b"k" * 32)
    return Pipeline(Store(server), FakeEmotions(), FakeWriter(), **read).analyse([review])[0]


def test_a_review_that_the_models_do_not_read_gets_the_reason_and_no_claim(server):
    for stars in (1, None):
        one = analysed(server, SPANISH, stars, emotions_read=("en",), insights_read=("en",))
        assert one.insight_reason == "written in Spanish: this model reads English"
        assert one.emotions.present == () and len(one.emotions.probabilities) == 28


def test_english_reviews_go_on_as_before(server):
    one = analysed(server, ENGLISH, 1, emotions_read=("en",), insights_read=("en",))
    assert one.insight is not None and one.emotions.present == ("anger",)


def test_models_that_read_whatever_comes_get_every_language(server):
    one = analysed(server, SPANISH, 1)
    assert one.insight is not None and one.emotions.present == ("anger",)


def test_a_language_model_goes_on_where_only_the_emotions_are_english(server):
    one = analysed(server, SPANISH, 1, emotions_read=("en",))
    assert one.insight is not None and one.emotions.present == ()
