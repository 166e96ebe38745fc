"""Rules find what they name, tell it once, cool down without losing anything.

The command does all of it for real.
"""

from __future__ import annotations

import signal
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from standardwebhooks import Webhook

from consumers.alerts.look import look
from consumers.alerts.raising import raise_alerts
from consumers.alerts.rules import (
    DeadLettersRule,
    KeywordRule,
    RatingRule,
    SilenceRule,
    SpikeRule,
    ThemeRule,
    UrgencyRule,
    Watch,
)
from consumers.out.outbox import letters
from consumers.record.database import open_database, writing
from consumers.record.project import apply
from consumers.record.schema import alerts
from shared.review import Review
from tests.conftest import wait_until
from tests.consumers.out.test_out import SECRET, Receiver, receiver  # noqa: F401
from tests.consumers.record.conftest import database, postgresql, record_settings  # noqa: F401
from tests.consumers.replies.test_compose import analysis_of
from tests.consumers.replies.test_drafts import urgent

NOW = 1_790_000_000
TOLD = {"name": "r", "targets": ("ops",)}


def fill(
    engine,
    number,
    hours_ago=1.0,
    theme=None,
    hot=False,
    text="The soup was cold here.",
    now=NOW,
    **fields,
):
    """One review more; analysed with an issue of `theme`, if any."""
    review = Review(
        **{"source": "google", "business": "b", "rating": 2, **fields},
        external_id=f"x{number}",
        text=text,
        created_at=datetime.fromtimestamp(now, UTC) - timedelta(hours=hours_ago),
    )
    analysis = analysis_of(review, *([(theme, "Something was wrong.")] if theme else []))
    with writing(engine) as connection:
        apply(connection, [(review, urgent(analysis) if hot else analysis)])
    return review.id


def found(engine, rule, now=NOW, dead=0):
    with engine.connect() as connection:
        return [(f.about, f.business, f.text) for f in look(connection, rule, now, lambda: dead)]


def test_urgent_and_badly_rated_reviews_are_found_by_id(database):  # noqa: F811
    hot = fill(database, 1, theme="safety", hot=True, rating=3)
    fill(database, 2, theme="staff", rating=3)
    fill(database, 3, hours_ago=8 * 24, hot=True, rating=1)  # history
    ((about, business, text),) = found(database, UrgencyRule(when="urgency", **TOLD))
    assert (about, business) == (hot, "b")
    assert text == f"b, 3/5; safety: Something was wrong. (review {hot})"
    bad = fill(database, 4, rating=1)
    assert [f[0] for f in found(database, RatingRule(when="rating", at_most=1, **TOLD))] == [bad]
    elsewhere = RatingRule(when="rating", at_most=1, business="c", **TOLD)
    assert found(database, elsewhere) == []


@pytest.mark.parametrize(
    ("text", "hit"),
    [
        ("I will SUE you", True),
        ("You pursue me", False),
        ("100% food  poisoning", False),
        ("It was 100% Food poisoning!", True),
        ("My lawyer's letter follows", True),
    ],
)
def test_keywords_are_whole_words_in_any_case(database, text, hit):  # noqa: F811
    fill(database, 1, text=text + ", at the very least.")
    rule = KeywordRule(when="keyword", any=("sue", "food poisoning", "lawyer"), **TOLD)
    assert bool(found(database, rule)) is hit


def test_a_theme_counts_by_business_and_days(database):  # noqa: F811
    for number in range(4):
        fill(database, number, hours_ago=30 * number, theme="cleanliness")
    for number in range(4, 6):
        fill(database, number, theme="cleanliness", business="c")
    rule = ThemeRule(when="theme", theme="cleanliness", count=3, days=7, **TOLD)
    ((_, business, told),) = found(database, rule)
    assert (business, told) == ("b", "4 complaints about cleanliness at b in 7 days")
    assert found(database, rule.model_copy(update={"count": 5})) == []
    assert len(found(database, rule.model_copy(update={"count": 2}))) == 2


def test_a_spike_is_beyond_chance_and_names_its_test(database):  # noqa: F811
    for week in range(9):
        for number in range(20):
            theme = "billing" if week == 0 and number < 12 else "waiting" if number < 3 else None
            fill(database, f"{week}-{number}", hours_ago=week * 168 + number, theme=theme)
    (spike,) = found(database, SpikeRule(when="spike", **TOLD))
    assert spike[1] == "b" and spike[2].startswith("b: billing: 12 in the 7 days")
    assert "exact conditional" in spike[2]


def test_silence_and_dead_letters(database):  # noqa: F811
    rule = SilenceRule(when="silence", source="google", hours=48, **TOLD)
    assert found(database, rule)[0][2].startswith("no review from google ever")
    fill(database, 1, hours_ago=49)
    assert "since 2026-09-" in found(database, rule)[0][2]
    fill(database, 2, hours_ago=47)
    assert found(database, rule) == []
    letters_rule = DeadLettersRule(when="dead_letters", count=3, **TOLD)
    assert found(database, letters_rule, dead=2) == []
    assert found(database, letters_rule, dead=3)[0][2].startswith("3 jobs are out of retries")


def test_each_thing_is_told_once_and_a_cooldown_gathers_what_comes_meanwhile(database):  # noqa: F811
    rule = UrgencyRule(when="urgency", **TOLD)
    watch = Watch((rule,), {})
    fill(database, 1, hot=True)
    assert len(raise_alerts(database, watch, NOW)) == 1
    for number in (2, 3):
        fill(database, number, hot=True)
    fill(database, 4, hot=True, business="c")
    (other,) = raise_alerts(database, watch, NOW + 60)
    assert [f.business for f in other.findings] == ["c"], "one business cools down, not all"
    (later,) = raise_alerts(database, watch, NOW + 15 * 60)
    assert len(later.findings) == 2
    assert raise_alerts(database, watch, NOW + 86400) == []
    with database.connect() as connection:
        waiting = letters(connection, "waiting")
        assert len(connection.execute(select(alerts)).all()) == 4
    assert [one.message.data["count"] for one in waiting] == [1, 1, 2]
    assert waiting[2].message.subject == "r: 2 alerts" and waiting[2].target == "ops"


def test_a_theme_that_stays_bad_is_told_again_the_next_day_not_before(database):  # noqa: F811
    watch = Watch((ThemeRule(when="theme", theme="staff", count=1, **TOLD),), {})
    fill(database, 1, theme="staff")
    assert [len(raise_alerts(database, watch, NOW + h * 3600)) for h in (0, 1, 23, 24)] == [
        1,
        0,
        0,
        1,
    ]


def test_no_alert_carries_the_words_of_the_customer(database):  # noqa: F811
    fill(database, 1, hot=True, theme="safety", text="Anna Lind hurt me with a spoon.")
    raise_alerts(database, Watch((UrgencyRule(when="urgency", **TOLD),), {}), NOW)
    with database.connect() as connection:
        (letter,) = letters(connection, "waiting")
    assert "Anna" not in letter.message.model_dump_json()


@pytest.fixture
def watched(settings, server, receiver):  # noqa: F811
    engine = open_database(settings)
    fill(engine, 1, hot=True, theme="safety", now=int(datetime.now(UTC).timestamp()))
    engine.dispose()
    (settings.home / "alerts.toml").write_text(
        f'[targets.ops]\nwebhook = "{receiver.url}"\nsecret = "{SECRET}"\n'
        '[[rules]]\nname = "danger"\nwhen = "urgency"\ntargets = ["ops"]\n'
        '[[rules]]\nname = "stuck"\nwhen = "dead_letters"\ntargets = ["ops"]\n'
    )
    return settings


def test_the_command_tests_runs_and_lists(watched, processes, receiver):  # noqa: F811
    told = processes.run("alerts", "test")
    assert "danger: urgency, to ops: 1 now" in told.stdout and "stuck: dead_letters" in told.stdout
    assert processes.run("alerts", "test", "--send", "ops").stdout == "ops: arrived\n"
    receiver.answers = [(503, {"retry-after": "1"})]
    watching = processes.beyond("alerts", "run", "--every", "1")
    assert wait_until(lambda: len(receiver.seen) == 3, 60), "a test, a failed try, a second try"
    watching.send_signal(signal.SIGTERM)
    assert watching.wait(30) == 0
    headers, body = receiver.seen[-1]
    assert Webhook(SECRET).verify(body, headers)["data"]["rule"] == "danger"
    assert headers["webhook-id"] == receiver.seen[-2][0]["webhook-id"]
    assert "danger  new  b, 2/5" in processes.run("alerts", "list").stdout
    assert processes.run("alerts", "run", "--once").stdout.startswith("0 alerts raised, 0 messages")


def test_a_dead_letter_can_be_sent_again(watched, processes, receiver):  # noqa: F811
    receiver.answers = [(410, {})]
    assert "1 tries failed" in processes.run("alerts", "run", "--once").stdout
    assert (
        "ops  dead  1 tries  127.0.0.1 answered HTTP 410"
        in processes.run("alerts", "letters").stdout
    )
    assert processes.run("alerts", "letters", "--retry").stdout.startswith("1 messages")
    assert "1 messages sent" in processes.run("alerts", "run", "--once").stdout
