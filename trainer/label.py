"""Labelling: ask the teacher, keep what is valid, drop and count the rest by reason; answers are cached.

A cache line belongs to (review id, its version, task, prompt version, teacher): nothing is asked
twice, also across runs and after a kill. A teacher that fails stops the step with an error and is
never quoted as a label. It does not know training.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from shared.inference.offers import offers_unsupported
from shared.inference.prompts import MAX_ISSUES, TASKS
from shared.review import Issue
from trainer.examples import Label, located
from trainer.run import Spent
from trainer.teachers import INSTRUCTIONS, TRUNCATED, VERSION, Teacher, Tokens

# Words in a row; fewer would drop answers that speak of the same things as the instruction. Chosen,
# not measured.
_ECHO_WORDS = 8
_LINE_EVERY = 10  # reviews; a line of progress also keeps the training worker's watchdog quiet


class Dropped(Exception):
    """A label is invalid; the text is the reason under which it is counted."""


@dataclass
class Labelled:
    """Valid labels in the order of the sample, and how many were dropped by reason."""

    labels: list[Label] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    cached: int = 0
    asked: int = 0
    tokens: Tokens = Tokens()
    uncounted: int = 0  # answers of a teacher that does not count

    def count(self, tokens: Tokens | None) -> None:
        """One more answer of the teacher."""
        self.asked += 1
        if tokens is None:
            self.uncounted += 1
        else:
            self.tokens += tokens

    def spent(self, price: str = "") -> str:
        """What the asking cost, in words.

        Args:
            price: per million tokens, PRICE or PROMPT,ANSWER; "": not known.
        """
        if self.asked == self.uncounted:
            return f"{self.asked} asked, tokens not counted by the teacher"
        text = f"{self.asked} asked, {self.tokens.prompt} prompt and {self.tokens.answer} answer tokens"
        if price:
            prompt, _, answer = price.partition(",")
            cost = self.tokens.prompt * float(prompt) + self.tokens.answer * float(answer or prompt)
            text += f", cost {cost / 1e6:.4f}"
        return text + (f" ({self.uncounted} answers not counted)" if self.uncounted else "")

    def add(self, label: Label, task: str) -> None:
        """Keep the label if it is valid for the task, otherwise count why not."""
        try:
            self.labels.append(checked(label, task))
        except Dropped as error:
            self.dropped[str(error)] += 1


class Cache:
    """Raw answers of one teacher as JSON lines, appended as they come; a line cut off by a kill is ignored.

    Threads may call it at once.
    """

    def __init__(self, folder: Path, teacher: str, task: str) -> None:
        name = hashlib.sha256(
            f"{teacher}|{task}|{TASKS[task].version}|{VERSION}".encode()
        ).hexdigest()[:16]
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"{task}-{name}.jsonl"
        self._known: dict[str, str] = {}
        self._writing = threading.Lock()
        if not self._path.exists():
            return
        kept = self._path.read_text(encoding="utf-8", errors="replace")
        for line in kept.splitlines():
            try:
                row = json.loads(line)
                self._known[row["key"]] = row["answer"]
            except (ValueError, KeyError, TypeError):
                continue
        if kept and not kept.endswith("\n"):  # or the next answer would be lost on the cut line
            with self._path.open("a", encoding="utf-8") as out:
                out.write("\n")

    def get(self, label: Label) -> str | None:
        """The raw answer, or None."""
        return self._known.get(_key(label))

    def put(self, label: Label, answer: str) -> None:
        """Remember an answer, on disk before it is used."""
        line = json.dumps({"key": _key(label), "answer": answer}, ensure_ascii=False) + "\n"
        with self._writing:
            self._known[_key(label)] = answer
            with self._path.open("a", encoding="utf-8") as out:
                out.write(line)


def _key(label: Label) -> str:
    return f"{label.review.id}:{label.review.version}"


def ask(
    sample: Sequence[Label], task: str, teacher: Teacher, cache: Cache, say: Callable[[str], None]
) -> Labelled:
    """Label every review of the sample, as many at once as the teacher takes.

    Args:
        sample: reviews without answers (their emotions filled in).
        task: what to ask for.
        teacher: who answers.
        cache: answers so far.
        say: called with one line of progress at a time, on this thread.

    Returns:
        Labels in the order of the sample, whoever answered first.

    Raises:
        TemporaryFailure: the teacher failed; nothing further is asked, and what it answered so
            far, also to questions that were under way, is cached: repeating goes on from there.
    """
    out = Labelled()
    missing = {_key(label): label for label in sample if cache.get(label) is None}

    def asked(label: Label) -> Tokens | None:
        answer = teacher.answer(task, label.review)
        cache.put(label, answer.text)  # at once: it is paid for, even if a neighbour fails
        return answer.tokens

    with ThreadPoolExecutor(teacher.parallel, thread_name_prefix="teacher") as pool:
        answers = {key: pool.submit(asked, label) for key, label in missing.items()}
        try:
            for number, label in enumerate(sample, 1):
                if (answer := answers.pop(_key(label), None)) is not None:
                    out.count(answer.result())
                else:
                    out.cached += 1
                raw = cache.get(label)
                assert raw is not None
                try:
                    out.add(parsed(label, task, raw), task)
                except Dropped as error:
                    out.dropped[str(error)] += 1
                if number % _LINE_EVERY == 0 or number == len(sample):
                    say(
                        f"{number}/{len(sample)} labelled, {out.cached} from the cache, {sum(out.dropped.values())} dropped"
                    )
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
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
