"""Our 135M student against the original project's task: free-text feedback, METEOR against
Mistral's answers.

    python benchmarks/original.py ../shared/data/mistral_pairs.jsonl

All rows of the file's `dev` split, which the adapter never saw, none left out; METEOR per pair with
real WordNet. The original's two figures are quoted (its models are not at hand): phi-2, 2.7B, on
rows of which 96% were in its training data.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from shared.inference.adapters import Registry, default_for  # noqa: E402
from shared.inference.answer import answerer  # noqa: E402
from shared.inference.emotions import load_emotions  # noqa: E402
from shared.inference.weights import PACKAGED  # noqa: E402
from shared.settings import Settings  # noqa: E402
from trainer.examples import read_labels  # noqa: E402
from trainer.metrics.measures import mean, own  # noqa: E402
from trainer.metrics.pairwise import pairwise  # noqa: E402

QUOTED = [
    ("original: phi-2 2.7B, untuned (quoted)", 0.2222),
    ("original: phi-2 2.7B, tuned (quoted)", 0.2318),
]


def main(path: Path) -> None:
    settings = Settings()
    labels = [label for label in read_labels(path) if label.split == "dev"]
    if not labels:
        sys.exit(f"{path} has no rows of split dev")
    name = default_for(
        Registry(str(settings.home / "adapters"), settings.cache), "feedback", settings
    )
    adapter = (
        PACKAGED / name.removeprefix("packaged-") if name and name.startswith("packaged-") else None
    )
    reviews = [label.review for label in labels]
    read = load_emotions(settings).classify([r.text for r in reviews], [r.rating for r in reviews])
    felt = [e.present for e in read]
    references = [str(label.feedback) for label in labels]
    print(f"{len(labels)} dev rows")
    print(
        "".join(
            [
                " " * 42,
                *(
                    f"{h:>10}"
                    for h in ("METEOR", "std", "BERTScore", "parsed", "offers", "repeats", "length")
                ),
            ]
        )
    )
    for title, meteor in QUOTED:
        print(f"{title:42}{meteor:10.4f}")
    for title, folder in (("SmolLM2 135M, untuned", None), (f"SmolLM2 135M, {name}", adapter)):
        texts = answerer(folder, "feedback", settings)(reviews, felt)
        scores, missing = pairwise(texts, references, settings)
        rows = [
            own("feedback", label, text, wanted)
            for label, text, wanted in zip(labels, texts, references, strict=True)
        ]
        means = {k: mean([row[k] for row in rows]) for k in rows[0]}
        bert = statistics.mean(scores["bertscore"]) if "bertscore" in scores else float("nan")
        shown = (statistics.mean(scores["meteor"]), statistics.stdev(scores["meteor"]), bert)
        rest = (means[k] for k in ("parsed", "offers", "repetition", "length_ratio"))
        print("".join([f"{title:42}", *(f"{value:10.4f}" for value in (*shown, *rest))]))
    for metric, why in missing.items():
        print(f"{metric}: not computed: {why}")


if __name__ == "__main__":
    main(
        Path(sys.argv[1] if len(sys.argv) > 1 else ROOT.parent / "shared/data/mistral_pairs.jsonl")
    )
