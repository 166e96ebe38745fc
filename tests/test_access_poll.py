"""A poller under the producer's user does its whole job and is never refused."""

from __future__ import annotations

from shared.stream.polling import Turns, Wanted
from shared.stream.store import Store
from tests.conftest import wait_until
from tests.producers.poll.accounts import PLACE, account, business_review, with_token
from tests.producers.poll.conftest import played, reply  # noqa: F401
from tests.test_access import as_role, client, refusals, run, url  # noqa: F401


def test_a_poller_does_its_whole_job_as_a_producer(client, as_role, played, tmp_path):  # noqa: F811
    """Pages, cursor, reviews that a notification only named, and a warning that comes and goes."""
    admin, producer = client("admin"), as_role("producer")
    store, names = Store(admin), Wanted(client("producer"))
    before = store.counts()["stored"]
    sources = tmp_path / "sources.toml"
    sources.write_text(
        f'[sources.google-business]\nconnector = "google-business"\nsecret_file = "account"\n'
        f'every_seconds = 60\nvalues = {{base = "{played.url}", account_id = "1", location_id = "2"}}\n'
    )
    (tmp_path / "account").write_text(account(played))
    listed = [business_review(PLACE + name, f"Listed {name}.") for name in ("a", "b")]

    def answer(path, *_):  # type: ignore[no-untyped-def]
        if path.endswith("/reviews"):
            return reply({"reviews": listed})
        return reply(business_review(path.removeprefix("/v4/"), "Waited an hour."))

    admin.acl_log_reset()
    told = ("poll", "--config", str(sources))
    environment = {"BEYOND_REDIS_URL": producer.url}
    played.answer = lambda *_: reply({}, 403)
    assert producer.run(*told, "--once", **environment).returncode == 2
    assert store.warnings().keys() == {"poll google-business"}
    names.add([("google-business", PLACE + "c")], 5)
    assert "1 reviews named" in run(producer, *told, "list")
    played.answer = with_token(played, answer)
    running = producer.beyond("poll", BEYOND_SOURCES=str(sources), **environment)
    assert wait_until(lambda: store.counts()["stored"] == before + 3 and not store.warnings(), 60)
    assert wait_until(lambda: not Turns(admin).standing("google-business").busy, 60)
    running.terminate()
    assert running.wait(30) == 0
    assert not admin.zcard("b:wanted:google-business")
    listed.append(business_review(PLACE + "d", "Listed d.", "2026-04-01T00:00:00Z"))
    assert "1 new" in run(producer, *told, "--once")
    assert "failed" not in run(producer, *told, "list")
    assert not refusals(admin)
