from __future__ import annotations

import pytest

from shared.errors import TemporaryFailure
from tests.conftest import make_review
from tests.fakes import FakeEmotions, FakeWriter
from workers.pipeline import Pipeline, analyse


def stored(store, *texts):  # type: ignore[no-untyped-def]
    reviews = [make_review(i, t) for i, t in enumerate(texts)]
    for review in reviews:
        store.put([review])
    return [r.id for r in reviews]


def test_every_id_gets_an_outcome_in_order(store):
    ids = stored(store, "a cold soup", "RAISE", "b cold soup")
    outcomes = Pipeline(store, FakeEmotions(), FakeWriter()).run([*ids, "unknown"])
    assert [type(o) for o in outcomes] == [type(None), ValueError, type(None), type(None)]
    assert store.counts()["analysed"] == 2


def test_bisecting_one_bad_review_of_64_costs_few_extra_calls(store):
    ids = stored(store, *["soup"] * 40, "RAISE", *["soup"] * 23)
    fake = FakeEmotions()
    Pipeline(store, fake, FakeWriter()).run(ids)
    assert len(fake.batches) <= 13 and store.counts()["analysed"] == 63


def test_what_is_analysed_is_not_analysed_again(store):
    ids = stored(store, "a", "b")
    fake = FakeEmotions()
    pipeline = Pipeline(store, fake, FakeWriter())
    pipeline.run(ids)
    pipeline.run(ids)
    assert sum(fake.batches) == 2


def test_a_lost_server_is_no_fault_of_a_review(store):
    ids = stored(store, "a", "b")

    class Lost(FakeWriter):
        def write(self, items):  # type: ignore[no-untyped-def]
            raise TemporaryFailure("gone")

    with pytest.raises(TemporaryFailure):
        Pipeline(store, FakeEmotions(), Lost()).run(ids)
    assert store.counts()["analysed"] == 0


def test_the_job_function_refuses_to_run_outside_a_batch_worker():
    with pytest.raises(RuntimeError, match="beyond work"):
        analyse(["x"])
