from __future__ import annotations

import json

import numpy as np
import pytest

from shared.errors import ModelUnavailable
from shared.inference.emotions import WINDOW_TOKENS, WindowedClassifier, load_emotions, load_folder
from shared.inference.weights import PACKAGED
from shared.review import EMOTIONS
from tests import tiny
from tests.conftest import DATA

FOLDER = PACKAGED / "goemotions-minilm"


@pytest.fixture(scope="module")
def packaged():  # type: ignore[no-untyped-def]
    return load_folder(FOLDER, "packaged:goemotions-minilm")


def test_the_packaged_model_reads_plain_feelings(packaged):
    felt = packaged.classify(
        [
            "Thank you so much!",
            "I am furious, this is outrageous!",
            "I love this place.",
            "It is a shop.",
        ]
    )
    assert [e.present[0] for e in felt] == ["gratitude", "anger", "love", "neutral"]


def test_neutral_never_stands_beside_an_emotion(packaged):
    texts = ["It was fine I guess, thanks.", "ok", "", "The soup. It was cold!", "Hmm."] * 3
    for felt in packaged.classify(texts):
        assert felt.present == ("neutral",) or "neutral" not in felt.present
        assert list(felt.probabilities) == list(EMOTIONS)


def test_a_long_review_is_read_to_its_end(packaged):
    calm = "We sat by the window and looked at the menu. " * 40
    assert {"anger", "disgust"} & set(
        packaged.classify([calm + "I am so angry and disgusted!"])[0].present
    )
    assert packaged.classify([calm])[0].present == ("neutral",)


def test_results_do_not_depend_on_the_batch_beyond_int8_rounding(packaged):
    texts = ["The soup was cold.", "Lovely! " * 100, "x"]
    together = packaged.probabilities(texts)
    alone = np.concatenate([packaged.probabilities([t]) for t in texts])
    assert np.abs(together - alone).max() < 0.06  # dynamic int8 scales activations over the batch


def test_windows_hold_whole_sentences_up_to_the_limit():
    words = tiny.tokenizer()
    model = WindowedClassifier(
        "t", words, lambda i, m: np.zeros((len(i), 28), np.float32), EMOTIONS, [0.5] * 28
    )
    sizes = [len(w) for w in model._windows("One sentence here. " * 100 + "word " * 500)]
    assert max(sizes) <= WINDOW_TOKENS + 2 and len(sizes) > 5


def test_macro_f1_on_dev_is_what_the_model_card_says(packaged):
    if not (DATA / "goemotions" / "dev.tsv").exists():
        pytest.skip("needs ../shared/data/goemotions")
    from trainer.emotions import f1, read_goemotions, tune_thresholds

    texts, targets = read_goemotions(DATA / "goemotions" / "dev.tsv")
    found = packaged.probabilities(texts)
    manifest = json.loads((FOLDER / "emotions.json").read_text())
    at_shipped = np.mean(
        [f1(found[:, i] >= manifest["thresholds"][i], targets[:, i] > 0) for i in range(28)]
    )
    assert at_shipped >= 0.48 and abs(at_shipped - manifest["dev_macro_f1"]["int8"]) < 0.01
    assert manifest["dev_macro_f1"]["fp32"] - manifest["dev_macro_f1"]["int8"] <= 0.005
    assert tune_thresholds(found, targets)[1] >= at_shipped - 1e-6


def test_roberta_of_the_gpu_preset_loads_by_the_same_code(tmp_path, settings):
    folder = tiny.roberta(tmp_path / "r")
    model = load_emotions(settings.model_copy(update={"emotion_model": str(folder)}))
    assert len(model.classify(["a", "b " * 900])) == 2


def test_a_model_with_other_labels_is_refused(tmp_path, settings):
    folder = tiny.roberta(tmp_path / "r")
    config = json.loads((folder / "config.json").read_text())
    config["id2label"]["0"] = "bliss"
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelUnavailable, match="28"):
        load_emotions(settings.model_copy(update={"emotion_model": str(folder)}))


def test_a_tick_comes_after_every_forward_pass():
    events: list[str] = []

    def logits(ids, mask):  # type: ignore[no-untyped-def]
        events.append("forward")
        return np.zeros((len(ids), 28), np.float32)

    words = tiny.tokenizer()
    model = WindowedClassifier(
        "t",
        words,
        logits,
        EMOTIONS,
        [0.5] * 28,
        budget=64,
        tick=lambda: events.append("tick"),
    )
    model.classify(["word " * 60] * 5)
    assert events == ["forward", "tick"] * 5, "64 tokens hold one text of 60 words at a time"
