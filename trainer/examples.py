"""Labels to training examples: (prompt, answer) pairs by shared/inference/prompts.py, and the fixed holdout.

It does not know models or training.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from shared.errors import Misconfigured
from shared.inference.prompts import TASKS, build, target
from shared.review import Issue, Review
from shared.trades import trade_of

HOLDOUT_SHARE = 0.1
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Label:
    """A review and what a teacher or a person answered, per task."""

    review: Review
    issues: tuple[Issue, ...] | None = None
    reply: str | None = None
    feedback: str | None = None
    split: str | None = None
    emotions: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Example:
    """One thing to learn: after `prompt` comes `answer` and the end token."""

    id: str
    task: str
    prompt: str
    answer: str


def held_out(review_id: str, share: float = HOLDOUT_SHARE) -> bool:
    """Whether a review belongs to the fixed holdout: decided by its id alone, so it can never wander into training."""
    return int(hashlib.sha256(review_id.encode()).hexdigest()[:8], 16) / 0xFFFFFFFF < share


def read_labels(path: Path) -> list[Label]:
    """Labels from JSON lines: `gold.jsonl`'s form, or `mistral_pairs.jsonl`'s.

    Raises:
        Misconfigured: missing file, or a line with another form; the text names the line.
    """
    if not path.is_file():
        raise Misconfigured(f"{path}: no such labels file")
    out = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            if line.strip():
                out.append(_label(json.loads(line)))
        except (ValueError, KeyError, TypeError, ValidationError) as error:
            raise Misconfigured(f"{path}:{number}: not a label: {error}") from error
    return out


def as_row(label: Label) -> dict[str, Any]:
    """The JSON form in which a run keeps a label; `read_labels` reads it back."""
    issues = None if label.issues is None else [issue.model_dump() for issue in label.issues]
    kept = {
        "issues": issues,
        "reply": label.reply,
        "feedback": label.feedback,
        "split": label.split,
    }
    return {"review": label.review.model_dump(mode="json"), "emotions": list(label.emotions)} | {
        k: v for k, v in kept.items() if v is not None
    }


def held(label: Label) -> bool:
    """Whether a label belongs to the holdout: by its file's own `dev` split if it has one, otherwise by its review's id."""
    return label.split != "train" if label.split else held_out(label.review.id)


def _label(row: dict[str, Any]) -> Label:
    if isinstance(row["review"], dict):
        own = None if "issues" not in row else tuple(Issue.model_validate(i) for i in row["issues"])
        texts = {k: row.get(k) for k in ("reply", "feedback", "split")}
        return Label(
            Review.model_validate(row["review"]),
            issues=own,
            emotions=tuple(row.get("emotions", ())),
            **texts,
        )
    if "feedback" in row:
        text = _mended(row["review"])
        review = Review(
            id=row["id"], source="file", text=text, rating=row.get("stars"), created_at=_EPOCH
        )
        return Label(review, feedback=row["feedback"], split=row.get("split"))
    review = Review(
        id=row["id"],
        source="file",
        text=row["review"],
        rating=row.get("rating"),
        category=trade_of(str(row.get("domain", "")).replace("_", " ")),
        created_at=_EPOCH,
    )
    issues = [located(issue, review.text) for issue in row["issues"]]
    return Label(review, issues=tuple(issues), reply=row.get("reply"), split=row.get("split"))


def located(fields: dict[str, Any], text: str) -> Issue:
    """An Issue from theme, problem, evidence and action, with the offsets of its evidence in the text.

    Raises:
        ValueError: the evidence is not in the text, or a field is missing or wrong (pydantic's
            ValidationError is one).
    """
    start = text.index(fields["evidence"])
    return Issue(**fields, start=start, end=start + len(fields["evidence"]))


def _mended(text: str) -> str:
    r"""Undo literal \n and \" and \u00e9 that the original project left in its texts."""
    text = (
        text.replace('\\\\"', '"').replace('\\"', '"').replace("\\\\n", "\n").replace("\\n", "\n")
    )
    try:
        return (
            json.loads('"' + text.replace('"', '\\"').replace("\n", "\\n") + '"')
            if "\\u" in text
            else text
        )  # type: ignore[no-any-return]
    except ValueError:
        return text


def examples(labels: Iterable[Label], tasks: Iterable[str]) -> Iterator[Example]:
    """An example per label and task for which the label has an answer."""
    wanted = tuple(tasks)
    for label in labels:
        for task in wanted:
            answer = (
                target(label.issues)
                if task == "issues" and label.issues is not None
                else getattr(label, task, None)
            )
            if not isinstance(answer, str) or not answer:
                continue
            prompt = "".join(build(TASKS[task], label.review, label.emotions))
            yield Example(
                label.review.id, task, prompt, answer if task == "issues" else " " + answer.strip()
            )
