"""Writes the replies that people asked for: composed of written parts, or by a language model under the guard.

A reply is written for one version of a review and its analysis; where that is gone, the job has
nothing to do and ends well. It does not know queues, jobs, or where drafts are edited.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from shared.inference.prompts import Unparsable, parse_text
from shared.replies.compose import COMPOSER, Voice, compose
from shared.replies.guard import breaches
from shared.review import Analysis, Review
from shared.stream.replies import Replies, Request
from shared.stream.store import Store
from shared.telemetry import REPLIES_WRITTEN, log
from workers.guard import guarded_reply

Outcome = Exception | None
Pair = tuple[Review, Analysis]


class ReplyModel(Protocol):
    """A language model that answers reviews. `name` goes into each draft."""

    name: str

    def answer(self, pairs: Sequence[Pair]) -> list[str]:
        """One raw answer per review, same order.

        Raises:
            TemporaryFailure: the surroundings failed; nothing is written, repeating is safe.
            Exception: anything else costs each of these jobs a retry; then they run alone.
        """
        ...


def reply(review_ids: list[str]) -> None:
    """The job's name. It runs in batches only: the stock worker must not take it.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError("run it by `beyond work`")


class Replier:
    """Writes drafts.

    Args:
        store: where reviews and analyses are.
        replies: where requests come from and drafts go.
        model: None: all are composed.
    """

    def __init__(self, store: Store, replies: Replies, model: ReplyModel | None = None) -> None:
        self._store, self._replies, self._model = store, replies, model
        self._log = log("replies")

    def run(self, ids: Sequence[str]) -> list[Outcome]:
        """Write what is wanted of these reviews; per id None when settled, or what went wrong there.

        Raises:
            TemporaryFailure: the server or the model is away; nothing is settled.
        """
        wanted: dict[str, tuple[Request, Pair]] = {}
        for request, pair in zip(self._replies.requests(ids), self._store.pairs(ids), strict=True):
            if request and pair and pair[1] and pair[0].version == request.version:
                wanted[request.review_id] = request, (pair[0], pair[1])
        said = self._said([pair for _, pair in wanted.values()])
        failed: dict[str, Exception] = {}
        for review_id, (request, pair) in wanted.items():
            try:
                text, by = self._draft(request, pair, said.get(review_id))
            except Exception as error:  # this review's own fault, e.g. a language without parts
                failed[review_id] = error
                continue
            if self._replies.write(request, text, by):
                REPLIES_WRITTEN.labels("composed" if by == COMPOSER else "generated").inc()
                self._log.info("reply_drafted", review_id=review_id, written_by=by)
        REPLIES_WRITTEN.labels("failed").inc(len(failed))
        return [failed.get(i) for i in ids]

    def _said(self, pairs: Sequence[Pair]) -> dict[str, str]:
        """What the model answers, raw, by review id."""
        if self._model is None or not pairs:
            return {}
        answers = self._model.answer(pairs)
        return {pair[0].id: raw for pair, raw in zip(pairs, answers, strict=True)}

    def _draft(self, request: Request, pair: Pair, raw: str | None) -> tuple[str, str]:
        """The text, and who wrote it: what the model said, where a person could approve it as it is."""
        voice = Voice(request.tone, request.signature)  # type: ignore[arg-type]
        composed = compose(*pair, voice)
        if raw is None or self._model is None:
            return composed, COMPOSER
        try:
            told, why = guarded_reply(parse_text(raw), pair[0])
        except Unparsable as error:
            told, why = None, str(error)
        if told and not (found := breaches(told, pair[0].text)):
            signed = f"{told}\n\n{voice.signature}" if voice.signature else told
            return signed, self._model.name
        reason = why or "; ".join(breach.rule for breach in found)
        self._log.info("reply_composed", review_id=request.review_id, reason=reason)
        return composed, COMPOSER
