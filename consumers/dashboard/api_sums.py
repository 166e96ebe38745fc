"""/v1/summary, compare, themes, topics, meta: what the daily counts say. It does not know SQL."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import APIRouter, Path, Query, Request, Response

from consumers.dashboard.access import Reader
from consumers.dashboard.answering import (
    Filtered,
    Reading,
    Today,
    answer,
    filter_parameters,
    problems,
)
from consumers.record.answers import Comparison, Meta, Summary, ThemeDetail, ThemeList, TopicList
from consumers.record.filters import ROLLUP_FIELDS, parse
from consumers.record.queries_summary import compare, summary
from consumers.record.queries_themes import meta, theme_detail, themes
from consumers.record.queries_topics import topics
from shared.review import Theme

router = APIRouter(prefix="/v1", tags=["overview"])
_SUMS = filter_parameters(*sorted(ROLLUP_FIELDS))
Side = Annotated[
    str,
    Query(max_length=2000, description="filters as a query string: business=X&since=2026-01-01"),
]


@router.get(
    "/summary",
    response_model=Summary,
    responses=problems(304, 400),
    openapi_extra=_SUMS,
    summary="A period against the one before",
)
def get_summary(
    request: Request, scope: Reader, connection: Reading, filters: Filtered, today: Today
) -> Response:
    """By default the 30 days up to the last review. Changes come with their 95% interval."""
    return answer(request, summary(connection, scope, filters, today))


@router.get(
    "/compare",
    response_model=Comparison,
    responses=problems(304, 400),
    summary="Two businesses or periods",
)
def get_compare(
    request: Request, scope: Reader, connection: Reading, left: Side, right: Side, today: Today
) -> Response:
    """Both summaries, and how far they are apart."""
    sides = [parse(parse_qsl(side)) for side in (left, right)]
    return answer(request, compare(connection, scope, sides[0], sides[1], today))


@router.get(
    "/themes",
    response_model=ThemeList,
    responses=problems(304, 400),
    openapi_extra=_SUMS,
    summary="Themes of a period, most issues first",
)
def get_themes(
    request: Request, scope: Reader, connection: Reading, filters: Filtered, today: Today
) -> Response:
    """Each with its change against the period before."""
    return answer(request, ThemeList(themes=themes(connection, scope, filters, today)))


@router.get(
    "/themes/{theme}",
    response_model=ThemeDetail,
    responses=problems(304, 400, 422),
    openapi_extra=_SUMS,
    summary="One theme in depth",
)
def get_theme(
    request: Request,
    scope: Reader,
    connection: Reading,
    theme: Annotated[Theme, Path()],
    filters: Filtered,
    today: Today,
) -> Response:
    """Trend, what its issues say, typical quotes, businesses compared."""
    return answer(request, theme_detail(connection, scope, theme, filters, today))


@router.get(
    "/topics",
    response_model=TopicList,
    responses=problems(304),
    summary="Recurring pain points beyond the themes",
)
def get_topics(request: Request, scope: Reader, connection: Reading) -> Response:
    """As `beyond topics` found them last, biggest first; counted within your business."""
    return answer(request, TopicList(topics=topics(connection, scope)))


@router.get(
    "/meta", response_model=Meta, responses=problems(304), summary="What there is to filter by"
)
def get_meta(request: Request, scope: Reader, connection: Reading) -> Response:
    """Businesses, sources, categories, days, and how far the record has read."""
    return answer(request, meta(connection, scope))
