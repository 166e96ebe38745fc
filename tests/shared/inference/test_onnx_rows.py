"""Rows through the packaged int8 models: a row's result is its own, bit for bit."""

from __future__ import annotations

from functools import cache

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from shared.inference.onnx_rows import RowModel
from shared.inference.weights import PACKAGED

FOLDERS = ("goemotions-minilm", "minilm-issues")
TEXTS = (
    "Bad.",
    "The soup was cold.",
    "Great food, friendly people, we will be back!",
    "Three emails and no answer, and they charged my card anyway.",
    "We waited 45 minutes past our reservation and nobody said a word about it. " * 3,
    "I love the colour but the zip broke after two washes; the seller did not answer. " * 6,
)


@cache
def rows(folder: str) -> list[dict[str, list[int]]]:
    """The texts as the model's inputs, each unpadded."""
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(PACKAGED / folder / "tokenizer.json"))
    names = [one.name for one in session(folder).get_inputs()]
    out = []
    for text in TEXTS:
        coded = tokenizer(text, truncation=True, max_length=192)
        ids = list(coded["input_ids"])
        values = (ids, [1] * len(ids), [0] * len(ids))
        out.append(dict(zip(names, values, strict=False)))
    return out


@cache
def session(folder: str) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(PACKAGED / folder / "model.onnx"))


@cache
def model(folder: str, threads: int) -> RowModel:
    return RowModel(PACKAGED / folder / "model.onnx", threads)


@cache
def alone(folder: str) -> list[list[np.ndarray]]:
    return [model(folder, 1).run([row])[0] for row in rows(folder)]


@pytest.mark.parametrize("folder", FOLDERS)
@given(
    chosen=st.lists(st.integers(0, len(TEXTS) - 1), max_size=10), threads=st.sampled_from([1, 2, 3])
)
@settings(max_examples=25, deadline=None)
def test_a_row_says_the_same_in_any_company_in_any_order_on_any_number_of_threads(
    folder, chosen, threads
):
    together = model(folder, threads).run([rows(folder)[i] for i in chosen])
    assert len(together) == len(chosen)
    for index, found in zip(chosen, together, strict=True):
        for mine, wanted in zip(found, alone(folder)[index], strict=True):
            assert np.array_equal(mine, wanted)


@pytest.mark.parametrize("folder", FOLDERS)
def test_in_one_padded_batch_the_same_model_says_something_else(folder):
    """Why rows go alone: were this to fail, batches would be safe again and RowModel needless."""
    both = [rows(folder)[1], rows(folder)[5]]
    width = max(len(row[name]) for row in both for name in row)
    feed = {
        name: np.array([row[name] + [0] * (width - len(row[name])) for row in both])
        for name in both[0]
    }
    batch = session(folder).run(None, feed)[0][0]
    single = alone(folder)[1][0]
    assert np.abs(batch[: len(single)] - single).max() > 1e-4


def test_a_watchdog_hears_of_every_row():
    heard: list[int] = []
    one = RowModel(PACKAGED / FOLDERS[0] / "model.onnx", 1, lambda: heard.append(1))
    one.run(rows(FOLDERS[0]))
    assert len(heard) == len(TEXTS)
    assert one.run([]) == []
