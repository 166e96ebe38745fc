"""Replies under separate users: the record asks and takes, the worker writes, the producer clears away; no one does more."""

from __future__ import annotations

import pytest

from shared.errors import TemporaryFailure
from shared.stream import access, leases
from shared.stream.names import LIVE
from shared.stream.replies import Replies, Request
from shared.stream.store import Store
from tests.conftest import make_review
from tests.consumers.replies.test_compose import analysis_of
from tests.test_access import client, let_through, refusals, url  # noqa: F401
from workers.replies import Replier


@pytest.fixture
def review(client):  # type: ignore[no-untyped-def]  # noqa: F811
    """Stored and analysed, by users who may; no job waits."""
    found = make_review(1)
    access.prepare(client("admin"))
    Store(client("producer")).put([found])
    worker = client("worker")
    for lease in leases.claim(worker, LIVE, 9, execution="before", lease_seconds=60):
        leases.settle(worker, LIVE, [leases.Settled(lease.job_id, lease.entry)])
    Store(worker).save([(found, analysis_of(found, ("quality", None)))])
    client("admin").acl_log_reset()
    return found


def test_each_role_does_its_part_of_a_reply(client, review):  # noqa: F811
    record, worker = Replies(client("record")), Replies(client("worker"))
    request = Request(review.id, review.version, "warm", "", "ann")
    for _ in range(2):
        assert record.ask(request) and record.wanted(review.id).state == "being written"
    (job,) = leases.claim(client("worker"), LIVE, 9, execution="e", lease_seconds=60)
    assert Replier(Store(client("worker")), worker).run([review.id]) == [None]
    leases.settle(client("worker"), LIVE, [leases.Settled(job.job_id, job.entry)])
    assert record.written() == 1
    record.taken(record.drafts())
    assert record.wanted(review.id) is None
    assert worker.ask(request), "`beyond work` keeps the record as well"
    assert Store(client("producer")).put([make_review(1, "Warm.")]) == ["updated"]
    assert record.wanted(review.id) is None
    assert Store(client("producer")).delete([review.id]) == 1
    assert not refusals(client("admin"))


def test_to_ask_for_replies_opens_nothing_else(client, review):  # noqa: F811
    request = Request(review.id, review.version, "warm", "", "ann")
    for role in ("producer", "reader", "trainer"):
        with pytest.raises(TemporaryFailure, match="beyond acl"):
            Replies(client(role)).ask(request)
    beyond_it = [
        "LPOP rq:queue:live", "LREM rq:queue:live 1 x", "ZADD rq:wip:live 1 x", "DEL b:r:{id}",
        "SET b:r:{id} x", "SET b:a:{id} x", "RPUSH rq:queue:training x",
        "DEL b:replies", "ZADD rq:failed:live 1 x",
    ]  # fmt: skip
    assert not let_through(client("record"), beyond_it, review.id)
    assert not let_through(client("producer"), ["HGETALL b:drafts", "HGET b:replies x"], review.id)
