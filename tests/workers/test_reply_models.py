"""The models that write replies: the packaged one in this process, and a server's, over real HTTP."""

from __future__ import annotations

import pytest

from shared.errors import TemporaryFailure
from shared.settings import Settings
from tests.conftest import CACHE, make_review
from tests.consumers.replies.test_compose import analysis_of
from tests.served_stand_in import StandIn
from workers.reply_models import LocalReplies, ServedReplies


def pairs(*texts: str):  # type: ignore[no-untyped-def]
    found = [make_review(i, text, 2) for i, text in enumerate(texts)]
    return [(review, analysis_of(review, ("quality", None))) for review in found]


@pytest.mark.models
def test_the_packaged_model_answers_each_review_and_names_its_adapter(home):
    ticks: list[int] = []
    model = LocalReplies(Settings(home=home, cache=CACHE), lambda: ticks.append(1))
    said = model.answer(pairs("The soup was cold and nobody came.", "The zip broke at once."))
    assert len(said) == 2 and all(len(text) > 20 for text in said)
    assert "smollm2-issues-reply" in model.name and ticks


@pytest.fixture
def served():  # type: ignore[no-untyped-def]
    server = StandIn()
    yield server, Settings(openai_url=server.url, openai_route="completions", generate_batch=2)
    server.stop()


def test_a_server_answers_each_review_and_one_that_it_refuses_gets_nothing(served):
    server, settings = served
    server.says = lambda prompt: "About the zip." if "zip" in prompt else "About the soup."
    ticks: list[int] = []
    model = ServedReplies(settings, lambda: ticks.append(1))
    said = model.answer(pairs("Cold soup.", "The zip broke.", "HUGE review of the soup."))
    assert said == ["About the soup.", "About the zip.", ""] and len(ticks) == 3
    assert server.most_flying <= 2


def test_a_server_that_is_away_is_nobodys_fault(served):
    server, settings = served
    model = ServedReplies(settings, lambda: None)
    server.stop()
    with pytest.raises(TemporaryFailure):
        model.answer(pairs("Cold soup."))
