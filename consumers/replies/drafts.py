"""Replies in the record: asked for -> draft -> edited -> approved -> copied, and how each business speaks.

Whoever changes one is named in the review's history. Nothing is ever posted: a person copies an
approved reply to where it belongs. Every function takes the reader's Scope and an open transaction
(`writing`); all times are seconds since 1970. It does not know HTTP or how drafts are worded.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Literal

from sqlalchemy import Connection, delete, insert, select, update

from consumers.record.answers_people import Reply
from consumers.record.queries import reply as reply_of
from consumers.record.schema import history, replies, reviews, voices
from consumers.record.scope import Scope
from consumers.record.stored import one
from shared.errors import Conflict, InvalidRequest, NotFound
from shared.replies.compose import TONES, NoReply, Voice, why_no_reply
from shared.replies.guard import Breach, breaches
from shared.review import Analysis, Review
from shared.stream.replies import Draft, Replies, Request

MAX_REPLY_CHARS = 4000
# Older reviews come by an import; nobody waits for an answer to them.
FRESH_SECONDS = 30 * 86400
State = Literal["draft", "edited", "approved", "copied"]


def ask(
    connection: Connection, scope: Scope, replies_asked: Replies, review_id: str
) -> Reply | None:
    """Have a worker draft a reply; a draft that nobody touched is written anew.

    Returns:
        The reply as it is, where a person had it in hand already; None: it is being written.

    Raises:
        NotFound: no such review in the scope.
        NoReply: it waits for its analysis, or is in a language that no reply is written in.
        TemporaryFailure: the server cannot be used.
    """
    scope.require("write")
    review, analysis = _review(connection, scope, review_id)
    found = reply_of(connection, scope, review_id)
    if found is not None and found.state != "draft":
        return found
    if why := why_no_reply(review):
        raise NoReply(why)
    request = _request(connection, review, scope.name)
    if analysis is None or not replies_asked.ask(request):
        raise NoReply(f"review {review_id} waits for its analysis; a reply is drafted after it")
    return None


def ask_urgent(
    replies_asked: Replies,
    connection: Connection,
    pairs: Iterable[tuple[Review, Analysis | None]],
    now: int | None = None,
) -> int:
    """Ask for replies to those of the pairs that are urgent, fresh, and have none: what the projector calls.

    A draft that nobody touched is written anew as well: the review or its analysis changed.

    Returns:
        How many were asked for; reviews that cannot have one are passed over.
    """
    now = int(time.time()) if now is None else now
    analysed = {review.id: (review, found) for review, found in pairs if found}
    known = select(replies.c.review_id, replies.c.state).where(replies.c.review_id.in_(analysed))
    states = {row.review_id: row.state for row in connection.execute(known)}
    asked = 0
    for review_id, (review, analysis) in analysed.items():
        urgent = analysis.insight is not None and analysis.insight.urgency == "high"
        fresh = review.created_at.timestamp() > now - FRESH_SECONDS
        state = states.get(review_id, "none" if urgent and fresh else "")
        if state in ("none", "draft") and not why_no_reply(review):
            asked += replies_asked.ask(_request(connection, review, "urgent"))
    return asked


def _request(connection: Connection, review: Review, by: str) -> Request:
    voice = voice_of(connection, review.business or "")
    return Request(review.id, review.version, voice.tone, voice.signature, by)


def put_draft(connection: Connection, found: Draft, now: int) -> bool:
    """Keep what a worker wrote; False where a person was faster, or that version is not in the record."""
    version = select(reviews.c.version).where(reviews.c.id == found.review_id)
    if connection.scalar(version) != found.version:
        return False
    known = select(replies.c.state, replies.c.draft).where(replies.c.review_id == found.review_id)
    there = connection.execute(known).one_or_none()
    if there is not None and (there.state != "draft" or there.draft == found.text):
        return False
    _put(connection, found.review_id, found.text, found.by, now, found.written_by)
    return True


def edit(connection: Connection, scope: Scope, review_id: str, text: str, now: int) -> Reply:
    """Replace the text; an approved reply must be approved again. The guard does not hold up writing.

    Raises:
        NotFound: no such review in the scope.
        InvalidRequest: the text is empty or too long.
        Forbidden: the scope may not write.
    """
    scope.require("write")
    text = text.strip()
    if not 0 < len(text) <= MAX_REPLY_CHARS:
        raise InvalidRequest(
            f"text: a reply has 1 to {MAX_REPLY_CHARS} characters, this one {len(text)}"
        )
    _review(connection, scope, review_id)
    if reply_of(connection, scope, review_id) is None:
        _put(connection, review_id, text, scope.name, now, written_by=scope.name)
    _set(connection, review_id, scope.name, now, "edited", text)
    return kept(connection, scope, review_id)


def approve(connection: Connection, scope: Scope, review_id: str, now: int) -> Reply:
    """Say that the text may be published.

    Raises:
        NotFound: there is no reply to approve.
        InvalidRequest: the guard holds it; the text names each rule and the words.
        Forbidden: the scope may not write.
    """
    scope.require("write")
    there = kept(connection, scope, review_id)
    if found := held_by(connection, scope, review_id):
        raise InvalidRequest("text: change it before it is approved: " + "; ".join(map(str, found)))
    if there.state not in ("approved", "copied"):
        _set(connection, review_id, scope.name, now, "approved", there.text)
    return kept(connection, scope, review_id)


def held_by(connection: Connection, scope: Scope, review_id: str) -> list[Breach]:
    """Every rule that keeps the reply from being approved; empty: none.

    Raises:
        NotFound: there is no reply in the scope.
    """
    review, _ = _review(connection, scope, review_id)
    signature = voice_of(connection, review.business or "").signature
    return breaches(kept(connection, scope, review_id).text, review.text, signature)


def mark_copied(connection: Connection, scope: Scope, review_id: str, now: int) -> Reply:
    """Note that a person took the approved text to publish it.

    Raises:
        Conflict: it is not approved.
        NotFound: there is no reply.
    """
    scope.require("write")
    there = kept(connection, scope, review_id)
    if there.state not in ("approved", "copied"):
        raise Conflict("approve the reply before you take it")
    if there.state == "approved":
        _set(connection, review_id, scope.name, now, "copied", there.text)
    return kept(connection, scope, review_id)


def voice_of(connection: Connection, business: str) -> Voice:
    """How a business speaks ("": reviews that name none).

    Warm and unsigned until it says otherwise.
    """
    row = connection.execute(select(voices).where(voices.c.business == business)).one_or_none()
    return Voice() if row is None else Voice(row.tone, row.signature)


def set_voice(connection: Connection, scope: Scope, business: str, voice: Voice) -> None:
    """Keep how a business speaks; drafts are composed with it from now on.

    Raises:
        InvalidRequest: no such tone, or the signature is too long.
        Forbidden: another business, or the scope may not write.
    """
    scope.require("write")
    scope.narrow(business)
    if voice.tone not in TONES:
        raise InvalidRequest(f"tone: one of {', '.join(TONES)}, not {voice.tone!r}")
    if len(voice.signature) > 500:
        raise InvalidRequest("signature: at most 500 characters")
    connection.execute(delete(voices).where(voices.c.business == business))
    values = {"business": business, "tone": voice.tone, "signature": voice.signature.strip()}
    connection.execute(insert(voices).values(values))


def _review(connection: Connection, scope: Scope, review_id: str) -> tuple[Review, Analysis | None]:
    found = one(connection, scope, review_id)
    if found is None:
        raise NotFound(f"no review with the id {review_id}")
    return found


def kept(connection: Connection, scope: Scope, review_id: str) -> Reply:
    """The reply to a review.

    Raises:
        NotFound: there is none in the scope.
    """
    found = reply_of(connection, scope, review_id)
    if found is None:
        raise NotFound(f"no reply to review {review_id}; draft one first")
    return found


def _put(
    connection: Connection,
    review_id: str,
    text: str,
    by: str,
    now: int,
    written_by: str,
) -> None:
    connection.execute(delete(replies).where(replies.c.review_id == review_id))
    row = {"review_id": review_id, "draft": text, "text": text, "state": "draft"}
    stamp = {"written_by": written_by, "updated_at": now, "updated_by": by}
    connection.execute(insert(replies).values(row | stamp))


def _set(
    connection: Connection, review_id: str, by: str, now: int, state: State, text: str
) -> None:
    values = {"text": text, "state": state, "updated_at": now, "updated_by": by}
    connection.execute(update(replies).where(replies.c.review_id == review_id).values(values))
    change = {"review_id": review_id, "what": "reply", "value": state, "at": now, "by": by}
    connection.execute(insert(history).values(change))
