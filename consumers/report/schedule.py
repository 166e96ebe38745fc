"""Reports on a schedule: at each moment of a cron expression one message for each target, sent by consumers/out.

A message's id names schedule and moment, and the record keeps one message an id: however many
schedulers run, a report goes out once; killed in between, it goes out later. A moment that passed
while none ran is left out. The report's last day is the one before the moment: whole days only. It
does not know how messages are delivered.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from consumers.out.message import Attachment, Message
from consumers.out.outbox import enqueue
from consumers.record.database import writing
from consumers.record.filters import Filters
from consumers.record.scope import owner_scope
from consumers.report.gather import Report, gather
from consumers.report.html import html
from consumers.report.markdown import markdown
from consumers.report.pdf import pdf
from consumers.report.words import business, days
from shared.errors import Misconfigured, TemporaryFailure
from shared.telemetry import log

_EVERY_SECONDS = 5.0


class Schedule:
    """When reports are due, and the messages they become.

    Args:
        cron: five fields, UTC.
        filters: business and sources; no dates.
        length_days: the period of each report.
        targets: names of the targets.
        begun: moments before it are left out.
    """

    def __init__(
        self,
        cron: str,
        filters: Filters,
        length_days: int,
        targets: Sequence[str],
        begun: datetime,
    ) -> None:
        from croniter import croniter

        if not croniter.is_valid(cron):
            raise Misconfigured(
                f"--schedule {cron!r} is no cron expression; five fields, UTC, "
                "e.g. '0 7 * * 1' for Mondays at 7:00"
            )
        self._cron, self._filters, self._days = cron, filters, length_days
        self._targets, self._last = targets, begun.timestamp()

    def due(self, now: datetime) -> datetime | None:
        """The latest moment that was not posted yet, or None."""
        from croniter import croniter

        latest = float(croniter(self._cron, now + timedelta(microseconds=1)).get_prev(float))
        return datetime.fromtimestamp(latest, UTC) if latest > self._last else None

    def post(self, engine: Engine, moment: datetime) -> int:
        """Let the report of a moment wait for its targets; how many of the messages are new."""
        last = moment.date() - timedelta(1)
        filters = self._filters.but(until=last, since=last - timedelta(self._days - 1))
        with engine.connect() as connection:
            found = gather(connection, owner_scope(), filters, last)
        with writing(engine) as connection:
            new = enqueue(connection, self._targets, self._message(found, moment))
        self._last = moment.timestamp()
        return new

    def _message(self, found: Report, moment: datetime) -> Message:
        told = found.summary
        period = days(told.since, told.until)
        seen = f"{self._cron}\x1f{self._filters.query}\x1f{self._days}"
        digest = hashlib.blake2b(seen.encode(), digest_size=6).hexdigest()
        name = f"report-{told.since}-to-{told.until}"
        return Message(
            id=f"report-{digest}-{int(moment.timestamp())}",
            kind="report.ready",
            subject=f"Customer report: {business(found)[:100]}, {period}",
            text=markdown(found),
            data={
                "business": told.business,
                "since": str(told.since),
                "until": str(told.until),
                "reviews": told.reviews,
                "mean_rating": told.mean_rating,
                "complaints": {t.theme: t.issues for t in told.themes if t.issues},
                "html": html(found),
                "quoted": _quoted(found),
            },
            attachments=(
                _file(f"{name}.pdf", "application/pdf", pdf(found)),
                _file(f"{name}.html", "text/html", html(found).encode()),
            ),
            at=moment,
        )


def _quoted(found: Report) -> list[str]:
    """Reviews whose words may stand in it: by them `beyond erase` finds a letter that still waits."""
    ids = {one.review_id for one in found.loved} | {
        one.review_id or "" for one in found.summary.first
    }
    return sorted((ids | {issue.review_id for pain in found.pains for issue in pain.quotes}) - {""})


def _file(name: str, kind: str, content: bytes) -> Attachment:
    return Attachment(name=name, kind=kind, content=base64.b64encode(content))


def keep_posting(
    schedule: Schedule,
    engine: Engine,
    deliver: Callable[[], object],
    wait: Callable[[float], bool],
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> None:
    """Post what is due and deliver what waits, every few seconds, until `wait` says to stop.

    Args:
        schedule: what is due when.
        engine: the record.
        deliver: tries the messages that wait.
        wait: waits so many seconds; True: stop.
        clock: the moment.
    """
    while True:
        try:
            if moment := schedule.due(clock()):
                new = schedule.post(engine, moment)
                log("report").info("report_posted", moment=moment.isoformat(), messages=new)
            deliver()
        except (TemporaryFailure, OperationalError) as error:  # the database is away: later
            log("report").warning("report_waits", reason=str(error).splitlines()[0])
        if wait(_EVERY_SECONDS):
            return
