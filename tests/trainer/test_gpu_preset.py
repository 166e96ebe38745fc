"""The preset `gpu` from one end to the other, on tiny models of its own classes, without a GPU.

Backfill, a node that reads adapters by URL, a Mistral that teaches, LoRA on a Phi, the gate, the
swap in the running node, the way back.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import count

import pytest

from shared.errors import ModelUnavailable
from shared.inference.adapters import open_registry
from shared.review import Insight
from shared.stream import broker
from tests import tiny, tiny_teacher
from tests.conftest import wait_until
from tests.servers import file_server, model_server
from tests.tiny_teacher import ISSUE, complaint
from trainer.examples import held_out
from trainer.teachers import make_teacher

TRAIN, DEV, HELD = 24, 2, 6


def chosen() -> list[int]:
    """Numbers of complaints, so many for each side of a training."""
    sides: dict[str, list[int]] = {"train": [], "dev": [], "held": []}
    wanted = {"train": TRAIN, "dev": DEV, "held": HELD}
    for number in count():
        name = complaint(number).id
        side = "held" if held_out(name) else "dev" if held_out(f"dev {name}", 0.04) else "train"
        if len(sides[side]) < wanted[side]:
            sides[side].append(number)
        if all(len(sides[side]) == wanted[side] for side in sides):
            return sides["train"] + sides["dev"] + sides["held"]
    raise AssertionError


@pytest.fixture
def models(tmp_path):  # type: ignore[no-untyped-def]
    """The preset's settings, with folders where it names a hub's models, and the CPU as device."""
    roberta = str(tiny.roberta(tmp_path / "roberta-base-go_emotions"))
    return {
        "BEYOND_PRESET": "gpu",
        "BEYOND_DEVICE": "cpu",
        "BEYOND_NF4": "always",  # QLoRA, and served beside a base in 4 bits
        "BEYOND_EMOTION_MODEL": roberta,
        "BEYOND_INSIGHT_MODEL": str(tiny_teacher.phi(tmp_path / "phi-2")),
        "BEYOND_BERTSCORE_MODEL": roberta,  # in truth a larger one; any encoder's folder will do
    }


@pytest.fixture
def first(settings, tmp_path):  # type: ignore[no-untyped-def]
    """A random adapter for that phi, promoted: the champion, and what a rollback returns to."""
    folder = tiny.adapter(tmp_path / "first", tiny_teacher.phi(tmp_path / "phi-2"))
    registry = open_registry(settings)
    name = registry.publish(folder, task="issues", prompt_version="issues-1", base="phi-2").id
    registry.promote(name)
    return name


@pytest.fixture
def teacher(tmp_path) -> Iterator[dict[str, str]]:  # type: ignore[no-untyped-def]
    folder = tiny_teacher.mistral(tmp_path / "mistral")
    with model_server(folder) as url:
        yield {"BEYOND_TEACHER": f"openai:{url}", "BEYOND_OPENAI_MODEL": str(folder)}


@pytest.mark.slow
def test_the_gpu_preset_learns_from_its_teacher_and_a_running_node_swaps_and_returns(
    processes, settings, store, models, first, teacher, tmp_path
):
    rows = [complaint(n).model_dump(mode="json", exclude={"id", "author"}) for n in chosen()]
    (tmp_path / "reviews.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert processes.run("backfill", str(tmp_path / "reviews.jsonl")).returncode == 0
    with file_server(settings.home / "adapters") as adapters:
        # A machine of its own: another home, another cache, adapters by address.
        node = {
            **models,
            "BEYOND_HOME": str(tmp_path / "node"),
            "BEYOND_CACHE": str(tmp_path / "node-cache"),
            "BEYOND_REDIS_URL": broker.server_url(settings),
            "BEYOND_ADAPTERS_URL": adapters,
            "BEYOND_LEASE_SECONDS": "20",
        }
        worker = processes.worker("workers.batch_worker.BatchWorker", **node)
        assert wait_until(lambda: store.counts()["analysed"] == len(rows), 300)
        assert insight(store, complaint(chosen()[0])).adapter == first

        steps = ("--task", "issues", "--base", "gpu", "--recipe", "phi-2", "--epochs", "12")
        train = ("train", *steps, "--rate", "0.015", "--min-examples", str(HELD))
        trained = processes.run(*train, **models, **teacher)
        promoted = open_registry(settings).promoted("issues")
        said = trained.stdout + trained.stderr
        assert trained.returncode == 0 and f"promoted: {promoted}" in trained.stdout, said
        assert promoted != first and f"labelled {len(rows)}" in said, said

        numbers = count(1000)

        def now() -> Insight:
            review = complaint(next(numbers))
            store.put([review], "live")
            assert wait_until(lambda: store.analyses([review.id])[0] is not None, 60)
            return insight(store, review)

        assert wait_until(lambda: now().adapter == promoted, 60), "the node did not swap"
        assert [issue.model_dump(include=set(ISSUE)) for issue in now().issues] == [ISSUE]
        kept = tmp_path / "node-cache" / "adapters" / str(promoted)
        assert (kept / "manifest.json").exists(), "it is not the address that it was read from"

        assert processes.run("adapters", "rollback").stdout.startswith(first)
        assert wait_until(lambda: now().adapter == first, 60), "the node did not return"
        assert worker.poll() is None and not store.warnings()


def test_a_mistral_as_gguf_teaches_where_llama_cpp_is_and_says_what_to_install_where_not(
    settings, tmp_path
):
    path = tmp_path / "tiny.Q4_K_M.gguf"
    path.touch()
    if find_spec("llama_cpp") is None:
        with pytest.raises(ModelUnavailable, match=r"install 'beyond-sentiment\[teacher\]'"):
            make_teacher(f"gguf:{path}", settings)
        return
    tiny_teacher.gguf(path, tiny_teacher.mistral(tmp_path / "mistral"))
    answer = make_teacher(f"gguf:{path}", settings).answer("issues", complaint(5))
    assert json.loads(answer.text) == json.loads(tiny_teacher.ANSWER)


def insight(store, review) -> Insight:  # type: ignore[no-untyped-def]
    found = store.analyses([review.id])[0].insight
    assert isinstance(found, Insight)
    return found
