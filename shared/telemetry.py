"""Structured events and Prometheus metrics, each declared once with its meaning.

It never sees review text or secrets: callers pass ids, counts and reasons.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog
from prometheus_client import Counter, Gauge, Histogram, start_http_server

REVIEWS_IN = Counter(
    "beyond_reviews_in_total",
    "Reviews offered to intake, by what became of them",
    ["source", "outcome"],
)
REVIEWS_DONE = Counter(
    "beyond_reviews_analysed_total", "Reviews analysed by this process, by outcome", ["outcome"]
)
BATCH_REVIEWS = Histogram(
    "beyond_batch_reviews", "Reviews per worker batch", buckets=[1, 2, 4, 8, 16, 32, 64, 128, 256]
)
STAGE_SECONDS = Histogram(
    "beyond_stage_seconds",
    "Seconds a batch spent in a stage",
    ["stage"],
    buckets=[0.01, 0.05, 0.2, 1, 5, 20, 60, 300],
)
ADAPTER_SWAPS = Counter(
    "beyond_adapter_swaps_total", "Adapter changes tried while serving, by outcome", ["outcome"]
)
QUEUE_DEPTH = Gauge("beyond_queue_jobs", "Jobs waiting, by queue", ["queue"])
REQUEST_SECONDS = Histogram("beyond_webhook_seconds", "Seconds from request to answer", ["status"])


def configure(
    log_format: str = "console", level: str = "INFO", metrics_port: int | None = None
) -> None:
    """Send one line per event to standard error, JSON or console; serve /metrics where a port is given."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    tail: list[Any] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if log_format == "json"
        else [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    )
    number = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    structlog.configure(
        processors=[*shared, *tail],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
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
