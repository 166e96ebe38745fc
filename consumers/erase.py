"""Erasing reviews: from the store, the record with its full text, what people wrote, and training files.

The store goes first, so that no projector or worker can bring them back. What was removed is
counted, what cannot be is named. It does not ask for confirmation and does not know commands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import redis
from redis.exceptions import RedisError
from sqlalchemy import Engine, select

from consumers.erase_record import erase_rows, scrub
from consumers.export_source import complete
from consumers.record.schema import reviews
from shared.inference.adapters import open_registry
from shared.privacy import author_hash
from shared.settings import Settings
from shared.stream.browse import Browse
from shared.stream.calls import call
from shared.stream.store import Store
from shared.stream.training import training_runs
from shared.stream.verdicts import forget_verdicts
from shared.training_files import TakenOut, reviews_by, take_out


@dataclass
class Erased:
    """What is gone (what -> how many), and sentences on what remains and what to do about it."""

    removed: dict[str, int] = field(default_factory=dict)
    remains: list[str] = field(default_factory=list)


def ids_by(authors: Sequence[str], settings: Settings, store: Store, engine: Engine) -> set[str]:
    """Ids of all reviews by these authors, given as names (as the platform has them) or as stored hashes.

    Raises:
        TemporaryFailure: the server cannot be used.
    """
    wanted = {*authors, *(author_hash(name, settings.author_key) for name in authors)}
    with engine.connect() as connection:
        found = set(connection.scalars(select(reviews.c.id).where(reviews.c.author.in_(wanted))))
        whole = complete(connection, store)
    if not whole:  # the record lags behind: ask the store itself, review by review
        found |= {r.id for r, _ in Browse(store.connection).oldest_first() if r.author in wanted}
    return found | reviews_by(settings.home, wanted)


def erase(ids: Sequence[str], settings: Settings, store: Store, engine: Engine) -> Erased:
    """Erase reviews by id, wherever this installation keeps them; may be repeated.

    Raises:
        TemporaryFailure: server or database cannot be used; repeating goes on from there.
    """
    wanted = set(ids)
    out = Erased()
    out.removed["reviews in the store"] = store.delete(sorted(wanted))
    out.removed["events"] = _events(store.connection, wanted)
    out.removed["verdicts"] = forget_verdicts(store.connection, wanted)
    out.removed |= erase_rows(engine, sorted(wanted))
    out.removed["files of quotes as vectors, which `beyond topics` makes again"] = _vectors(
        settings
    )
    taken = take_out(settings.home, wanted)
    out.removed |= {f"lines of {name}": count for name, count in taken.lines.items()}
    out.removed = {what: count for what, count in out.removed.items() if count}
    out.remains = [
        *scrub(engine),
        *_server(store.connection),
        *_training(store.connection),
        *_learned(settings, taken),
        *_files(settings, taken),
    ]
    return out


def _vectors(settings: Settings) -> int:
    """The cache of consumers/topics: no line of it says which review it is of, so all go."""
    found = list((settings.home / "topics").glob("vectors.db*"))
    for path in found:
        path.unlink(missing_ok=True)
    return len(found)


def _events(connection: redis.Redis, ids: set[str]) -> int:
    keys = [f"b:event:{i}" for i in sorted(ids)]
    return int(call(lambda: connection.delete(*keys))) if keys else 0


def _server(connection: redis.Redis) -> list[str]:
    """Its append-only file holds what was deleted until it is written anew."""
    try:
        connection.bgrewriteaof()
        return []
    except RedisError as error:
        if "already in progress" in str(error) or "scheduled" in str(error):
            return []
        return [
            "the server's append-only file: it refused BGREWRITEAOF; run that yourself, and mind its backups"
        ]


def _training(connection: redis.Redis) -> list[str]:
    if not training_runs(connection):
        return []
    return ["a training that runs now, which may write what it has read: repeat this when it ended"]


def _learned(settings: Settings, taken: TakenOut) -> list[str]:
    """Adapters that were trained with one of the reviews."""
    if not taken.runs:
        return []
    of = {(m.model_extra or {}).get("run"): m.id for m in open_registry(settings).all()}
    out = []
    for run in sorted(taken.runs):
        adapter = f"adapter {of[run]}" if run in of else "its adapter, not published,"
        out.append(
            f"{adapter} of run {run} was trained with it: train anew (`beyond train --new`), "
            f"then remove it (`beyond adapters`) and the folder {settings.home / 'runs' / run}"
        )
    return out


def _files(settings: Settings, taken: TakenOut) -> list[str]:
    copies = [str(path) for path in sorted(settings.home.glob("record.db.v*"))]
    rejects = settings.home / "rejects.jsonl"
    out = [f"{path}, a copy of the record before an upgrade: remove it" for path in copies]
    out += [
        f"{path}, a file that a training run names: look into it" for path in sorted(taken.named)
    ]
    if rejects.exists():
        out.append(f"{rejects}: refused rows have no id; look for the text")
    return [
        *out,
        "files that were imported or exported, backups, and messages that were sent; a platform or "
        "file that still has the review brings it back at the next import",
    ]
