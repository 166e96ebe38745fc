"""Structured events and Prometheus metrics; each metric says what it means and what to do about it.

`python -m shared.telemetry > docs/METRICS.md` writes the table for people on call. It never sees
review text or secrets: callers pass ids, counts and reasons.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog
from prometheus_client import Counter, Gauge, Histogram, start_http_server

# name -> (kind, labels, what it counts, how it looks when something is wrong and what to do then)
CATALOGUE: dict[str, tuple[str, tuple[str, ...], str, str]] = {}


def _described(
    kind: str, name: str, meaning: str, remedy: str, labels: tuple[str, ...]
) -> tuple[str, str, tuple[str, ...]]:
    CATALOGUE[name] = (kind, labels, meaning, remedy)
    return name, meaning, labels


def counter(name: str, meaning: str, remedy: str, *labels: str) -> Counter:
    """A counter of events, with what to do when it grows too fast or not at all."""
    return Counter(*_described("counter", name, meaning, remedy, labels))


def gauge(name: str, meaning: str, remedy: str, *labels: str) -> Gauge:
    """A level that goes up and down, with what to do when it is too high or too low."""
    return Gauge(*_described("gauge", name, meaning, remedy, labels))


def histogram(
    name: str, meaning: str, remedy: str, *labels: str, buckets: tuple[float, ...]
) -> Histogram:
    """A distribution; `buckets` are upper bounds in the unit that the name ends with."""
    described = _described("histogram", name, meaning, remedy, labels)
    return Histogram(*described, buckets=buckets)


REVIEWS_IN = counter(
    "beyond_reviews_in_total",
    "Live reviews accepted by intake, by source and by what became of them: new, updated, same "
    "(sent before).",
    "Flat for a source that should be busy: its webhook is switched off or answers errors; look at "
    "beyond_webhook_seconds by status. Mostly `same`: the platform repeats itself because our "
    "answers come too late.",
    "source",
    "outcome",
)
REVIEWS_DONE = counter(
    "beyond_reviews_analysed_total",
    "Reviews that this worker finished: analysed, or failed (tried again alone, then a dead letter).",
    "`failed` grows: `beyond failed list` tells the reasons. Neither grows while jobs wait: the "
    "worker hangs or the server is away; `beyond status` tells which.",
    "outcome",
)
REPLIES_WRITTEN = counter(
    "beyond_replies_total",
    "Drafts of replies that this worker wrote, by who wrote them (composed, generated), or that failed.",
    "`failed` grows: `beyond failed list` tells the reasons. Neither grows while people wait for "
    "drafts: jobs wait behind reviews in `live`; `beyond work --workers N`.",
    "outcome",
)
BATCH_REVIEWS = histogram(
    "beyond_batch_reviews",
    "Reviews in one batch of a worker.",
    "Always 1 while jobs wait: every batch pays the model's fixed cost for one review; raise "
    "BEYOND_BATCH_REVIEWS. Small while nothing waits is as it should be.",
    # Powers of two up to the gpu preset's batch.
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
)
STAGE_SECONDS = histogram(
    "beyond_stage_seconds",
    "Seconds that one batch spent in a stage of the pipeline.",
    "One stage grows alone: `insights` means long reviews or a slow model, `save` a slow or full "
    "server. Near BEYOND_HANG_SECONDS: the watchdog will end the worker; make batches smaller.",
    "stage",
    # From an idle server's save (10 ms) to the default BEYOND_HANG_SECONDS (300).
    buckets=(0.01, 0.05, 0.2, 1, 5, 20, 60, 300),
)
ADAPTER_SWAPS = counter(
    "beyond_adapter_swaps_total",
    "Changes of the adapter while serving: switched; postponed or refused (the old one goes on writing).",
    "`refused` grows: the promoted adapter is damaged or made for another base; `beyond status` "
    "shows the reason, `beyond adapters rollback` goes back. `postponed` grows: the registry is "
    "away or memory is short; it is tried again.",
    "outcome",
)
QUEUE_DEPTH = gauge(
    "beyond_queue_jobs",
    "Jobs that wait, by queue; one review each in `live`, up to BEYOND_CHUNK_REVIEWS in `backfill`.",
    "`live` rises for minutes: too few workers, or none; `beyond status`, then `beyond work "
    "--workers N`. Near BEYOND_MAX_QUEUED reviews the webhook answers 503 and senders wait. A high "
    "`backfill` is a file being worked off.",
    "queue",
)
REVIEWS_RECORDED = counter(
    "beyond_record_reviews_total",
    "Reviews that the projector added to the record, changed in it or removed from it.",
    "Flat while reviews come in: `beyond record` does not run, or its database is away; its log says "
    "which.",
)
RECORD_LAG = gauge(
    "beyond_record_lag_seconds",
    "Age of the change that the projector wrote last, when it wrote it; 0 when it has all.",
    "Grows for minutes: the record's database is slow (its disk, or a PostgreSQL far away), or a "
    "rebuild runs. Pages are as old as this says; nothing is lost.",
)
REQUEST_SECONDS = histogram(
    "beyond_webhook_seconds",
    "Seconds from a request to its answer, by HTTP status. A 202 waits until the review is on disk.",
    "Slow 202: the disk under the server is slow or shared. 401: a secret or clock differs from the "
    "sender's. 503: the queue or the disk is full, or the server is away; the answer says which.",
    "status",
    # Platforms give up after 3-10 s; 5 s is the default BEYOND_DURABLE_SECONDS.
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
POLLS = counter(
    "beyond_polls_total",
    "Polls of pull sources, by source and by how they ended: read, unchanged (the source said so), "
    "failed.",
    "`failed` grows: `beyond poll list` tells why and when it is tried again. Flat for a source: no "
    "`beyond poll` runs, or another machine has it.",
    "source",
    "outcome",
)
COMMIT_DELIVERIES = histogram(
    "beyond_webhook_commit_deliveries",
    "Deliveries that one write of the webhook stored together.",
    "Always 1 while answers are slow: the time is lost before the write (CPU), not on the disk. Near "
    "64: the server's disk is slower than what arrives; look at beyond_webhook_seconds.",
    # Powers of four up to what one write may hold (producers/group_commit.py).
    buckets=(1, 4, 16, 64),
)


def configure(
    log_format: str = "console", level: str = "INFO", metrics_port: int | None = None
) -> None:
    """Send one line per event to standard error, JSON or console.

    Serve /metrics where a port is given.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    tail: list[Any] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if log_format == "json"
        # Without the values of variables, which may be tokens or what somebody wrote.
        else [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                exception_formatter=structlog.dev.RichTracebackFormatter(show_locals=False),
            )
        ]
    )
    number = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    structlog.configure(
        processors=[*shared, *tail],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        # Looked up at each line: whoever redirects standard error later is followed.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
    if metrics_port:  # 0: somebody else serves them (workers/exporter.py)
        try:
            start_http_server(metrics_port)
        except OSError as error:  # no reason not to work
            log("metrics").warning("metrics_not_served", port=metrics_port, reason=str(error))


def log(name: str) -> Any:
    """A logger bound to the part of the system that speaks."""
    return structlog.get_logger(part=name)


def markdown() -> str:
    """The catalogue as docs/METRICS.md."""
    out = [
        "# Metrics",
        "",
        "Written by `python -m shared.telemetry > docs/METRICS.md` from shared/telemetry.py. The webhook",
        "serves its metrics at `/metrics`, workers and `beyond poll` at `BEYOND_METRICS_PORT`.",
        "",
        "| metric | what it means | when it looks bad |",
        "|---|---|---|",
    ]
    for name, (kind, labels, meaning, remedy) in CATALOGUE.items():
        by = f", by {', '.join(f'`{label}`' for label in labels)}" if labels else ""
        out.append(f"| `{name}` ({kind}{by}) | {meaning} | {remedy} |")
    return "\n".join(out) + "\n"


if __name__ == "__main__":
    sys.stdout.write(markdown())
