"""Where exported reviews come from: the record while it is complete, else the store. Oldest first.

Both give the same entries; the record filters by itself, and keeps whole seconds of times. It does
not write.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from typing import Any

from pydantic_core import from_json
from sqlalchemy import Connection, func, select

from consumers.export import Entry, record
from consumers.record.conditions import of_reviews
from consumers.record.filters import Filters
from consumers.record.rows import stars
from consumers.record.schema import reviews
from consumers.record.scope import Scope
from consumers.record.stored import COLUMNS
from shared.errors import Misconfigured
from shared.review import Analysis, Review
from shared.stream.browse import Browse
from shared.stream.store import Store

_PAGE_ROWS = 1000
# What an analysis leaves out where it is as usual (rows.py keeps it small), in the order of its fields.
_ANALYSIS: Entry = {"emotions": None, "insight": None, "insight_reason": None}
_ANALYSIS |= {"models": {}, "seconds": {}, "analysed_at": None}
_ISSUE: Entry = {"theme": None, "problem": None, "evidence": None, "start": None, "end": None}
_ISSUE |= {"action": None, "flags": [], "confidence": None}


def complete(connection: Connection, store: Store) -> bool:
    """Whether the record has as many reviews, and as many analysed, as the store."""
    query = select(func.count(), func.count(reviews.c.analysed_at)).select_from(reviews)
    stored, analysed = connection.execute(query).one()
    counts = store.counts()
    return (stored, analysed) == (counts["stored"], counts["analysed"])


def from_record(
    connection: Connection, scope: Scope, filters: Filters, only: Sequence[str] | None = None
) -> Iterator[Entry]:
    """Entries that fit and that the scope may see; memory does not grow with their number. `only`: ids."""
    fitting = of_reviews(filters, scope, connection.dialect)
    if only is not None:
        fitting.append(reviews.c.id.in_(only))
    query = select(*COLUMNS).where(*fitting).order_by(reviews.c.created_at, reviews.c.id)
    streaming = connection.execution_options(stream_results=True, yield_per=_PAGE_ROWS)
    for page in streaming.execute(query).partitions():
        yield from map(_entry, page)


def from_store(store: Store, filters: Filters) -> Iterator[Entry]:
    """Entries that fit, read from the store itself.

    Raises:
        Misconfigured: a filter is set that only the record knows.
    """
    if beyond := sorted(filters.given() & {"status", "q", "topic"}):
        raise Misconfigured(
            f"--{beyond[0]} is answered by the record, which is not complete: `beyond record --once`"
        )
    days = (filters.since or date.min, filters.until or date.max)
    for review, analysis in Browse(store.connection).oldest_first(*days):
        if fits(review, analysis, filters):
            yield record(review, analysis)


def fits(review: Review, analysis: Analysis | None, filters: Filters) -> bool:
    """Whether a stored review fits all filters but dates, `status`, `topic` and `q`."""
    insight = analysis.insight if analysis else None
    rating = review.rating
    wanted = (
        (filters.source, review.source),
        (filters.category, review.category),
        (filters.language, review.language),
        (filters.urgency, insight.urgency if insight else None),
        (filters.rating, None if rating is None else int(stars(rating))),
    )
    if any(allowed and value not in allowed for allowed, value in wanted):
        return False
    if filters.business is not None and (review.business or "") != filters.business:
        return False
    if filters.rating_min is not None and (rating is None or rating < filters.rating_min):
        return False
    if filters.rating_max is not None and (rating is None or rating > filters.rating_max):
        return False
    if filters.state is not None and (filters.state == "analysed") != (analysis is not None):
        return False
    felt = set(analysis.emotions.present) if analysis else set()
    if filters.emotion and not felt & set(filters.emotion):
        return False
    if not filters.theme and filters.min_confidence is None:
        return True
    return any(
        (not filters.theme or issue.theme in filters.theme)
        and (
            filters.min_confidence is None
            or (issue.confidence is not None and issue.confidence >= filters.min_confidence)
        )
        for issue in (insight.issues if insight else ())
    )


def _entry(row: Sequence[Any]) -> Entry:
    """The same as `record` makes of the pair, without making models of it: four times as fast."""
    i, source, external_id, text, rating, title, author, url, business, category, *rest = row
    language, created_at, dated, excerpt, analysis = rest
    entry: Entry = {
        "id": i,
        "source": source,
        "external_id": external_id,
        "text": text,
        "rating": rating,
        "title": title,
        "business": business or None,
    }
    if category:
        entry["category"] = category
    entry |= {"author": author, "url": url, "created_at": _iso(created_at)}
    if not dated:
        entry["dated"] = False
    if excerpt:
        entry["excerpt"] = True
    if language:
        entry["language"] = language
    entry["analysis"] = (
        None if analysis is None else _analysis(from_json(analysis, cache_strings="keys"))
    )
    return entry


def _analysis(kept: Entry) -> Entry:
    kept.pop("review_id")
    full = {**_ANALYSIS, **kept}
    if insight := full["insight"]:
        shown = [{**_ISSUE, **issue} for issue in insight["issues"]]
        unsure = [{**_ISSUE, **issue} for issue in insight.get("unsure", ())]
        full["insight"] = {"issues": shown, "unsure": unsure, **_rest(insight)}
    return full


def _rest(insight: Entry) -> Entry:
    return {name: insight[name] for name in insight if name not in ("issues", "unsure")}


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19] + "Z"
