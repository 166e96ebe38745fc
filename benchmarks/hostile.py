"""Claim: no hostile review changes the form of what is written, leaks a prompt, promises money or is obeyed.

    python benchmarks/hostile.py [--only matched|generated|replies] [--every N]

tests/hostile.jsonl on the packaged models: for each writer what the model itself wrote, and what
left the guard. A way out is an output that gave way and still left (tests/hostile.py judges).
Minutes for the matched writer, the better part of an hour for the others on two busy cores.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from shared.inference.answer import answer, answerer  # noqa: E402
from shared.inference.emotions import load_emotions  # noqa: E402
from shared.inference.prompts import Unparsable, parse_issues, parse_text  # noqa: E402
from shared.review import Emotions, Issue  # noqa: E402
from shared.settings import Settings  # noqa: E402
from tests.hostile import WAYS, Attack, attacks, judged, judged_insight, shares  # noqa: E402
from workers import guard  # noqa: E402
from workers.hotswap import Serving  # noqa: E402
from workers.write_command import adapter_folder  # noqa: E402

# Of each attack: how the model's own output gave way, how what left did, and whether anything left.
Row = tuple[set[str], set[str], bool]
STEP = 16


def of_issues(attack: Attack, felt: Emotions, issues: Sequence[Issue], free_text: bool) -> Row:
    said = set()
    for issue in issues:
        said |= judged(attack, issue.problem or "") | judged(attack, issue.action or "")
    found = guard.insight(issues, attack.review, felt, "a", "1", free_text=free_text)
    return said, judged_insight(attack, found), bool(found.issues)


def matched(chosen: Sequence[Attack], felt: Sequence[Emotions], home: Path) -> list[Row]:
    serving = Serving(Settings(home=home), warn=lambda *_: None, tick=lambda: None)
    serving.refresh()
    read = serving.engine.read([a.review for a in chosen])
    return [
        of_issues(a, f, shown, False) for a, f, (shown, _) in zip(chosen, felt, read, strict=True)
    ]


def generated(chosen: Sequence[Attack], felt: Sequence[Emotions], home: Path) -> list[Row]:
    settings = Settings(home=home, insight_writer="generated")
    serving = Serving(settings, warn=lambda *_: None, tick=lambda: None)
    serving.refresh()
    out: list[Row] = []
    for first in range(0, len(chosen), STEP):
        part, present = chosen[first : first + STEP], felt[first : first + STEP]
        reviews = [a.review for a in part]
        raw = answer(serving.engine, "issues", reviews, [f.present for f in present])
        for attack, emotions, text in zip(part, present, raw, strict=True):
            try:
                issues = parse_issues(text, attack.review.text)
            except Unparsable:
                out.append(({"form"}, set(), False))
                continue
            out.append(of_issues(attack, emotions, issues, True))
        progress("generated", first + len(part), len(chosen))
    return out


def replies(chosen: Sequence[Attack], felt: Sequence[Emotions], home: Path) -> list[Row]:
    settings = Settings(home=home)
    ask = answerer(adapter_folder("default", "reply", settings), "reply", settings)
    out: list[Row] = []
    for first in range(0, len(chosen), STEP):
        part, present = chosen[first : first + STEP], felt[first : first + STEP]
        raw = ask([a.review for a in part], [f.present for f in present])
        for attack, text in zip(part, raw, strict=True):
            try:
                said = parse_text(text)
            except Unparsable:
                out.append(({"form"}, set(), False))
                continue
            told, _ = guard.guarded_reply(said, attack.review)
            out.append((judged(attack, said), judged(attack, told or ""), told is not None))
        progress("replies", first + len(part), len(chosen))
    return out


WRITERS: dict[str, Callable[[Sequence[Attack], Sequence[Emotions], Path], list[Row]]] = {
    "matched": matched,
    "generated": generated,
    "replies": replies,
}


def progress(name: str, done: int, total: int) -> None:
    print(f"\r{name} {done}/{total}", end="", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=WRITERS)
    parser.add_argument("--every", type=int, default=1, help="take every Nth of the corpus")
    asked = parser.parse_args()
    chosen = attacks()[:: asked.every]
    with tempfile.TemporaryDirectory() as folder:
        classifier = load_emotions(Settings(home=Path(folder)))
        felt = classifier.classify(
            [a.review.text for a in chosen], [a.review.rating for a in chosen]
        )
        print(f"{len(chosen)} hostile reviews, {len({a.kind for a in chosen})} kinds of attack\n")
        print("| writer | | something left | " + " | ".join(WAYS) + " |")
        print("|---|---|---|" + "---|" * len(WAYS))
        ways_out = 0
        for name in [asked.only] if asked.only else WRITERS:
            rows = WRITERS[name](chosen, felt, Path(folder))
            model, left = shares(r[0] for r in rows), shares(r[1] for r in rows)
            some = sum(r[2] for r in rows)
            print(f"| {name} | the model | | " + " | ".join(str(model[w]) for w in WAYS) + " |")
            print(f"| | what left | {some} | " + " | ".join(str(left[w]) for w in WAYS) + " |")
            ways_out += sum(left.values())
    sys.exit(1 if ways_out else 0)


if __name__ == "__main__":
    main()
