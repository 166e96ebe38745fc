"""Writes replies when a test says so: the real writer and the real courier, without processes."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine

from consumers.record.answers_people import Reply
from consumers.record.database import writing
from consumers.record.project import apply
from consumers.record.scope import Scope, owner_scope
from consumers.replies import drafts
from consumers.replies.courier import Courier
from shared.stream.replies import Replies
from shared.stream.store import Store
from workers.replies import Replier

OWNER = owner_scope()


@dataclass
class Desk:
    """A record over a store, and workers that write replies at once."""

    engine: Engine
    store: Store
    replies: Replies

    def has(self, *pairs) -> None:  # type: ignore[no-untyped-def]
        """These reviews are stored, analysed where they have an analysis, and recorded."""
        for review, analysis in pairs:
            self.store.put([review])
            self.store.save([(review, analysis)] if analysis else [])
        with writing(self.engine) as connection:
            apply(connection, pairs)

    def written(self) -> int:
        """All that is wanted is written and brought into the record; how many drafts came."""
        Replier(self.store, self.replies).run([r.id for r, _ in self.store.all()])
        return Courier(self.engine, self.replies).bring()

    def draft(self, review_id: str, scope: Scope = OWNER) -> Reply:
        with self.engine.connect() as connection:
            found = drafts.ask(connection, scope, self.replies, review_id)
        if found is not None:
            return found
        self.written()
        with self.engine.connect() as connection:
            return drafts.kept(connection, scope, review_id)
