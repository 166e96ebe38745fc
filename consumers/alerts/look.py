"""What the rules find in the record now. It reads; what was told before, and cooldowns, are raising.py's.

Alerts speak of reviews by id, problem and urgency; a customer's own words stay in the house.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, or_, select

from consumers.alerts.rules import (
    DeadLettersRule,
    KeywordRule,
    RatingRule,
    ReviewRule,
    Rule,
    SilenceRule,
    SpikeRule,
    ThemeRule,
    UrgencyRule,
)
from consumers.record.schema import alerts, issues, reviews, rollups
from consumers.record.scope import owner_scope
from shared.review import URGENCIES

DAY_SECONDS = 86400
# A review written longer ago is history, which an import brings, and no news.
FRESH_SECONDS = 7 * DAY_SECONDS
# Of one look; the rest is found by the next one.
_MOST_REVIEWS = 1000


@dataclass(frozen=True)
class Finding:
    """One thing that a rule speaks of. `about` makes it one of a kind: the same is told once."""

    rule: Rule
    about: str
    business: str
    text: str

    @property
    def id(self) -> str:
        """Forty hex characters of rule and thing."""
        seen = f"{self.rule.name}\x1f{self.about}"
        return hashlib.blake2b(seen.encode(), digest_size=20).hexdigest()


def look(
    connection: Connection, rule: Rule, now: int, dead_letters: Callable[[], int]
) -> Iterator[Finding]:
    """What a rule finds.

    Args:
        connection: to the record.
        rule: what to look for.
        now: seconds since 1970.
        dead_letters: asked only where a rule is about them.
    """
    if isinstance(rule, ThemeRule):
        yield from _themes(connection, rule, now)
    elif isinstance(rule, SpikeRule):
        yield from _spikes(connection, rule, now)
    elif isinstance(rule, SilenceRule):
        yield from _silence(connection, rule, now)
    elif isinstance(rule, DeadLettersRule):
        if (count := dead_letters()) >= rule.count:
            text = f"{count} jobs are out of retries; see: beyond failed list"
            yield Finding(rule, f"dead {now}", "", text)
    else:
        yield from _reviews(connection, rule, now)


def _reviews(connection: Connection, rule: ReviewRule, now: int) -> Iterator[Finding]:
    """Fresh reviews that fit and were not told of by this rule, oldest first."""
    told = select(alerts.c.about).where(
        alerts.c.rule == rule.name, alerts.c.raised_at >= now - 2 * FRESH_SECONDS
    )
    query = (
        select(reviews)
        .where(reviews.c.created_at >= now - FRESH_SECONDS, *_conditions(rule))
        .where(reviews.c.id.not_in(told))
        .order_by(reviews.c.created_at, reviews.c.id)
    )
    patterns = _whole_words(rule.any) if isinstance(rule, KeywordRule) else None
    found = 0
    for row in connection.execute(query):
        if patterns and not patterns.search(f"{row.title or ''}\n{row.text}"):
            continue
        found += 1
        yield Finding(rule, row.id, row.business, _told(connection, row))
        if found == _MOST_REVIEWS:
            return


def _conditions(rule: ReviewRule) -> list[ColumnElement[bool]]:
    out = [] if rule.business is None else [reviews.c.business == rule.business]
    if isinstance(rule, UrgencyRule):
        out.append(reviews.c.urgency >= URGENCIES.index(rule.at_least))
    elif isinstance(rule, RatingRule):
        out.append(reviews.c.rating <= rule.at_most)
    else:
        # Narrows the search; the pattern decides about whole words.
        texts = (reviews.c.text, reviews.c.title)
        out.append(
            or_(*(text.icontains(word, autoescape=True) for text in texts for word in rule.any))
        )
    return out


def _whole_words(words: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(rf"(?<!\w){re.escape(word)}(?!\w)" for word in words), re.I)


def _told(connection: Connection, row: Any) -> str:
    query = select(issues.c.theme, issues.c.problem)
    query = query.where(issues.c.review_id == row.id, issues.c.shown == 1).order_by(
        issues.c.position
    )
    first = connection.execute(query).first()
    stars = f"{row.rating:g}/5" if row.rating else "no stars"
    parts = [f"{row.business or row.source}, {stars}"]
    if first is not None:
        parts.append(f"{first.theme}: {first.problem}" if first.problem else first.theme)
    if row.urgency_reason:
        parts.append(row.urgency_reason)
    return f"{'; '.join(parts)} (review {row.id})"


def _themes(connection: Connection, rule: ThemeRule, now: int) -> Iterator[Finding]:
    today = now // DAY_SECONDS
    count = func.sum(rollups.c.amount)
    query = select(rollups.c.business, count.label("count")).where(
        rollups.c.kind == "theme",
        rollups.c.value == rule.theme,
        rollups.c.day.between(today - rule.days + 1, today),
    )
    if rule.business is not None:
        query = query.where(rollups.c.business == rule.business)
    query = query.group_by(rollups.c.business).having(count >= rule.count)
    for business, number in connection.execute(query.order_by(rollups.c.business)).tuples():
        where = f" at {business}" if business else ""
        text = f"{number} complaints about {rule.theme}{where} in {rule.days} days"
        yield Finding(rule, f"{business}\x1f{today}", business, text)


def _spikes(connection: Connection, rule: SpikeRule, now: int) -> Iterator[Finding]:
    from consumers.topics.rising import spikes  # numpy and scipy: other rules need neither

    until = datetime.fromtimestamp(now, UTC).date()
    found = spikes(
        connection,
        owner_scope(),
        until,
        business=rule.business,
        days=rule.days,
        minimum=rule.minimum,
    )
    for spike in found:
        where = f"{spike.business}: " if spike.business else ""
        yield Finding(
            rule,
            f"{spike.business}\x1f{spike.key}\x1f{until}",
            spike.business,
            where + spike.sentence,
        )


def _silence(connection: Connection, rule: SilenceRule, now: int) -> Iterator[Finding]:
    last = _newest(connection, rule)
    if last is not None and now - last < rule.hours * 3600:
        return
    since = (
        "ever" if last is None else f"since {datetime.fromtimestamp(last, UTC):%Y-%m-%d %H:%M} UTC"
    )
    who = f"{rule.source} ({rule.business})" if rule.business else rule.source
    text = f"no review from {who} {since}; is its webhook or import still on?"
    yield Finding(rule, f"{last}\x1f{now // DAY_SECONDS}", rule.business or "", text)


def _newest(connection: Connection, rule: SilenceRule) -> int | None:
    """When the source's newest review was written: its day by the counts, which are few, then the moment."""
    counts = [rollups.c.kind == "review", rollups.c.source == rule.source]
    rows = [reviews.c.source == rule.source]
    if rule.business is not None:
        counts.append(rollups.c.business == rule.business)
        rows.append(reviews.c.business == rule.business)
    days = select(rollups.c.day).where(*counts).order_by(rollups.c.day.desc()).limit(1)
    if (day := connection.scalar(days)) is None:
        return None
    rows.append(reviews.c.created_at >= day * DAY_SECONDS)
    newest: int | None = connection.scalar(select(func.max(reviews.c.created_at)).where(*rows))
    return newest
