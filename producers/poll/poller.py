"""Turns of sources: claim, fetch what was named, walk, settle; and when to come back after a failure.

One thread per source, so that a slow one delays nobody. Any number of machines may run this: a source
has one poller at a time (shared/stream/polling.py). It does not know pages or HTTP.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from producers.fetch import Refused
from producers.poll.description import Description
from producers.poll.walk import Counts, State, Walk
from shared.backoff import rest_seconds
from shared.errors import BeyondError, InvalidReview, Overloaded, TemporaryFailure
from shared.stream.polling import LostTurn, Turn, Turns, Wanted
from shared.telemetry import POLLS, log

# Longer than a request (30 s) and the storing of its page (5 s): each page renews it.
LEASE_SECONDS = 90
# First wait after a failure; doubled by each further one, up to the schedule's own interval or an hour.
_BACKOFF_SECONDS = 15
_LONGEST_BACKOFF_SECONDS = 3600
# How often a waiting source is looked at for names that came by webhook.
_LOOK_SECONDS = 2
_FAULT_SECONDS = 60  # and how long a fault of our own, or another machine's turn, is left alone
_WANTED_AT_ONCE = 20


@dataclass
class Source:
    """A source that can be polled."""

    name: str
    about: Description
    walk: Walk


@dataclass
class Report:
    """How a turn ended: counts, or why it failed (`error`), and when the source is due again.

    `hold_seconds`: not even an impatient person may ask before.
    """

    counts: Counts
    fetched: int
    error: BeyondError | None
    due_seconds: float = 0.0
    hold_seconds: float = 0.0


class Poller:
    """Runs sources.

    Args:
        turns, wanted: who polls, and what was named.
        warn: (kind, sentence or None), for `beyond status`.
        clock: aware UTC.
        jitter: a number in [0, 1).
    """

    def __init__(
        self,
        turns: Turns,
        wanted: Wanted,
        warn: Callable[[str, str | None], None],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._turns, self._wanted, self._warn = turns, wanted, warn
        self._clock, self._jitter = clock, jitter

    def turn(
        self, source: Source, *, now: bool = False, named_only: bool = False
    ) -> Report | float:
        """One turn, or how many seconds until there can be one.

        Args:
            source: what to poll.
            now: do not wait for the schedule; "come back later" of the source still counts.
            named_only: fetch what notifications named, and leave the schedule as it is.

        Raises:
            TemporaryFailure: our own server is away, or another poller took over.
        """
        claim = self._turns.claim(source.name, LEASE_SECONDS, now=now or named_only)
        if not isinstance(claim, Turn):
            return claim
        state = State.model_validate_json(claim.state) if claim.state else State()
        report = Report(Counts(), 0, None)

        def save(state: State) -> None:
            self._turns.save(claim, state.model_dump_json(), LEASE_SECONDS)

        try:
            report.fetched = self._fetch(source)
        except BeyondError as failure:
            report.error = failure
        # One review that cannot be had must not keep all others away; "come back later" is for all.
        if not named_only and not isinstance(report.error, Overloaded):
            try:
                report.counts = source.walk.run(state, save)
            except LostTurn:
                raise
            except BeyondError as failure:
                report.error = failure
        return self._settle(source, claim, state, report, named_only=named_only)

    def run(self, sources: list[Source], stop: threading.Event) -> None:
        """Poll all sources on their schedules until `stop`."""
        with ThreadPoolExecutor(len(sources), "poll") as pool:
            for done in [pool.submit(self._follow, source, stop) for source in sources]:
                done.result()

    def _follow(self, source: Source, stop: threading.Event) -> None:
        speak = log("poll")
        while not stop.is_set():
            wait = 0.0
            try:
                turn = self.turn(source)
                if not isinstance(turn, Report):
                    wait = min(turn, _LOOK_SECONDS if source.about.one_url else _FAULT_SECONDS)
                    if source.about.one_url and self._wanted.oldest(source.name, 1):
                        self.turn(source, named_only=True)
            except TemporaryFailure as error:  # ours: a restarting server, or a lost turn
                speak.warning("turn_lost", source=source.name, reason=str(error))
                wait = _LOOK_SECONDS
            except Exception as error:  # one source's fault must not end the others
                speak.error("unexpected", source=source.name, exc_info=error)
                wait = _FAULT_SECONDS
            stop.wait(wait)

    def _fetch(self, source: Source) -> int:
        """Fetch reviews that were only named; how many were.

        Raises:
            Overloaded, TemporaryFailure, Misconfigured, Malformed: the others wait on.
        """
        count = 0
        if not source.about.one_url:
            return count
        for name, time in self._wanted.oldest(source.name, _WANTED_AT_ONCE):
            try:
                source.walk.one(name)
            except InvalidReview as error:  # it will never become one
                log("poll").warning("not_a_review", source=source.name, reason=str(error))
            except Refused as error:
                if error.status == 401:  # nothing can be had, not only this
                    raise
                log("poll").warning("not_given", source=source.name, reason=str(error))
            self._wanted.fetched(source.name, name, time)
            count += 1
        return count

    def _settle(
        self, source: Source, turn: Turn, state: State, report: Report, *, named_only: bool
    ) -> Report:
        finished = report.counts.finished
        if finished:
            state.succeeded_at = self._clock()
        if report.error is None:
            state.failures, state.error = 0, None
            report.due_seconds = self._interval(source.about) if finished else 0.0
        else:
            state.failures, state.error = state.failures + 1, str(report.error)
            report.due_seconds = self._backoff(source.about, state.failures)
            if isinstance(report.error, Overloaded):
                report.hold_seconds = float(report.error.retry_after_seconds)
            if named_only:
                report.hold_seconds = max(report.hold_seconds, report.due_seconds)
            report.due_seconds = max(report.due_seconds, report.hold_seconds)
        due = None if named_only else report.due_seconds
        self._turns.end(turn, state.model_dump_json(), due, report.hold_seconds)
        self._tell(source, state, report)
        return report

    def _interval(self, about: Description) -> float:
        """The schedule, a little early or late: sources described alike must not ask together."""
        return about.every_seconds * (0.95 + 0.05 * self._jitter())

    def _backoff(self, about: Description, failures: int) -> float:
        most = min(_LONGEST_BACKOFF_SECONDS, about.every_seconds)
        return rest_seconds(failures, _BACKOFF_SECONDS, most, 0.5 + 0.5 * self._jitter())

    def _tell(self, source: Source, state: State, report: Report) -> None:
        """Log the turn, and warn while the source fails or has forgotten what we never saw."""
        error, counts = report.error, report.counts
        POLLS.labels(
            source.name, "failed" if error else "unchanged" if counts.unchanged else "read"
        ).inc()
        about: dict[str, Any] = {"source": source.name, "due_seconds": round(report.due_seconds)}
        if error:
            log("poll").warning("poll_failed", failures=state.failures, reason=str(error), **about)
        else:
            log("poll").info(
                "polled", pages=counts.pages, fetched=report.fetched, rejected=counts.rejected,
                **counts.outcomes, **about,
            )  # fmt: skip
        self._warn(f"poll {source.name}", _warning(source, state, self._clock()))


def _warning(source: Source, state: State, now: datetime) -> str | None:
    forgets = source.about.forgets_seconds
    if state.error and forgets and state.succeeded_at:
        silent = (now - state.succeeded_at).total_seconds()
        if silent > forgets / 2:
            return (
                f"not read for {silent / 86400:.1f} days; it gives only the last "
                f"{forgets / 86400:.0f}, what is older is lost: {state.error}"
            )
    return f"cannot be polled, {state.failures} times: {state.error}" if state.error else None
