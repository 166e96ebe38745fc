"""Numbers as sentences for people: what changed, by how much, and how sure that is. Plain text, no HTML.

It does not know queries or pages.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from consumers.dashboard.charts import Point as ChartPoint
from consumers.dashboard.charts import number
from consumers.record.answers import Interval, Priority, Summary, ThemeCount
from consumers.record.queries_summary import MOST_URGENT
from consumers.topics.rising import Spike
from shared.review import NEGATIVE, POSITIVE

CHANGE_HELP = (
    "How often the theme comes up in a hundred reviews, against the period of the same length before. "
    "The range in brackets holds the true change with 95 % probability (Wald's interval of a ratio of "
    "Poisson rates). Where it includes “as often as before”, the page says: no clear change."
)


@dataclass(frozen=True)
class Change:
    """A verdict, its tone ("hurt", "love" or "soft": worse, better, open) and the numbers behind it."""

    text: str
    tone: str = "soft"
    detail: str = ""


def plural(count: int, one: str, many: str = "") -> str:
    """Such as: 1 issue, 12 issues."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def percent(share: float) -> str:
    """Such as: 34 %. What is more than nothing but less than one is "under 1 %"."""
    return "under 1 %" if 0 < share < 0.01 else f"{share * 100:.0f} %"


def rate_change(
    ratio: Interval | None,
    before: int,
    *,
    against: str = "before",
    unclear: str = "no clear change",
) -> Change:
    """More is worse: themes count what goes wrong."""
    if ratio is None:
        return Change(f"no reviews {against} to compare with")
    between = f"({_times(ratio.low)} to {_times(ratio.high)} times)"
    if ratio.low > 1:
        text = f"new: none {against}" if before == 0 else f"{_times(ratio.estimate)} times as often"
        return Change(text, "hurt", between)
    if ratio.high < 1:
        return Change(f"{_times(ratio.estimate)} times as often", "love", between)
    return Change(unclear, "soft", between)


def theme_change(row: ThemeCount) -> Change:
    """Against the period before."""
    return rate_change(row.change, row.before)


def rating_sentence(found: Summary) -> str:
    """The mean rating, and whether it moved."""
    if found.mean_rating is None:
        return "None of them has a rating."
    mean, moved = f"{found.mean_rating:.1f} of 5 stars on average", found.rating_change
    if moved is None:
        return f"{mean}."
    apart, between = abs(moved.estimate), sorted((abs(moved.low), abs(moved.high)))
    if moved.low > 0 or moved.high < 0:
        way = "higher" if moved.low > 0 else "lower"
        return f"{mean}, {apart:.1f} {way} than before ({between[0]:.1f} to {between[1]:.1f})."
    return f"{mean}, no clear change against before ({found.mean_rating_before:.1f})."


def summary_sentences(found: Summary) -> list[str]:
    """What an owner reads first: how many, how good, what hurts most, what cannot wait."""
    out = [
        f"{plural(found.reviews, 'review')} {_days(found.since, found.until)}"
        + (
            f", {number(found.reviews_before)} in the period before."
            if found.reviews_before
            else "."
        ),
        rating_sentence(found),
    ]
    if found.themes and found.themes[0].issues:
        top = found.themes[0]
        change = theme_change(top)
        how = f", {change.text}" if change.tone != "soft" else ""
        out.append(f"{top.theme.capitalize()} hurts most: {plural(top.issues, 'issue')}{how}.")
    if urgent := len(found.urgent):
        most = "At least " if urgent >= MOST_URGENT else ""
        out.append(
            f"{most}{plural(urgent, 'urgent review')} {'is' if urgent == 1 else 'are'} open."
        )
    if found.waiting:
        out.append(f"{plural(found.waiting, 'review')} still to be analysed.")
    return out


def spike_sentence(spike: Spike, with_business: bool) -> str:
    """What has risen, by how much, and by which test."""
    where = f" at {spike.business or 'reviews that name no business'}" if with_business else ""
    what = f"{spike.name[:1].upper()}{spike.name[1:]}{where}"
    days = (spike.until - spike.since).days + 1
    return (
        f"{what}: {plural(spike.count, 'issue')} in the {days} days to {spike.until.day} {spike.until:%b}, "
        f"where {spike.verdict.expected:.1f} were to be expected by the {spike.windows} periods before."
    )


def theme_sentences(count: ThemeCount, since: date, until: date) -> list[str]:
    """One theme in short."""
    change = theme_change(count)
    out = [f"{plural(count.issues, 'issue')} {_days(since, until)}, {_rate(count.share)}."]
    if count.change is None:
        return out
    before = f"against {number(count.before)} in the period before"
    if change.tone == "soft":
        out.append(f"No clear change {before} {change.detail}.")
    elif count.before:
        out.append(f"That is {change.text} as in the period before {change.detail}.")
    else:
        out.append("In the period before there was none.")
    return out


def priority_count(item: Priority, found: Summary) -> str:
    """Such as: 12 open issues, 5 in the period before."""
    before = next((t.before for t in found.themes if t.theme == item.theme), 0)
    now = plural(item.issues, "open issue")
    return f"{now}, {number(before)} in the period before" if found.reviews_before else now


def steps(days: list[date], step: str, values: list[float | None]) -> list[ChartPoint]:
    """A trend's points with labels that people read."""
    year = step == "week"
    return [
        ChartPoint(f"{day.day} {day:%b}{f' {day.year}' if year else ''}", value)
        for day, value in zip(days, values, strict=True)
    ]


def kind_of(emotion: str) -> str:
    """The colour of an emotion's bar."""
    return "hurt" if emotion in NEGATIVE else "love" if emotion in POSITIVE else ""


def _times(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}" if value >= 2 else f"{value:.2f}"


def _rate(share: float) -> str:
    return (
        f"in {share * 100:.0f} of a hundred reviews"
        if share >= 0.01
        else "in under one of a hundred reviews"
    )


def _days(since: date, until: date) -> str:
    same_year = since.year == until.year
    first = f"{since.day} {since:%b}" + ("" if same_year else f" {since.year}")
    return f"from {first} to {until.day} {until:%b} {until.year}"
