"""Replies are asked for, drafted, edited, approved, copied, on SQLite and PostgreSQL; the guard holds what may not leave."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from consumers.record.database import open_database, writing
from consumers.record.project import apply
from consumers.record.schema import history, replies
from consumers.record.scope import Scope, owner_scope
from consumers.record.stored import one
from consumers.replies import drafts
from consumers.replies.courier import Courier
from shared.errors import Conflict, Forbidden, InvalidRequest, NotFound
from shared.replies.compose import NoReply, Voice, compose
from shared.review import Analysis
from shared.stream.replies import Replies
from tests.conftest import EPOCH, make_review, wait_until
from tests.consumers.record.conftest import database, postgresql, record_settings  # noqa: F401
from tests.consumers.replies.desk import Desk
from tests.consumers.replies.test_compose import analysis_of
from workers.replies import Replier

OWNER = owner_scope()
NOW = 1_790_000_000
SOON = int(EPOCH.timestamp()) + 3600


def urgent(analysis: Analysis) -> Analysis:
    insight = analysis.insight
    assert insight is not None
    return analysis.model_copy(update={"insight": insight.model_copy(update={"urgency": "high"})})


@pytest.fixture
def desk(database, store):  # noqa: F811
    return Desk(database, store, Replies(store.connection))


@pytest.fixture
def reviewed(desk):
    """(desk, id) of one analysed review of business `b`."""
    review = make_review(1)
    problem = ("quality", "Food was cold when it was served.")
    desk.has((review, analysis_of(review, problem)))
    return desk, review.id


def test_a_review_comes_back_whole_from_the_record(database):  # noqa: F811
    review = make_review(1).model_copy(update={"category": "food", "language": "en"})
    found = analysis_of(review, ("price", None))
    with writing(database) as connection:
        apply(connection, [(review, found)])
        assert one(connection, OWNER, review.id) == (review, found)
        assert one(connection, Scope("x", business="another"), review.id) is None


def test_a_reply_is_drafted_edited_approved_and_copied(reviewed):
    desk, review_id = reviewed
    first = desk.draft(review_id)
    with writing(desk.engine) as connection:
        assert (first.state, first.written_by, first.text) == ("draft", "composed-1", first.draft)
        edited = drafts.edit(connection, OWNER, review_id, " Thank you, we read it. ", NOW + 1)
        assert (edited.state, edited.text) == ("edited", "Thank you, we read it.")
        assert edited.draft == first.draft, "what the composer wrote stays beside it"
        asked = drafts.ask(connection, OWNER, desk.replies, review_id)
        assert asked == edited and desk.replies.wanted(review_id) is None, "never overwritten"
        with pytest.raises(Conflict, match="approve"):
            drafts.mark_copied(connection, OWNER, review_id, NOW + 3)
        assert (
            drafts.approve(connection, Scope("ann", "write"), review_id, NOW + 4).state
            == "approved"
        )
        assert drafts.mark_copied(connection, OWNER, review_id, NOW + 5).state == "copied"
        assert drafts.edit(connection, OWNER, review_id, "Thank you.", NOW + 6).state == "edited"
    with desk.engine.connect() as connection:
        told = connection.execute(select(history.c.what, history.c.value, history.c.by)).all()
    assert [tuple(row) for row in told] == [
        ("reply", "edited", "owner"),
        ("reply", "approved", "ann"),
        ("reply", "copied", "owner"),
        ("reply", "edited", "owner"),
    ]


def test_what_breaks_a_rule_can_be_kept_but_not_approved(reviewed):
    desk, review_id = reviewed
    with writing(desk.engine) as connection:
        drafts.edit(connection, OWNER, review_id, "We will refund you. Our fault.", NOW)
        with pytest.raises(InvalidRequest, match="money.*refund.*fault"):
            drafts.approve(connection, OWNER, review_id, NOW)
        drafts.edit(connection, OWNER, review_id, "We are looking into it.", NOW)
        assert drafts.approve(connection, OWNER, review_id, NOW).state == "approved"


def test_a_new_voice_rewords_what_nobody_touched(reviewed):
    desk, review_id = reviewed
    first = desk.draft(review_id)
    with writing(desk.engine) as connection:
        drafts.set_voice(connection, OWNER, "b", Voice("formal", "The owner, 555 0123 4567"))
    second = desk.draft(review_id)
    with writing(desk.engine) as connection:
        assert second.text.endswith("\n\nThe owner, 555 0123 4567") and second.text != first.text
        assert drafts.approve(connection, OWNER, review_id, NOW).state == "approved"
        with pytest.raises(InvalidRequest, match="tone"):
            drafts.set_voice(connection, OWNER, "b", Voice("loud"))  # type: ignore[arg-type]


def test_a_reader_may_not_write_nor_another_business_see(reviewed):
    desk, review_id = reviewed
    with pytest.raises(Forbidden):
        desk.draft(review_id, Scope("eve", "read"))
    with pytest.raises(NotFound):
        desk.draft(review_id, Scope("eve", "write", "another"))
    assert desk.replies.wanted(review_id) is None
    with writing(desk.engine) as connection:
        with pytest.raises(Forbidden):
            drafts.set_voice(connection, Scope("eve", "write", "another"), "b", Voice())
        with pytest.raises(NotFound):
            drafts.approve(connection, OWNER, review_id, NOW)


def test_a_waiting_or_foreign_review_gets_no_reply(desk):
    german = make_review(2).model_copy(update={"language": "de"})
    desk.has((make_review(1), None), (german, analysis_of(german)))
    with pytest.raises(NoReply, match="waits"):
        desk.draft(make_review(1).id)
    with pytest.raises(NoReply, match="English only"):
        desk.draft(german.id)


def test_a_review_that_the_record_has_in_an_older_version_waits_as_well(reviewed):
    desk, review_id = reviewed
    desk.store.put([make_review(1, "The soup was warm.")])
    with pytest.raises(NoReply, match="waits"):
        desk.draft(review_id)


def test_urgent_reviews_get_a_draft_by_themselves_and_people_keep_theirs(desk):
    calm, hot, german, old = (make_review(n) for n in (1, 2, 3, 5))
    old = old.model_copy(update={"created_at": EPOCH - timedelta(days=40)})
    german = german.model_copy(update={"language": "de"})
    pairs = [(calm, analysis_of(calm)), (make_review(4), None)]
    pairs += [(r, urgent(analysis_of(r, ("safety", None)))) for r in (hot, german, old)]
    desk.has(*pairs)
    with writing(desk.engine) as connection:
        assert drafts.ask_urgent(desk.replies, connection, pairs, SOON) == 1
    assert desk.written() == 1
    with writing(desk.engine) as connection:
        assert drafts.ask_urgent(desk.replies, connection, pairs, SOON) == 1
    assert desk.written() == 0, "written anew, it is the same"
    with writing(desk.engine) as connection:
        drafts.edit(connection, OWNER, hot.id, "Thank you.", NOW)
        assert drafts.ask_urgent(desk.replies, connection, pairs, SOON) == 0
        assert connection.scalars(select(replies.c.text)).all() == ["Thank you."]


def test_a_person_who_writes_while_the_worker_does_is_not_overwritten(reviewed):
    desk, review_id = reviewed
    with writing(desk.engine) as connection:
        assert drafts.ask(connection, OWNER, desk.replies, review_id) is None
        drafts.edit(connection, OWNER, review_id, "Mine.", NOW)
    assert desk.written() == 0
    with desk.engine.connect() as connection:
        assert drafts.kept(connection, OWNER, review_id).text == "Mine."
    assert desk.replies.written() == 0, "the draft does not lie about for ever"


def test_a_draft_whose_review_was_erased_from_the_record_is_not_kept(reviewed):
    desk, review_id = reviewed
    with desk.engine.connect() as connection:
        drafts.ask(connection, OWNER, desk.replies, review_id)
    Replier(desk.store, desk.replies).run([review_id])
    with writing(desk.engine) as connection:
        apply(connection, [], [review_id])
    assert Courier(desk.engine, desk.replies).bring() == 0
    with desk.engine.connect() as connection:
        assert connection.scalars(select(replies.c.text)).all() == []


def test_the_command_drafts_edits_and_refuses(settings, store, processes):
    review = make_review(1)
    found = analysis_of(review, ("waiting", None))
    engine = open_database(settings)
    Desk(engine, store, Replies(store.connection)).has((review, found))
    engine.dispose()
    nobody = processes.run("reply", review.id, "--wait", "0.1")
    assert nobody.returncode == 75 and "start `beyond work`" in nobody.stderr
    processes.worker()
    out = processes.run("reply", review.id)
    assert out.returncode == 0, out.stderr
    assert out.stderr.startswith("(draft, composed") and out.stdout.strip() == compose(
        review, found
    )
    told = processes.run("voice", "b", "--tone", "brief", "--signature", r"Ann\nCafé B")
    assert json.loads(told.stdout)["signature"] == "Ann\nCafé B"
    assert processes.run("reply", review.id).stdout.endswith("Ann\nCafé B\n")
    text = settings.home / "reply.txt"
    text.write_text("You get a full refund.")
    warned = processes.run("reply", review.id, "--edit", str(text))
    assert warned.returncode == 0 and "warning   money" in warned.stderr
    refused = processes.run("reply", review.id, "--edit", str(text), "--approve")
    assert refused.returncode == 2 and "money: no promise" in refused.stderr
    text.write_text("Thank you, we are on it.")
    done = processes.run("reply", review.id, "--edit", str(text), "--approve", "--json")
    assert json.loads(done.stdout)["state"] == "approved"


def test_what_the_feed_brings_is_drafted_where_it_is_urgent(settings, store, processes):
    """By the real projector and a real worker, which meet on the server only."""
    hot = make_review(1).model_copy(update={"created_at": datetime.now(UTC)})
    assert processes.run("record", "--once").returncode == 0, "from here on the feed tells"
    processes.beyond("record")
    store.put([hot, make_review(2)], "backfill")
    store.save([(hot, urgent(analysis_of(hot, ("safety", None))))])
    processes.worker()
    engine = open_database(settings)

    def kept():  # type: ignore[no-untyped-def]
        with engine.connect() as connection:
            return connection.execute(select(replies)).all()

    assert wait_until(lambda: len(kept()) == 1)
    (found,) = kept()
    engine.dispose()
    assert (found.review_id, found.state, found.updated_by) == (hot.id, "draft", "urgent")
    assert found.text == compose(hot, urgent(analysis_of(hot, ("safety", None))))
    assert wait_until(lambda: store.connection.hlen("b:drafts") == 0)
