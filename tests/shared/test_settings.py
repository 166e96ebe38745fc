from __future__ import annotations

import pytest

from shared.errors import Misconfigured
from shared.settings import load_settings


def test_the_preset_fills_what_is_unset_and_the_environment_wins(monkeypatch):
    assert load_settings().emotion_model == "packaged:goemotions-minilm"
    monkeypatch.setenv("BEYOND_PRESET", "gpu")
    monkeypatch.setenv("BEYOND_BATCH_REVIEWS", "7")
    settings = load_settings()
    assert (settings.insight_model, settings.batch_reviews) == ("hub:microsoft/phi-2", 7)


def test_naming_a_language_model_makes_it_the_writer(monkeypatch):
    assert load_settings().insight_writer == "matched"
    monkeypatch.setenv("BEYOND_INSIGHT_MODEL", "hub:microsoft/phi-2")
    assert load_settings().insight_writer == "generated"
    monkeypatch.setenv("BEYOND_INSIGHT_WRITER", "matched")
    assert load_settings().insight_writer == "matched"


def test_a_bad_value_names_the_variable(monkeypatch):
    monkeypatch.setenv("BEYOND_MAX_QUEUED", "many")
    with pytest.raises(Misconfigured, match="BEYOND_MAX_QUEUED"):
        load_settings()


def test_secrets_are_masked_when_shown(monkeypatch):
    monkeypatch.setenv("BEYOND_REDIS_URL", "rediss://user:hunter2@example.test:6380/1")
    monkeypatch.setenv("BEYOND_WEBHOOK_TOKEN", "hunter2")
    shown = load_settings().shown()
    assert "hunter2" not in str(shown) and shown["redis_url"] == "rediss://***@example.test:6380/1"


def test_the_author_key_is_made_once_and_private(settings):
    first = settings.author_key
    assert len(first) == 32 and (settings.home / "author.key").stat().st_mode & 0o077 == 0
    assert settings.model_copy().author_key == first
