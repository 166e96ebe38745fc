"""Messages wait in the record until they arrived: tried again ever later, and dead letters in the end.

A kill loses nothing; a message may arrive twice, with the same id. Tries follow each other after 5
seconds, then four times as long each, at most 12 hours, less up to half at random (so that many do
not come together again); a receiver's Retry-After counts where it is longer. It does not know what
messages say or how they are sent.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine, delete, insert, select, update

from consumers.out.message import Message
from consumers.out.send import TIMEOUT_SECONDS, Undelivered, send
from consumers.out.targets import Target
from consumers.record.database import writing
from consumers.record.schema import outbox
from shared.backoff import rest_seconds
from shared.telemetry import log

FIRST_WAIT_SECONDS, FACTOR, LONGEST_WAIT_SECONDS = 5, 4, 12 * 3600
MAX_TRIES = 10  # over two days
# While one process sends, no other takes the same message: a mail has some ten answers, all slow.
_CLAIM_SECONDS = 10 * TIMEOUT_SECONDS
_KEEP_SENT_SECONDS = 30 * 86400
_BATCH = 100  # of one call


@dataclass(frozen=True)
class Letter:
    """A message that waits or is dead; times in seconds since 1970."""

    message: Message
    target: str
    state: str
    tries: int
    next_at: int
    reason: str


def enqueue(connection: Connection, targets: Sequence[str], message: Message) -> int:
    """Let a message wait for each target, once for its id; how many are new."""
    known = select(outbox.c.target).where(outbox.c.message_id == message.id)
    there = set(connection.scalars(known))
    now = int(message.at.timestamp())
    new = [target for target in dict.fromkeys(targets) if target not in there]
    common = {
        "message_id": message.id,
        "message": message.model_dump_json(),
        "state": "waiting",
        "tries": 0,
        "next_at": now,
        "reason": "",
        "created_at": now,
    }
    if new:
        connection.execute(insert(outbox), [{**common, "target": target} for target in new])
    return len(new)


def deliver(
    engine: Engine,
    targets: Mapping[str, Target],
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    draw: Callable[[], float] = random.random,
) -> tuple[int, int]:
    """Try each message that is due, once.

    Args:
        engine: the record.
        targets: by name; a message whose target is gone from the file becomes a dead letter.
        clock: the moment.
        draw: in [0, 1), for the jitter.

    Returns:
        How many were sent, how many tries failed.
    """
    sent = failed = 0
    for _ in range(_BATCH):
        if (letter := _claim(engine, int(clock().timestamp()))) is None:
            break
        try:
            if letter.target not in targets:
                raise Undelivered(f"no target {letter.target!r} in the alerts file", final=True)
            send(targets[letter.target], letter.message, clock())
        except Undelivered as error:
            failed += 1
            _failed(engine, letter, error, int(clock().timestamp()), draw())
        else:
            sent += 1
            # Kept, so that it is not sent twice; pages and files that were sent are not.
            said = letter.message.model_copy(update={"html": None, "attachments": ()})
            _set(engine, letter, state="sent", reason="", message=said.model_dump_json())
    with writing(engine) as connection:
        old = int(clock().timestamp()) - _KEEP_SENT_SECONDS
        connection.execute(
            delete(outbox).where(outbox.c.state == "sent", outbox.c.created_at < old)
        )
    return sent, failed


def letters(connection: Connection, state: str) -> list[Letter]:
    """Messages in a state, oldest first."""
    query = select(outbox).where(outbox.c.state == state).order_by(outbox.c.created_at)
    return [_letter(row) for row in connection.execute(query)]


def retry(connection: Connection, ids: Sequence[str], now: int) -> int:
    """Let dead letters wait again, with all their tries (ids of messages; none: all); how many."""
    chosen = [outbox.c.state == "dead"] + ([outbox.c.message_id.in_(ids)] if ids else [])
    values = {"state": "waiting", "tries": 0, "next_at": now}
    return int(connection.execute(update(outbox).where(*chosen).values(values)).rowcount)


def wait_seconds(tries: int, asked: float, jitter: float) -> int:
    """From a failed try (the first is 1) to the next one; `jitter` in [0, 1)."""
    rest = rest_seconds(tries, FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, 1 - jitter / 2, FACTOR)
    return int(max(rest, min(asked, LONGEST_WAIT_SECONDS)) + 0.5)


def _claim(engine: Engine, now: int) -> Letter | None:
    """What is longest due, set aside so that nobody else sends it; after a kill it is due again."""
    due = select(outbox).where(outbox.c.state == "waiting", outbox.c.next_at <= now)
    due = due.order_by(outbox.c.next_at).limit(1).with_for_update(skip_locked=True)
    with writing(engine) as connection:
        row = connection.execute(due).one_or_none()
        if row is None:
            return None
        letter = _letter(row)
        later = {"next_at": now + _CLAIM_SECONDS}
        connection.execute(update(outbox).where(*_is(letter)).values(later))
    return letter


def _failed(engine: Engine, letter: Letter, error: Undelivered, now: int, jitter: float) -> None:
    tries = letter.tries + 1
    dead = error.final or tries >= MAX_TRIES
    wait = wait_seconds(tries, error.after_seconds, jitter)
    state = "dead" if dead else "waiting"
    _set(engine, letter, state=state, tries=tries, next_at=now + wait, reason=str(error))
    log("outbox").warning(
        "message_dead" if dead else "message_delayed",
        message_id=letter.message.id,
        target=letter.target,
        tries=tries,
        reason=str(error),
    )


def _set(engine: Engine, letter: Letter, **values: object) -> None:
    with writing(engine) as connection:
        connection.execute(update(outbox).where(*_is(letter)).values(values))


def _is(letter: Letter):  # type: ignore[no-untyped-def]
    return outbox.c.message_id == letter.message.id, outbox.c.target == letter.target


def _letter(row) -> Letter:  # type: ignore[no-untyped-def]
    message = Message.model_validate_json(row.message)
    return Letter(message, row.target, row.state, row.tries, row.next_at, row.reason)
