"""What the record's queries answer: frozen models that the API sends and the pages show. No SQL, no HTTP.

Times are aware UTC. Shares are of reviews in the period, in [0, 1].
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

from pydantic import Field

from consumers.record.answers_people import Change, Reply
from consumers.record.filters import Status
from shared.review import Frozen, Theme, Urgency


class IssueRow(Frozen):
    """One issue with what people did about it. `evidence` is `text[start:end]` of its review."""

    id: str
    review_id: str
    theme: Theme
    problem: str | None
    evidence: str
    start: int
    end: int
    action: str | None
    flags: tuple[str, ...]
    confidence: float | None
    shown: bool = Field(description="false: found, but not sure enough to be shown")
    business: str | None
    source: str
    urgency: Urgency | None
    created_at: datetime
    status: Status = "open"
    owner: str = ""
    note: str = ""
    updated_at: datetime | None = None
    updated_by: str | None = None


class ReviewRow(Frozen):
    """One review in a list, with its shown issues, the most important first."""

    id: str
    source: str
    business: str | None
    category: str | None
    language: str | None
    title: str | None
    text: str
    rating: float | None
    created_at: datetime
    dated: bool = Field(description="false: nobody knows when; created_at is the import's time")
    excerpt: bool = Field(description="the platform shows only the beginning: `text` is that")
    analysed_at: datetime | None
    urgency: Urgency | None
    emotion: str | None = Field(description="the strongest present")
    issues: tuple[IssueRow, ...]


class ReviewPage(Frozen):
    """Reviews, newest first. `next` is the cursor of the page after this one, None on the last."""

    reviews: tuple[ReviewRow, ...]
    next: str | None


class IssuePage(Frozen):
    """Issues, newest first; `next` as above."""

    issues: tuple[IssueRow, ...]
    next: str | None


class ReviewDetail(ReviewRow):
    """One review with all that is known. `issues` are the shown ones, `unsure` the others."""

    external_id: str | None
    url: str | None
    author: str | None = Field(description="a keyed hash")
    version: str
    unsure: tuple[IssueRow, ...]
    emotions: dict[str, float] = Field(
        description="probabilities of those present, strongest first"
    )
    urgency_reason: str | None
    insight_reason: str | None = Field(description="why there is no insight")
    adapter: str | None
    analysis: dict[str, Any] | None = Field(description="the whole Analysis as it was stored")
    history: tuple[Change, ...]
    reply: Reply | None


class Interval(Frozen):
    """An estimate with its 95% interval."""

    estimate: float
    low: float
    high: float


class Point(Frozen):
    """Reviews of one day, or of the week that begins on it (Monday)."""

    day: date
    reviews: int
    mean_rating: float | None


class ThemeCount(Frozen):
    """A theme's shown issues.

    `change`: rate of issues a review against the period before, 1.0 is no change.
    """

    theme: Theme
    issues: int
    share: float = Field(description="issues a review in the period")
    before: int = Field(description="issues in the period before")
    change: Interval | None = Field(description="none where either period has no review")


class Priority(Frozen):
    """One place of "do this first". score = issues x mean_urgency x mean_recency."""

    theme: Theme
    score: float
    issues: int = Field(description="shown, and neither done nor judged to be no issue")
    since: date = Field(description="day of the first of them in the period")
    mean_urgency: float = Field(description="low 1, normal 2, high 4")
    mean_recency: float = Field(description="0.5 ^ (age in days / 14), weighted by urgency")
    action: str | None = Field(description="the action that most of them ask for")
    problem: str | None = Field(description="the problem that most of them tell")
    quote: str | None
    review_id: str | None = Field(description="of the quote")


class Summary(Frozen):
    """What happened in a period, against the one of the same length before it."""

    business: str | None
    since: date
    until: date
    reviews: int
    reviews_before: int
    waiting: int
    mean_rating: float | None
    mean_rating_before: float | None
    rating_change: Interval | None = Field(description="difference of the means")
    ratings: dict[str, int] = Field(description="reviews by stars, 1 to 5")
    step: Literal["day", "week"]
    trend: tuple[Point, ...]
    emotions: dict[str, int] = Field(description="reviews in which it is present, most first")
    urgency: dict[Urgency, int]
    themes: tuple[ThemeCount, ...] = Field(description="most issues first")
    first: tuple[Priority, ...] = Field(description="do this first; see Priority")
    urgent: tuple[ReviewRow, ...] = Field(
        description="urgent reviews with open issues, newest first"
    )


class ThemePoint(Frozen):
    """Shown issues of one theme on a day, or in the week that begins on it."""

    day: date
    issues: int


class Told(Frozen):
    """A sentence and how many issues carry it."""

    text: str
    issues: int


class BusinessCount(Frozen):
    """A theme in one business. `share`: issues a review."""

    business: str | None
    issues: int
    reviews: int
    share: float


class ThemeDetail(Frozen):
    """One theme in a period."""

    count: ThemeCount
    since: date
    until: date
    step: Literal["day", "week"]
    trend: tuple[ThemePoint, ...]
    problems: tuple[Told, ...]
    actions: tuple[Told, ...]
    quotes: tuple[IssueRow, ...] = Field(description="most confident of the newest")
    businesses: tuple[BusinessCount, ...] = Field(description="most issues first")


class ThemeRatio(Frozen):
    """A theme on both sides of a comparison. `ratio`: rate of left over rate of right."""

    theme: Theme
    left: int
    right: int
    ratio: Interval | None


class Comparison(Frozen):
    """Two businesses or two periods side by side."""

    left: Summary
    right: Summary
    rating_difference: Interval | None = Field(description="left less right")
    themes: tuple[ThemeRatio, ...]


class Business(Frozen):
    """A business that reviews name, and how many do."""

    name: str | None
    reviews: int


class Meta(Frozen):
    """What there is to filter by, and how far the record has read."""

    businesses: tuple[Business, ...] = Field(description="most reviews first, at most 200")
    sources: tuple[str, ...]
    categories: tuple[str, ...]
    first_day: date | None
    last_day: date | None
    reviews: int
    read_to: str | None = Field(description="the feed's entry that was applied last")
    read_at: datetime | None


class Topic(Frozen):
    """A recurring pain point beyond the closed list of themes, as far as the scope sees it."""

    id: str
    name: str = Field(description="its most typical problem, or quote")
    words: tuple[str, ...] = Field(description="what sets it apart, best first")
    issues: int
    first_day: date
    last_day: date
    weeks: tuple[int, ...] = Field(
        description="its issues in each of the 26 weeks up to the last issue of any kind, oldest first"
    )


class ThemeList(Frozen):
    """Themes, most issues first."""

    themes: tuple[ThemeCount, ...]


class TopicList(Frozen):
    """Topics, most issues first."""

    topics: tuple[Topic, ...]
