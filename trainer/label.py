"""Labelling: ask the teacher, keep what is valid, drop and count the rest by reason; answers are cached.

A cache line belongs to (review id, its version, task, prompt version, teacher): nothing is asked
twice, also across runs and after a kill. A teacher that fails stops the step with an error and is
never quoted as a label. It does not know training.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from shared.inference.offers import offers_unsupported
from shared.inference.prompts import MAX_ISSUES, TASKS
from shared.review import Issue
from trainer.examples import Label, located
from trainer.run import Spent
from trainer.teachers import INSTRUCTIONS, TRUNCATED, VERSION, Teacher

_ECHO_WORDS = 8


class Dropped(Exception):
    """A label is invalid; the text is the reason under which it is counted."""


@dataclass
class Labelled:
    """Valid labels in the order of the sample, and how many were dropped by reason."""

    labels: list[Label] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    cached: int = 0

    def add(self, label: Label, task: str) -> None:
        """Keep the label if it is valid for the task, otherwise count why not."""
        try:
            self.labels.append(checked(label, task))
        except Dropped as error:
            self.dropped[str(error)] += 1


class Cache:
    """Raw answers of one teacher as JSON lines, appended as they come; a line cut off by a kill is ignored."""

    def __init__(self, folder: Path, teacher: str, task: str) -> None:
        name = hashlib.sha256(
            f"{teacher}|{task}|{TASKS[task].version}|{VERSION}".encode()
        ).hexdigest()[:16]
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"{task}-{name}.jsonl"
        self._known: dict[str, str] = {}
        if self._path.exists():
            for line in self._path.read_text(encoding="utf-8").splitlines():
                try:
                    row = json.loads(line)
                    self._known[row["key"]] = row["answer"]
                except (ValueError, KeyError, TypeError):
                    continue

    def get(self, label: Label) -> str | None:
        """The raw answer, or None."""
        return self._known.get(_key(label))

    def put(self, label: Label, answer: str) -> None:
        """Remember an answer, on disk before it is used."""
        self._known[_key(label)] = answer
        with self._path.open("a", encoding="utf-8") as out:
            out.write(json.dumps({"key": _key(label), "answer": answer}, ensure_ascii=False) + "\n")


def _key(label: Label) -> str:
    return f"{label.review.id}:{label.review.version}"


def ask(
    sample: Sequence[Label], task: str, teacher: Teacher, cache: Cache, say: Callable[[str], None]
) -> Labelled:
    """Label every review of the sample.

    Args:
        sample: reviews without answers (their emotions filled in).
        task: what to ask for.
        teacher: who answers.
        cache: answers so far.
        say: called with one line of progress at a time.

    Raises:
        TemporaryFailure: the teacher failed; what it answered so far is cached, repeating goes on
            from there.
    """
    out = Labelled()
    for number, label in enumerate(sample, 1):
        raw = cache.get(label)
        if raw is None:
            raw = teacher.answer(task, label.review)
            cache.put(label, raw)
        else:
            out.cached += 1
        try:
            out.add(parsed(label, task, raw), task)
        except Dropped as error:
            out.dropped[str(error)] += 1
        if number % 10 == 0 or number == len(sample):
            say(
                f"{number}/{len(sample)} labelled, {out.cached} from the cache, {sum(out.dropped.values())} dropped"
            )
    return out


def parsed(label: Label, task: str, raw: str) -> Label:
    """The label with the teacher's answer in it.

    Raises:
        Dropped: the answer is cut off or not of the task's form.
    """
    if raw.endswith(TRUNCATED):
        raise Dropped("truncated")
    if task != "issues":
        text = " ".join(raw.split())
        return replace(label, reply=text) if task == "reply" else replace(label, feedback=text)
    try:
        rows: list[dict[str, Any]] = json.loads(raw[raw.index("{") : raw.rindex("}") + 1])["issues"]
        if len(rows) > MAX_ISSUES:
            raise Dropped("unparsable")
        issues: list[Issue] = []
        for row in rows:
            if row["evidence"] not in label.review.text:
                raise Dropped("evidence not verbatim")
            issues.append(located(row, label.review.text))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Dropped("unparsable") from None
    return replace(label, issues=tuple(issues))


def checked(label: Label, task: str) -> Label:
    """The label itself, if a student may learn from it.

    Raises:
        Dropped: it has no answer, promises what the review does not carry, is cut off, or echoes
            the prompt.
    """
    if task == "issues":
        if label.issues is None:
            raise Dropped("no answer")
        if any(label.review.text[i.start : i.end] != i.evidence for i in label.issues):
            raise Dropped("evidence not verbatim")
        if any(offers_unsupported(i.action or "", label.review.text) for i in label.issues):
            raise Dropped("unsupported offer")
        return label
    text = getattr(label, task)
    if not isinstance(text, str) or not text.strip():
        raise Dropped("no answer")
    if echoes(text, INSTRUCTIONS[task]) or "<<<" in text:
        raise Dropped("echo of the prompt")
    if offers_unsupported(text, label.review.text):
        raise Dropped("unsupported offer")
    if cut_off(text):
        raise Dropped("truncated")
    return label


def cut_off(text: str) -> bool:
    """Whether a text stops in the middle: no closing punctuation, a bare number at the end, or a colon before a list."""
    text = text.strip()
    return not re.search(r"[.!?)\"'”’]$", text) or bool(re.search(r"(?:^|\s)\d+\.$|:$", text))


def echoes(text: str, instruction: str) -> bool:
    """Whether the text repeats eight words in a row of the instruction."""
    words, asked = text.lower().split(), " ".join(instruction.lower().split())
    return any(
        " ".join(words[i : i + _ECHO_WORDS]) in asked
        for i in range(max(0, len(words) - _ECHO_WORDS + 1))
    )


def require_some(found: Labelled, task: str) -> None:
    """Stop a cycle that has nothing to learn from.

    Raises:
        Spent: every label was dropped; the text counts why.
    """
    if not found.labels:
        why = (
            ", ".join(f"{n} {reason}" for reason, n in found.dropped.most_common())
            or "the sample was empty"
        )
        raise Spent(
            f"no valid label for task {task}: {why}; look at the teacher's answers or choose another teacher"
        )
