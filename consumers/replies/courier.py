"""Brings drafts that workers wrote from the server into the record, where people read and edit them.

A draft leaves the server only after the record has it, so a courier may be killed anywhere, and
several at once do no harm. It does not know who asked or how drafts are worded.
"""

from __future__ import annotations

import time

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, OperationalError

from consumers.record.database import writing
from consumers.replies.drafts import put_draft
from shared.stream.replies import Replies
from shared.telemetry import log


class Courier:
    """Serves one record."""

    def __init__(self, engine: Engine, replies: Replies) -> None:
        self._engine, self._replies = engine, replies
        self._log = log("replies")

    def bring(self) -> int:
        """Bring what is there; how many drafts the record has more, or anew.

        Raises:
            TemporaryFailure: the server cannot be used.
            OperationalError: the database cannot be used.
        """
        if not self._replies.written():
            return 0
        put = 0
        # Alone: the projector asks for replies in the transaction that records their reviews.
        with writing(self._engine, alone=True) as connection:
            found = self._replies.drafts()
            for draft in found:
                try:
                    with connection.begin_nested():
                        put += put_draft(connection, draft, int(time.time()))
                except OperationalError:
                    raise
                except DBAPIError as error:  # a text that the database does not take
                    reason = type(error).__name__
                    self._log.error("reply_not_kept", review_id=draft.review_id, reason=reason)
        self._replies.taken(found)
        return put
