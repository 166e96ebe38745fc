"""Swapping adapters under a serving model, with tiny models of the real architectures."""

from __future__ import annotations

import json

import pytest
from safetensors.torch import load_file, save_file

from shared.inference.adapters import Registry
from tests import tiny
from tests.conftest import make_review
from tests.fakes import ANGRY
from workers.hotswap import NONE, Serving
from workers.insights import TransformersWriter

PROMPT = ["Rating: 1/5\nReview: <<<The soup was cold and nobody came.>>>\nIssues:\n"]


class World:
    def __init__(self, settings, tmp_path, merge, kind):  # type: ignore[no-untyped-def]
        self.base = tiny.causal(tmp_path / "base", kind)
        self.tmp, self.warnings, self.now = tmp_path, [], 0.0
        self.settings = settings.model_copy(
            update={
                "insight_writer": "generated",
                "insight_model": str(self.base),
                "merge_adapter": merge,
            }
        )
        self.registry = Registry(str(settings.home / "adapters"), tmp_path / "cache")

    def publish(self, seed, **change):  # type: ignore[no-untyped-def]
        folder = tiny.adapter(self.tmp / f"a{seed}", self.base, seed)
        return self.registry.publish(
            folder,
            **{"task": "issues", "prompt_version": "issues-1", "base": self.base.name, **change},
        ).id

    def serving(self):  # type: ignore[no-untyped-def]
        return Serving(self.settings, warn=self.warnings.append, clock=lambda: self.now)

    def later(self, serving):  # type: ignore[no-untyped-def]
        self.now += 2
        serving.refresh()

    def says(self, serving):  # type: ignore[no-untyped-def]
        return serving.engine.run("", PROMPT, max_new_tokens=12)[0]


@pytest.fixture(
    params=[(True, "llama"), (False, "llama"), (False, "phi")],
    ids=["merged", "beside", "beside-phi"],
)
def world(request, settings, tmp_path):  # type: ignore[no-untyped-def]
    return World(settings, tmp_path, *request.param)


def test_a_promoted_adapter_is_taken_up_between_batches(world):
    serving = world.serving()
    plain = world.says(serving)
    assert serving.adapter == NONE
    one, two = world.publish(1), world.publish(2)
    world.registry.promote(one)
    world.later(serving)
    first = world.says(serving)
    assert serving.adapter == one and first != plain
    world.registry.promote(two)
    world.later(serving)
    second = world.says(serving)
    assert serving.adapter == two and second not in (plain, first)
    world.registry.rollback("issues")
    world.later(serving)
    assert world.says(serving) == first, "after the rollback it does not say what it said"


def test_a_worker_that_starts_later_says_the_same(world):
    world.registry.promote(world.publish(1))
    one, other = world.serving(), world.serving()
    assert one.adapter == other.adapter != NONE and world.says(one) == world.says(other)


@pytest.mark.parametrize(
    "damage", ["corrupt", "nan", "deleted", "wrong base", "wrong prompt", "wrong shape", "pointer"]
)
def test_a_bad_adapter_leaves_the_old_one_serving_and_warns(world, damage):
    good = world.publish(1)
    world.registry.promote(good)
    serving = world.serving()
    before = world.says(serving)
    root = world.settings.home / "adapters"
    change = {"wrong base": {"base": "other"}, "wrong prompt": {"prompt_version": "issues-0"}}.get(
        damage, {}
    )
    if damage in ("nan", "wrong shape"):
        folder = tiny.adapter(world.tmp / "a2", world.base, 2)
        weights = load_file(folder / "adapter_model.safetensors")
        bad = {
            k: (v * float("nan") if damage == "nan" else v[:, :-1].contiguous())
            for k, v in weights.items()
        }
        save_file(bad, folder / "adapter_model.safetensors", metadata={"format": "pt"})
        name = world.registry.publish(
            folder, task="issues", prompt_version="issues-1", base=world.base.name
        ).id
    else:
        name = world.publish(2, **change)
    world.registry.promote(name)
    if damage == "corrupt":
        (root / name / "adapter_model.safetensors").write_bytes(b"garbage")
    elif damage == "deleted":
        import shutil

        shutil.rmtree(root / name)
    elif damage == "pointer":
        (root / "promoted-issues.json").write_text("{not json")
    world.later(serving)
    assert serving.adapter == good and world.says(serving) == before
    assert world.warnings[-1] and (
        "serves on" in world.warnings[-1] or "pointer" in world.warnings[-1]
    )
    (root / "promoted-issues.json").write_text(json.dumps({"adapter": good, "previous": []}))
    world.later(serving)
    if damage != "pointer":
        assert world.warnings[-1] is None, "the warning was not lifted"


def test_the_writer_names_the_adapter_that_wrote(world):
    good = world.publish(1)
    world.registry.promote(good)
    written = TransformersWriter(world.serving()).write(
        [(make_review(0, "The soup was cold."), ANGRY)]
    )[0]
    assert not isinstance(written, str) and written.adapter == good
