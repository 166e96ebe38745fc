from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis.strategies import integers, permutations

from shared.errors import ModelUnavailable
from shared.inference.emotions import WINDOW_TOKENS, WindowedClassifier, load_emotions, load_folder
from shared.inference.weights import PACKAGED
from shared.review import EMOTIONS, NEGATIVE
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
        ]
    )
    assert [e.present[0] for e in felt] == ["gratitude", "anger", "love"]


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


TEXTS = [
    "The soup was cold.",
    "Lovely! " * 100,
    "x",
    "Three emails and no answer, and they charged my card anyway.",
    "The room was clean. The bed was not. I slept badly and said so; nobody cared!",
    "ok",
    "My order came two weeks late, " * 60,
]


@settings_of_hypothesis(max_examples=8, deadline=None)
@given(order=permutations(range(len(TEXTS))), count=integers(1, len(TEXTS)))
def test_a_reviews_emotions_are_the_same_alone_and_in_any_company(packaged, order, count):
    chosen = [TEXTS[i] for i in order[:count]]
    stars = [None if len(text) % 2 else float(1 + len(text) % 5) for text in chosen]
    alone = [packaged.classify([t], [s])[0] for t, s in zip(chosen, stars, strict=True)]
    assert packaged.classify(chosen, stars) == alone
    apart = np.concatenate([packaged.probabilities([t]) for t in chosen])
    assert np.array_equal(packaged.probabilities(chosen), apart)


def test_padded_batches_of_transformers_change_no_probability_by_more_than_rounding(tmp_path):
    model = load_folder(tiny.roberta(tmp_path / "r"), "roberta", budget=4096)
    together = model.probabilities(TEXTS)
    alone = np.concatenate([model.probabilities([t]) for t in TEXTS])
    assert np.abs(together - alone).max() <= 1e-4
    assert np.abs(model.probabilities(TEXTS[::-1])[::-1] - together).max() <= 1e-4


def test_what_was_called_neutral_is_felt(packaged):
    felt = packaged.classify(
        [
            "Three emails and no answer, and they charged my card anyway.",
            "Left after forty minutes because nobody took our order.",
        ],
        [1, 2],
    )
    for emotions in felt:
        assert set(emotions.present) <= NEGATIVE, emotions.present


def test_at_most_three_emotions_are_shown_strongest_first(packaged):
    for emotions in packaged.classify(TEXTS, [3] * len(TEXTS)):
        shown = [emotions.probabilities[e] for e in emotions.present]
        assert 1 <= len(shown) <= 3


def test_stars_speak_where_words_do_not(packaged):
    low, high = packaged.classify(["It is what it is."] * 2, [1, 5])
    assert low.negative_weight > high.negative_weight


def test_the_review_head_is_what_the_manifest_says_on_the_dev_reviews(packaged):
    if not (DATA / "labels" / "reviews.jsonl").exists():
        pytest.skip("needs ../shared/data/labels")
    from trainer.emotion_data import read_labelled
    from trainer.emotion_scores import emotion_scores

    dev = [r for r in read_labelled(DATA / "labels" / "reviews.jsonl") if r.in_dev]
    felt = packaged.classify([r.text for r in dev], [r.rating for r in dev])
    scores = emotion_scores([e.present for e in felt], dev)
    # Floors three points below what was measured (0.632; 0; 0.058).
    assert scores["micro_f1"] >= 0.60
    # The target of wrong positives is 0.08: 0.111 on this split, 0.077 in the folds.
    assert scores["only_neutral"] <= 0.03 and scores["wrong_positive"] <= 0.14


def test_windows_hold_whole_sentences_up_to_the_limit():
    words = tiny.tokenizer()
    model = WindowedClassifier(
        "t", words, lambda rows: [[np.zeros(28, np.float32)] for _ in rows], EMOTIONS, [0.5] * 28
    )
    sizes = [
        len(w) for w in model._windows("One sentence here. " * 100 + "word " * 500, WINDOW_TOKENS)
    ]
    assert max(sizes) <= WINDOW_TOKENS + 2 and len(sizes) > 5


def test_macro_f1_on_dev_is_what_the_model_card_says(packaged):
    if not (DATA / "goemotions" / "dev.tsv").exists():
        pytest.skip("needs ../shared/data/goemotions")
    from trainer.emotion_data import read_goemotions
    from trainer.emotions import f1, tune_thresholds

    texts, targets = read_goemotions(DATA / "goemotions" / "dev.tsv")
    found = packaged.probabilities(texts)
    manifest = json.loads((FOLDER / "emotions.json").read_text())
    at_shipped = np.mean(
        [f1(found[:, i] >= manifest["thresholds"][i], targets[:, i] > 0) for i in range(28)]
    )
    assert at_shipped >= 0.53 and abs(at_shipped - manifest["dev_macro_f1"]["int8"]) < 0.01
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


def test_a_tick_comes_after_every_forward_pass(tmp_path):
    ticks: list[str] = []
    folder = tiny.roberta(tmp_path / "r")
    model = load_folder(folder, "t", budget=64, tick=lambda: ticks.append("tick"))
    model.classify(["word " * 60] * 5)
    assert len(ticks) >= 5, "64 tokens hold one window of such a text at a time"
    packaged_ticks: list[str] = []
    rows = load_folder(FOLDER, "p", tick=lambda: packaged_ticks.append("tick"))
    rows.classify(["word " * 60] * 5)
    assert len(packaged_ticks) == 5, "each text is one row"
