"""Findings become alerts: told once, after the rule's cooldown, as one message to each of its targets.

Alert and messages are written in one transaction, so a kill neither loses nor repeats one. What is
found while a rule cools down is told together afterwards. It does not know how rules look, or send.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine, func, insert, select

from consumers.alerts.look import Finding, look
from consumers.alerts.rules import Rule, Watch
from consumers.out.message import Message
from consumers.out.outbox import enqueue
from consumers.record.database import writing
from consumers.record.schema import alerts

# Lines that a person reads in one message; a program gets more of them.
_SHOWN, _SENT = 20, 100
_SUBJECT_CHARS = 200


@dataclass(frozen=True)
class Raised:
    """What one rule told this time."""

    rule: Rule
    findings: tuple[Finding, ...]


def raise_alerts(
    engine: Engine, watch: Watch, now: int, dead_letters: Callable[[], int] = lambda: 0
) -> list[Raised]:
    """Look by every rule and keep what is new, with a message that waits for each target.

    Args:
        engine: the record.
        watch: rules and targets.
        now: seconds since 1970.
        dead_letters: how many there are; asked only where a rule is about them.
    """
    out = []
    for rule in watch.rules:
        if not (found := news(engine, rule, now, dead_letters)):
            continue
        with writing(engine) as connection:
            # Another process may have told some of it since.
            kept = _new(connection, rule, found, now)
            if kept:
                _keep(connection, kept, now)
                enqueue(connection, rule.targets, _message(rule, kept, now))
                out.append(Raised(rule, tuple(kept)))
    return out


def news(
    engine: Engine, rule: Rule, now: int, dead_letters: Callable[[], int] = lambda: 0
) -> list[Finding]:
    """What `raise_alerts` would tell by this rule now; nothing is written."""
    with engine.connect() as connection:
        return _new(connection, rule, list(look(connection, rule, now, dead_letters)), now)


def _new(connection: Connection, rule: Rule, found: Sequence[Finding], now: int) -> list[Finding]:
    """Less what was told before, and businesses for which the rule cools down."""
    if not found:
        return []
    since = now - 60 * rule.cooldown_minutes
    query = select(alerts.c.business, func.max(alerts.c.raised_at)).where(
        alerts.c.rule == rule.name
    )
    query = query.group_by(alerts.c.business)
    cooling = {business for business, last in connection.execute(query).tuples() if last > since}
    ids = list({finding.id: finding for finding in found})
    told = set(connection.scalars(select(alerts.c.id).where(alerts.c.id.in_(ids))))
    return [f for f in found if f.business not in cooling and f.id not in told]


def _keep(connection: Connection, findings: Sequence[Finding], now: int) -> None:
    rows = [
        {
            "id": finding.id,
            "rule": finding.rule.name,
            "about": finding.about,
            "business": finding.business,
            "text": finding.text,
            "raised_at": now,
        }
        for finding in findings
    ]
    connection.execute(insert(alerts), rows)


def _message(rule: Rule, findings: Sequence[Finding], now: int) -> Message:
    lines = [finding.text for finding in findings]
    more = len(lines) - _SHOWN
    subject = lines[0] if len(lines) == 1 else f"{len(lines)} alerts"
    sent = [
        {"id": f.id, "about": f.about, "business": f.business, "text": f.text}
        for f in findings[:_SENT]
    ]
    return Message(
        id=f"alert-{findings[0].id}",
        kind="alert.raised",
        subject=f"{rule.name}: {subject}"[:_SUBJECT_CHARS],
        text="\n".join(lines[:_SHOWN] + ([f"and {more} more"] if more > 0 else [])),
        data={"rule": rule.name, "when": rule.when, "count": len(findings), "alerts": sent},
        at=datetime.fromtimestamp(now, UTC),
    )
