"""The pages' addresses: who may see them, which query fills them, which template shows them.

What is on a page is in pages_*.py; what people change is in pages_work.py. It knows no SQL.
"""

from __future__ import annotations

from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, RedirectResponse, Response

from consumers.dashboard import (
    pages_export,
    pages_pipeline,
    pages_replies,
    pages_session,
    pages_tokens,
    pages_training,
    pages_voices,
    pages_work,
)
from consumers.dashboard.access import Reader
from consumers.dashboard.answering import Reading, Today
from consumers.dashboard.pages_frame import HEADERS, STATIC, STATIC_FOLDER, render
from consumers.dashboard.pages_lists import review_list
from consumers.dashboard.pages_overview import overview
from consumers.dashboard.pages_reading import reading
from consumers.dashboard.pages_replies import wanted_reply
from consumers.dashboard.pages_themes import comparison, one_theme, theme_list
from consumers.dashboard.periods import asked, sides
from consumers.record import queries, queries_summary, queries_themes, queries_topics
from consumers.record.filters import Filters, parse
from consumers.record.periods import period_of
from consumers.record.work import list_alerts, list_views
from consumers.report.gather import texts
from consumers.report.loved import loved
from consumers.topics.rising import spikes
from shared.errors import InvalidRequest, NotFound
from shared.review import THEMES

router = APIRouter(include_in_schema=False)
ALERTS = 5
LOVED_TEXTS = (1000, 1000)  # happy and unhappy ones; the printed report reads more
LIVE, EXPORT = "/v1/feed", "/reviews/export?format="
PARTS = (
    pages_session,
    pages_work,
    pages_replies,
    pages_voices,
    pages_pipeline,
    pages_training,
    pages_tokens,
    pages_export,
)
for part in PARTS:
    router.include_router(part.router)


@router.get("/static/{name}")
def static_file(name: str) -> Response:
    """A style, a script or a licence.

    The address carries the file's hash, so it may be kept for ever.
    """
    if name not in STATIC:
        raise NotFound(f"no such file: {name}")
    return FileResponse(
        STATIC_FOLDER / name,
        media_type=STATIC[name],
        headers={**HEADERS, "Cache-Control": "public, max-age=31536000, immutable"},
    )


@router.get("/")
def overview_page(request: Request, scope: Reader, record: Reading, today: Today) -> Response:
    """What hurts, why, since when, and what to do first."""
    meta = queries_themes.meta(record, scope)
    wanted = asked(record, scope, request.query_params, today, meta.first_day)
    found = queries_summary.summary(record, scope, wanted.filters, today)
    risen = spikes(record, scope, found.until, business=wanted.business)
    values = overview(found, risen, meta, wanted)
    # Whatever the period holds: "no review for three days" is told by an alert.
    alerts = list_alerts(record, scope, waiting=True)
    values |= {"alerts": alerts[:ALERTS], "more_alerts": max(0, len(alerts) - ALERTS)}
    return render(request, "overview.html", "Overview", live=LIVE, **values)


@router.get("/loved")
def loved_page(request: Request, scope: Reader, record: Reading, today: Today) -> Response:
    """What customers love, read from their words: a part of the overview that takes longer, so it comes after it."""
    meta = queries_themes.meta(record, scope)
    wanted = asked(record, scope, request.query_params, today, meta.first_day)
    period = period_of(record, scope, wanted.filters, today)
    happy, unhappy = texts(record, scope, wanted.filters, period, LOVED_TEXTS)
    found = loved(happy, [text for _, text in unhappy])
    part = "loved_list.html" if request.headers.get("hx-request") else "loved.html"
    return render(request, part, "Overview", loved=found, read=len(happy), query=wanted.query)


@router.get("/reviews")
def reviews_page(request: Request, scope: Reader, record: Reading, today: Today) -> Response:
    """The list, with all filters in its address."""
    meta = queries_themes.meta(record, scope)
    pairs, problem = request.query_params.multi_items(), ""
    try:
        filters = parse(pairs, beside=("cursor",))
    except InvalidRequest as error:
        filters, problem = Filters(), str(error)
    cursor = request.query_params.get("cursor") or None
    # An address that people share has no empty values, though forms send them.
    if not problem and any(not value for _, value in pairs):
        plain = [*filters.pairs(), *([("cursor", cursor)] if cursor else [])]
        return RedirectResponse(f"/reviews?{urlencode(plain)}" if plain else "/reviews", 303)
    page = queries.review_page(record, scope, filters, cursor=cursor)
    topics = queries_topics.topics(record, scope, filters.topic) if filters.topic else ()
    values = review_list(page, filters, meta, topics, first=cursor is None)
    return render(
        request,
        "reviews.html",
        "Reviews",
        status_code=400 if problem else 200,
        live=LIVE,
        problem=problem,
        views=list_views(record, scope),
        export=EXPORT,
        **values,
    )


@router.get("/reviews/{review_id}")
def review_page(
    request: Request, review_id: str, scope: Reader, record: Reading, today: Today
) -> Response:
    """One review: its words with the evidence marked, what to do, and what people did."""
    found = queries.review_detail(record, scope, review_id)
    if found is None:
        raise NotFound("there is no such review, or your token does not reach it")
    wanted = wanted_reply(request, found)
    return render(request, "review.html", "Reviews", live=LIVE, wanted=wanted, **reading(found))


@router.get("/themes")
def themes_page(request: Request, scope: Reader, record: Reading, today: Today) -> Response:
    """All themes of a period."""
    meta = queries_themes.meta(record, scope)
    wanted = asked(record, scope, request.query_params, today, meta.first_day)
    counts = queries_themes.themes(record, scope, wanted.filters, today)
    risen = spikes(record, scope, wanted.until, business=wanted.business)
    found = queries_topics.topics(record, scope)
    return render(
        request, "themes.html", "Themes", **theme_list(counts, risen, found, meta, wanted)
    )


@router.get("/themes/{theme}")
def theme_page(
    request: Request, theme: str, scope: Reader, record: Reading, today: Today
) -> Response:
    """One theme in depth."""
    if theme not in THEMES:
        raise NotFound(f"there is no such theme; there are {', '.join(THEMES)}")
    meta = queries_themes.meta(record, scope)
    wanted = asked(record, scope, request.query_params, today, meta.first_day)
    detail = queries_themes.theme_detail(record, scope, theme, wanted.filters, today)  # type: ignore[arg-type]
    risen = spikes(record, scope, wanted.until, business=wanted.business)
    return render(request, "theme.html", "Themes", **one_theme(detail, risen, meta, wanted))


@router.get("/compare")
def compare_page(request: Request, scope: Reader, record: Reading, today: Today) -> Response:
    """Two businesses or two periods; where nothing was chosen, the newest 90 days of two."""
    meta = queries_themes.meta(record, scope)
    left, right = sides(record, scope, request.query_params, meta, today)
    both = queries_summary.compare(record, scope, left, right, today)
    return render(
        request,
        "compare.html",
        "Compare",
        chosen={"left": left, "right": right},
        businesses=[b.name for b in meta.businesses if b.name],
        **comparison(both),
    )
