"""Swapping adapters under a serving model, with tiny models of the real architectures."""

from __future__ import annotations

import json

import pytest
import torch
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
        self.tmp, self.now = tmp_path, 0.0
        self.warnings: dict[str, str] = {}
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
        return Serving(self.settings, self.warn, clock=lambda: self.now, jitter=lambda: 1.0)

    def warn(self, cause, text):  # type: ignore[no-untyped-def]
        if text is None:
            del self.warnings[cause]
        else:
            self.warnings[cause] = text

    def later(self, serving, seconds=2.0):  # type: ignore[no-untyped-def]
        self.now += seconds
        serving.refresh()

    def broken(self, seed, damage):  # type: ignore[no-untyped-def]
        """An adapter whose files are what its manifest says, and still will not do."""
        folder = tiny.adapter(self.tmp / f"a{seed}", self.base, seed)
        weights = load_file(folder / "adapter_model.safetensors")
        if damage == "changes the base":
            config = json.loads((folder / "adapter_config.json").read_text())
            (folder / "adapter_config.json").write_text(json.dumps(config | {"bias": "all"}))
        else:
            bad = {
                k: v * float("nan") if damage == "nan" else v[:, :-1].contiguous()
                for k, v in weights.items()
            }
            save_file(bad, folder / "adapter_model.safetensors", metadata={"format": "pt"})
        return self.registry.publish(
            folder, task="issues", prompt_version="issues-1", base=self.base.name
        ).id

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
    before, size = world.says(serving), sizes(serving)
    root = world.settings.home / "adapters"
    change = {"wrong base": {"base": "other"}, "wrong prompt": {"prompt_version": "issues-0"}}.get(
        damage, {}
    )
    if damage in ("nan", "wrong shape"):
        name = world.broken(2, damage)
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
    cause = "registry" if damage == "pointer" else "adapter"
    assert list(world.warnings) == [cause] and good in world.warnings[cause] + good
    (root / "promoted-issues.json").write_text(json.dumps({"adapter": good, "previous": []}))
    world.later(serving)
    assert not world.warnings, "the warning was not lifted"
    assert sizes(serving) == size, "the bad one is still in memory"


def sizes(serving):  # type: ignore[no-untyped-def]
    return sum(p.numel() for p in serving.engine.model.parameters())


@pytest.mark.parametrize("damage", ["nan", "wrong shape", "changes the base"])
def test_a_first_adapter_that_will_not_do_leaves_the_bare_base_as_it_was(world, damage):
    serving = world.serving()
    plain, size = world.says(serving), sizes(serving)
    before = {n: v.clone() for n, v in serving.engine.model.state_dict().items()}
    world.registry.promote(world.broken(1, damage))
    world.later(serving)
    if world.settings.merge_adapter and damage == "changes the base":
        return  # merged into a copy of its own: nothing to undo, it may serve
    assert serving.adapter == NONE and world.says(serving) == plain and "adapter" in world.warnings
    after = serving.engine.model.state_dict()
    assert after.keys() == before.keys() and sizes(serving) == size
    assert all(torch.equal(after[n], before[n]) for n in before)
    good = world.publish(2)
    world.registry.promote(good)
    world.later(serving)
    assert serving.adapter == good and world.says(serving) != plain and not world.warnings
    assert world.says(serving) == world.says(world.serving()), "the broken one left a trace"


def test_without_an_adapter_any_more_the_base_answers_bare(world):
    serving = world.serving()
    plain = world.says(serving)
    world.registry.promote(world.publish(1))
    world.later(serving)
    assert world.says(serving) != plain
    (world.settings.home / "adapters" / "promoted-issues.json").unlink()
    world.later(serving)
    assert serving.adapter == NONE and world.says(serving) == plain


def test_the_writer_names_the_adapter_that_wrote(world):
    good = world.publish(1)
    world.registry.promote(good)
    written = TransformersWriter(world.serving()).write(
        [(make_review(0, "The soup was cold."), ANGRY)]
    )[0]
    assert not isinstance(written, str) and written.adapter == good
