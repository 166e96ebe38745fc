"""A server that others wrote: `transformers serve` with SmolLM2 and the packaged adapter merged in."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.errors import TemporaryFailure
from shared.inference.adapters import open_registry
from shared.inference.causal import load_merged
from shared.inference.manifest import packaged_for
from shared.inference.served import ServedModel
from shared.review import Insight
from shared.settings import Settings, base_name
from tests import tiny
from tests.conftest import CACHE, make_review, wait_until
from tests.servers import model_server

TEXTS = ["We waited an hour and the soup came cold.", "The room was dirty and the staff were rude."]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):  # type: ignore[no-untyped-def]
    """The student that `generated` serves on a laptop, as a model folder that any server reads."""
    home: Path = tmp_path_factory.mktemp("home")
    settings = Settings(home=home, cache=CACHE, insight_writer="generated")
    adapter = packaged_for(base_name(settings), "issues")
    assert adapter is not None
    merged = load_merged(settings, open_registry(settings).fetch(adapter))
    merged.save_pretrained(home / "student")
    tiny.tokenizer().save_pretrained(home / "student")
    return home / "student"


@pytest.fixture(scope="module")
def served(folder):  # type: ignore[no-untyped-def]
    with model_server(folder) as url:
        yield {
            "BEYOND_OPENAI_URL": url,
            "BEYOND_OPENAI_MODEL": str(folder),
            "BEYOND_OPENAI_ROUTE": "completions",
        }


def test_reviews_become_insights_on_a_server_without_grammar(served, store, processes):
    reviews = [make_review(i, text, 1) for i, text in enumerate(TEXTS)]
    for review in reviews:
        store.put([review])
    worker = processes.worker("workers.batch_worker.BatchWorker", **served)
    assert wait_until(lambda: store.counts()["analysed"] == len(TEXTS), 300)
    assert worker.poll() is None and not store.warnings()
    found = store.analyses([r.id for r in reviews])
    for review, analysis in zip(reviews, found, strict=True):
        assert isinstance(analysis.insight, Insight), analysis.insight_reason
        for issue in analysis.insight.issues:
            assert review.text[issue.start : issue.end] == issue.evidence


def test_it_takes_no_grammar_and_a_wrong_model_name_is_no_reviews_fault(served, settings):
    change = {k.removeprefix("BEYOND_").lower(): v for k, v in served.items()}
    model = ServedModel(settings.model_copy(update=change | {"hang_seconds": 120}))
    model.learn_grammar()
    assert model.dialect == "none"
    with pytest.raises(TemporaryFailure, match="pinned"):
        model.ask("Hello", model="another", most_tokens=1)
