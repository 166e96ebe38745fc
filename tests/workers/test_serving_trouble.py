"""A registry that is away, and who is told what: the real registry on a file system that can fail,
a student without weights, and a clock that is told."""

from __future__ import annotations

import json

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from shared.backoff import Backoff
from shared.errors import TemporaryFailure
from shared.inference.adapters import BadAdapter, Registry
from shared.inference.manifest import Pointer
from shared.settings import MATCHER_BASE
from tests.conftest import make_review
from tests.fakes import FakeEmotions
from workers import hotswap
from workers.alarms import RAISED_AGAIN_SECONDS, Alarms
from workers.hotswap import Serving
from workers.insights import MatchedWriter
from workers.pipeline import Pipeline


class Flaky(MemoryFileSystem):
    """Remote storage; reads of paths that contain `away` fail as remote clients fail."""

    protocol = "flaky"
    store: dict[str, object] = {}
    pseudo_dirs = [""]
    away = ""
    reads: list[str] = []

    @classmethod
    def _strip_protocol(cls, path):  # type: ignore[no-untyped-def]
        return super()._strip_protocol(path.replace("flaky://", "memory://"))

    def cat_file(self, path, *args, **kwargs):  # type: ignore[no-untyped-def]
        Flaky.reads.append(path)
        if Flaky.away and Flaky.away in path:
            raise RuntimeError("the endpoint does not answer")  # no OSError, as botocore's
        return super().cat_file(path, *args, **kwargs)


fsspec.register_implementation("flaky", Flaky, clobber=True)


class Student:
    """Fails at an adapter as the world says of it; else it loads and finds no issue."""

    base_name = MATCHER_BASE
    bare_first, takes_packaged = False, True
    loads: list[str] = []

    def bare(self):  # type: ignore[no-untyped-def]
        return self

    def load(self, folder, label, current):  # type: ignore[no-untyped-def]
        Student.loads.append(label)
        assert (folder / "manifest.json").exists()
        if self.world.texts.get(label) == "no memory" and len(Student.loads) < 3:
            raise MemoryError("no memory now")
        return self

    def restore(self, label, engine):  # type: ignore[no-untyped-def]
        assert engine is not None

    def probe(self, engine):  # type: ignore[no-untyped-def]
        if self.world.texts.get(Student.loads[-1]) == "bad":
            raise BadAdapter("its output is not finite")

    def read(self, reviews):  # type: ignore[no-untyped-def]
        return [([], []) for _ in reviews]


class World:
    def __init__(self, settings, tmp_path, monkeypatch):  # type: ignore[no-untyped-def]
        Flaky.away, Flaky.reads, Student.loads, Student.world = "", [], [], self  # type: ignore[attr-defined]
        monkeypatch.setattr(hotswap, "make_student", lambda settings, tick: Student())
        url = f"flaky://{tmp_path.name}"
        self.settings = settings.model_copy(update={"adapters_url": url, "cache": tmp_path})
        self.registry, self.tmp = Registry(url, tmp_path / "other"), tmp_path
        self.now, self.texts, self.warnings = 0.0, {}, {}
        self.first = self.publish("good")
        self.registry.promote(self.first)

    def publish(self, text):  # type: ignore[no-untyped-def]
        folder = self.tmp / "trained"
        folder.mkdir(exist_ok=True)
        (folder / "adapter_model.safetensors").write_text(text)
        name = self.registry.publish(
            folder, task="issues", prompt_version="issues-1", base=MATCHER_BASE
        ).id
        self.texts[name] = text
        return name

    def warn(self, cause, text):  # type: ignore[no-untyped-def]
        if text is None:
            del self.warnings[cause]
        else:
            self.warnings[cause] = text

    def serving(self):  # type: ignore[no-untyped-def]
        return Serving(self.settings, self.warn, clock=lambda: self.now, jitter=lambda: 1.0)

    def later(self, serving, seconds=1.0):  # type: ignore[no-untyped-def]
        self.now += seconds
        serving.refresh()


@pytest.fixture
def world(settings, tmp_path, monkeypatch):  # type: ignore[no-untyped-def]
    return World(settings, tmp_path, monkeypatch)


def test_a_fetch_that_fails_is_tried_again_with_growing_rests(world):
    serving = world.serving()
    second = world.publish("good")
    world.registry.promote(second)
    Flaky.away, tried_after = f"{second}/manifest", []
    for _ in range(40):
        before = len(Flaky.reads)
        world.later(serving)
        if any(second in path for path in Flaky.reads[before:]):
            tried_after.append(world.now)
    assert tried_after == [1, 3, 7, 15, 31], "2 s, then doubled"
    assert serving.adapter == world.first and "tried again" in world.warnings["adapter"]
    Flaky.away = ""
    world.later(serving, 60)
    assert serving.adapter == second and not world.warnings


def test_a_worker_short_of_memory_takes_the_adapter_when_it_fits(world):
    serving = world.serving()
    second = world.publish("no memory")
    world.registry.promote(second)
    world.later(serving)
    assert serving.adapter == world.first and "adapter" in world.warnings
    world.later(serving, 10)
    assert serving.adapter == second and not world.warnings


def test_a_bad_adapter_is_loaded_once_whatever_the_pointer_does(world):
    serving = world.serving()
    bad = world.publish("bad")
    for _ in range(3):
        world.registry.promote(bad)
        world.later(serving, 1000)
        assert serving.adapter == world.first and "not finite" in world.warnings["adapter"]
        world.registry.promote(world.first)
        world.later(serving, 1000)
        assert not world.warnings
    assert Student.loads.count(bad) == 1


def test_each_warning_is_lifted_by_its_own_cause_alone(world):
    serving = world.serving()
    world.registry.promote(world.publish("bad"))
    world.later(serving)
    Flaky.away = "promoted-issues"
    world.later(serving)
    assert set(world.warnings) == {"adapter", "registry"}
    Flaky.away = ""
    world.later(serving, 60)
    assert set(world.warnings) == {"adapter"}, "the pointer can be read; the adapter is still bad"
    Flaky.away = "promoted-issues"
    world.later(serving)
    world.registry._move("issues", Pointer(adapter=world.first))
    assert set(world.warnings) == {"adapter", "registry"}
    Flaky.away = ""
    world.later(serving, 60)
    assert not world.warnings


def test_an_unreadable_pointer_is_looked_at_ever_more_seldom_up_to_a_minute(world):
    serving = world.serving()
    Flaky.away, Flaky.reads = "promoted-issues", []
    for _ in range(600):
        world.later(serving)
    assert 10 <= len(Flaky.reads) <= 16 and serving.adapter == world.first


def test_a_worker_that_starts_while_the_registry_is_away_serves_the_packaged_adapter(world):
    Flaky.away = "promoted-issues"
    serving = world.serving()
    assert serving.adapter == "packaged-minilm-issues" and set(world.warnings) == {"registry"}
    Flaky.away = ""
    world.later(serving, 5)
    assert serving.adapter == world.first and not world.warnings


def test_the_packaged_adapter_does_not_lift_the_wanted_ones_warning(world):
    world.registry.promote(world.publish("bad"))
    serving = world.serving()
    assert serving.adapter == "packaged-minilm-issues" and "not finite" in world.warnings["adapter"]


def test_a_registry_that_is_away_is_no_reviews_fault(world, store):
    serving = world.serving()
    reviews = [make_review(i, f"The soup was cold {i}.") for i in range(8)]
    for review in reviews:
        store.put([review])
    Flaky.away, world.now = "promoted-issues", 5.0
    outcomes = Pipeline(store, FakeEmotions(), MatchedWriter(serving)).run([r.id for r in reviews])
    assert outcomes == [None] * 8 and store.counts()["analysed"] == 8


def test_the_pointer_is_looked_at_once_a_batch_and_not_again_for_its_halves(store):
    class Counting(MatchedWriter):
        name, looked, wrote = "counting", 0, 0

        def __init__(self) -> None:
            pass

        def refresh(self) -> None:
            self.looked += 1

        def write(self, items):  # type: ignore[no-untyped-def]
            self.wrote += 1
            raise ValueError("each review fails")

    reviews = [make_review(i, f"cold soup {i}") for i in range(4)]
    for review in reviews:
        store.put([review])
    writer = Counting()
    outcomes = Pipeline(store, FakeEmotions(), writer).run([r.id for r in reviews])
    assert writer.looked == 1 and writer.wrote == 7 and all(outcomes)


def test_each_worker_warns_for_itself(settings, store, monkeypatch, tmp_path):
    world = World(settings, tmp_path, monkeypatch)
    from workers.build import build_writer

    store.warn("adapter other-host.7", "it is damaged there", lasts_seconds=600)
    bad = world.publish("bad")
    world.registry.promote(bad)
    writer = build_writer(world.settings, store, lambda: None)
    assert len(store.warnings()) == 2 and any(bad in text for text in store.warnings().values())
    world.registry.promote(world.first)
    writer._serving._checked -= 10
    writer.refresh()
    assert list(store.warnings()) == ["adapter other-host.7"]


def test_a_warning_in_force_is_raised_again_before_it_fades_and_only_then():
    now, raised = [0.0], []
    alarms = Alarms(lambda cause, text: raised.append((cause, text)), lambda: now[0])
    assert alarms.sound("adapter", "bad") and not alarms.sound("adapter", "bad")
    alarms.lift("registry")
    assert raised == [("adapter", "bad")]
    now[0] = RAISED_AGAIN_SECONDS
    alarms.sound_again()
    alarms.lift("adapter")
    alarms.sound_again()
    assert raised == [("adapter", "bad"), ("adapter", "bad"), ("adapter", None)]


def test_a_warning_that_could_not_be_shown_is_shown_later():
    away, raised = [True], []

    def warn(cause, text):  # type: ignore[no-untyped-def]
        if away[0]:
            raise TemporaryFailure("the server is away")
        raised.append(json.dumps([cause, text]))

    alarms = Alarms(warn, lambda: 0.0)
    with pytest.raises(TemporaryFailure):
        alarms.sound("adapter", "bad")
    away[0] = False
    assert alarms.sound("adapter", "bad") and len(raised) == 1


def test_rests_double_to_the_longest_and_begin_anew_after_success():
    now = [0.0]
    backoff = Backoff(2, 10, lambda: now[0], lambda: 1.0)
    assert backoff.due() and [backoff.failed() for _ in range(4)] == [2, 4, 8, 10]
    assert not backoff.due()
    now[0] = 10.0
    assert backoff.due()
    backoff.over()
    assert backoff.failed() == 2
    assert 1 <= Backoff(2, 10, lambda: 0.0).failed() <= 2
