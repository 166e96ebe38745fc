"""How a report says things: titles, changes with their uncertainty, why something comes first, method and limits.

Plain text; whoever shows it escapes it. It does not know HTML, Markdown or PDF.
"""

from __future__ import annotations

from datetime import date

from consumers.record.answers import Interval, Priority
from consumers.record.queries_first import HALF_LIFE_DAYS
from consumers.report.gather import EmotionCount, Pain, Report
from consumers.topics.rising import Spike

TITLES = {
    "staff": "Staff and manners",
    "waiting": "Waiting times",
    "quality": "Quality",
    "accuracy": "Wrong or missing items",
    "price": "Price",
    "billing": "Bills and refunds",
    "delivery": "Delivery",
    "booking": "Booking",
    "cleanliness": "Cleanliness",
    "safety": "Safety",
    "facilities": "Rooms and facilities",
    "communication": "Answers and information",
    "digital": "App and website",
    "description": "Not as described",
    "availability": "Choice and stock",
    "policy": "Rules",
    "other": "Other",
}
_QUOTE_CHARS, _NAMES = 180, 8
# An interval that allows five times as much says nothing that a reader could use.
_VAGUE = 5


def title(theme: str) -> str:
    """A theme's name for people."""
    return TITLES.get(theme, theme.capitalize())


def business(report: Report) -> str:
    """Whom the report is about."""
    return report.summary.business or "All businesses"


def days(first: date, last: date) -> str:
    """A period: "1 to 31 October 2026", naming only what differs."""
    end = f"{last.day} {last:%B %Y}"
    if first == last:
        return end
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day} to {end}"
    if first.year == last.year:
        return f"{first.day} {first:%B} to {end}"
    return f"{first.day} {first:%B %Y} to {end}"


def number(value: int) -> str:
    """With a thin mark every three digits."""
    return f"{value:,}"


def counted(count: int, one: str) -> str:
    """A number of things by their singular."""
    return f"1 {one}" if count == 1 else f"{number(count)} {one}s"


def headline(report: Report) -> str:
    """The period in two or three sentences."""
    told = report.summary
    if not told.reviews:
        return f"There are no reviews from {days(told.since, told.until)}. {_instead(report)}"
    out = [f"{counted(told.reviews, 'review')}{_volume(report)}."]
    if told.mean_rating is not None:
        out.append(f"Mean rating {told.mean_rating:.2f}{rating_change(report)}.")
    if report.pains:
        worst = report.pains[0].count
        out.append(
            f"Most complaints are about {title(worst.theme).lower()}: {number(worst.issues)}"
            f"{', ' + count_change(worst.change) if worst.change else ''}."
        )
    else:
        out.append("Nobody complained of anything that was found with enough confidence.")
    return " ".join(out)


def _instead(report: Report) -> str:
    """What to ask for where there is nothing."""
    known = report.known
    if known is None or known.first_day is None or known.last_day is None:
        return (
            "Nor are there any others: read some in (beyond backfill FILE, beyond webhook), analyse them "
            "(beyond work) and ask again."
        )
    names = [f"{one.name or 'no business'} ({number(one.reviews)})" for one in known.businesses]
    more = len(names) - _NAMES
    listed = ", ".join(names[:_NAMES]) + (f" and {more} more" if more > 0 else "")
    return f"There are reviews from {days(known.first_day, known.last_day)}, of: {listed}."


def _volume(report: Report) -> str:
    before = report.summary.reviews_before
    if not before:
        return ", none in the period before"
    return f", {number(before)} in the {report.period.days} days before"


def rating_change(report: Report) -> str:
    """The rating's change with its interval, and whether chance explains it.

    Begins with a comma.
    """
    change = report.summary.rating_change
    if change is None:
        return ", with nothing to compare it with"
    if abs(change.estimate) < 0.005:
        return ", as before"
    way = "higher" if change.estimate > 0 else "lower"
    span = f"95% interval {change.low:+.2f} to {change.high:+.2f}".replace("-", "−")
    sure = change.low > 0 or change.high < 0
    return f", {abs(change.estimate):.2f} {way} than before ({span}: {'more than chance' if sure else 'may be chance'})"


def count_change(change: Interval | None) -> str:
    """How the rate of issues or emotions a review changed, with its interval."""
    if change is None:
        return "nothing to compare with"
    if clear(change) == 0 and change.high >= _VAGUE:
        return "too few to compare"
    if clear(change) == 0:
        return f"no clear change ({_percent(change.low)} to {_percent(change.high)})"
    return f"{_percent(change.estimate)} per review ({_percent(change.low)} to {_percent(change.high)})"


def clear(change: Interval | None) -> int:
    """1 or -1 where the whole interval lies above or below "no change", else 0."""
    if change is None:
        return 0
    return 1 if change.low > 1 else -1 if change.high < 1 else 0


def _percent(ratio: float) -> str:
    if ratio >= 10:
        return "×" + f"{ratio:.0f}"
    return f"{100 * (ratio - 1):+.0f}%".replace("-", "−")


def emotion_change(emotion: EmotionCount) -> str:
    """One word for a table's narrow column."""
    if emotion.change is None:
        return ""
    return {1: "rising", 0: "", -1: "falling"}[clear(emotion.change)]


def action(first: Priority) -> str:
    """What to do."""
    return (
        first.action
        or first.problem
        or f"Read what customers say about {title(first.theme).lower()}."
    )


def why(first: Priority) -> str:
    """Why it comes so early, by the formula's three parts."""
    urgency = (
        "mostly urgent"
        if first.mean_urgency >= 3
        else "some of it urgent"
        if first.mean_urgency >= 2
        else "mostly not urgent"
    )
    recency = "recent" if first.mean_recency >= 0.6 else "spread over the period"
    if first.mean_recency < 0.35:
        recency = "mostly weeks ago"
    return (
        f"{counted(first.issues, 'open complaint')}, {urgency}, {recency} "
        f"({first.issues} × {first.mean_urgency:.2f} × {first.mean_recency:.2f} = {first.score:.1f})"
    )


def problem(pain: Pain) -> str:
    """What most of a theme's issues tell."""
    most = pain.problem
    if most is None or most.issues < 2:
        return most.text if most else ""
    return f"Most often: {most.text.rstrip('.')} ({most.issues})."


def quote(text: str) -> str:
    """A customer's words on one line, cut at a word where they are long."""
    line = " ".join(text.split())
    if len(line) > _QUOTE_CHARS:
        line = line[:_QUOTE_CHARS].rsplit(" ", 1)[0].rstrip(".,;: ") + "…"
    return f"“{line}”"


def spike(found: Spike) -> str:
    """A spike, with its statistic."""
    of = title(found.name) if found.kind == "theme" else found.name.rstrip(".")
    where = f" at {found.business}" if found.business else ""
    return (
        f"{of}{where}: {found.count} complaints in the 7 days to {found.until.day} {found.until:%B}, "
        f"{found.verdict.expected:.1f} expected ({found.verdict.statistic})"
    )


def method(report: Report) -> list[str]:
    """How the numbers came about, and what they cannot say."""
    told, (happy, unhappy) = report.summary, report.texts
    if not told.reviews:
        return ["Reviews are counted by the day they were written (UTC)."]
    before = report.period.before
    out = [
        f"Compared with the {report.period.days} days before ({days(before.since, before.until)}). "
        "Changes are of issues a review, so more guests alone change nothing. Intervals are of 95%: Welch's for the "
        "mean rating, Wald's on the log scale for rates.",
        "Complaints, their themes and the emotions were found by a model. It misses some and misreads some: a "
        "handful is a hint, thirty are a pattern. Quotes are customers' own words.",
        "“Do first” ranks themes by open complaints × mean urgency (low 1, normal 2, high 4) × mean recency (halved "
        f"every {HALF_LIFE_DAYS} days). Complaints marked done or not an issue do not count.",
        "Rising: the last 7 days against the 8 weeks before, tested together; at most one in twenty of those named "
        "is expected to be chance.",
        f"Praise was read in {number(happy)} happy and {number(unhappy)} unhappy reviews in English: what happy "
        "ones praise more often, by class-based TF-IDF.",
        "Who writes a review is not a fair draw of who came.",
    ]
    if told.waiting:
        out.insert(1, f"Not analysed yet: {counted(told.waiting, 'review')}.")
    return out
