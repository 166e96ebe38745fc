"""Users of the server: each role does its whole job with its own password, and no other's."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatch

import httpx
import pytest
import redis

from shared.errors import TemporaryFailure
from shared.settings import Settings
from shared.stream import access
from shared.stream.store import Store
from tests.conftest import CACHE, ROOT, Processes, free_port, make_review, wait_until
from tests.servers import guarded_server

SAMPLES = ROOT / "producers" / "samples" / "reviews.jsonl"

PARTS = ("shared", "producers", "workers", "trainer", "consumers")


@pytest.fixture(scope="module")
def url(tmp_path_factory):  # type: ignore[no-untyped-def]
    with guarded_server(tmp_path_factory.mktemp("guarded")) as found:
        yield found


@pytest.fixture
def client(url):  # type: ignore[no-untyped-def]
    """A connection as a role."""
    return lambda role: redis.Redis.from_url(url(role))


@pytest.fixture
def as_role(url, tmp_path):  # type: ignore[no-untyped-def]
    """Processes of a role, with a home of their own: nothing but the server is shared."""
    running = []

    def start(role: str) -> Processes:
        home = tmp_path / role
        found = Processes(Settings(home=home, cache=CACHE, redis_url=url(role)))
        found.url = url(role)  # type: ignore[attr-defined]
        running.append(found)
        return found

    yield start
    for found in running:
        found.stop()


def refusals(admin):  # type: ignore[no-untyped-def]
    return {(e["username"], e["reason"], e["object"]) for e in admin.acl_log()}


def run(role, *arguments, **extra):  # type: ignore[no-untyped-def]
    done = role.run(*arguments, BEYOND_REDIS_URL=role.url, **extra)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_each_role_does_its_whole_job_and_is_never_refused(url, client, as_role):
    admin = client("admin")
    admin.acl_log_reset()
    producer, worker, reader = as_role("producer"), as_role("worker"), as_role("reader")
    assert "30 new" in run(producer, "backfill", str(SAMPLES))
    port = free_port()
    producer.beyond("webhook", "--port", str(port), BEYOND_REDIS_URL=producer.url)
    at = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        try:
            return httpx.get(f"{at}/readyz").status_code == 200
        except httpx.TransportError:
            return False

    assert wait_until(ready, 60)
    told = {"Authorization": "Bearer secret"}
    body = {"text": "The soup was cold.", "created_at": "2026-03-01", "external_id": "x"}
    answers = [
        httpx.post(f"{at}/reviews", json={**body, **more}, headers=told).json()["status"]
        for more in ({}, {}, {"text": "The soup was warm.", "created_at": "2026-04-01"})
    ]
    assert answers == ["new", "same", "updated"]
    assert "beyond_webhook_seconds" in httpx.get(f"{at}/metrics").text
    running = worker.beyond("work", BEYOND_REDIS_URL=worker.url, BEYOND_KEEP_DAYS="3650")
    store = Store(admin)
    assert wait_until(lambda: store.counts()["analysed"] == 31, 120)
    assert json.loads(run(reader, "status", "--json"))["reviews"] == {"stored": 31, "analysed": 31}
    running.terminate()
    assert running.wait(60) == 0
    assert "Insights" in run(reader, "insights")
    exported = run(reader, "export").splitlines()
    assert len(exported) == 31
    assert json.loads(run(reader, "show", json.loads(exported[0])["id"]))["analysis"]
    assert not run(reader, "failed", "list")
    assert "30 rows" in run(producer, "backfill", str(SAMPLES))
    assert not refusals(admin)


def test_a_schedule_trains_and_samples_with_the_trainers_rights(client, as_role):
    """Without a teacher the training ends as a dead letter: claimed, locked, sampled and settled all the same."""
    admin = client("admin")
    store, trainer = Store(admin), as_role("trainer")
    store.put(
        [make_review(i, text=f"The soup was cold, {i}.") for i in range(100, 140)], "backfill"
    )
    admin.acl_log_reset()
    trainer.beyond(
        "schedule", "--every", "10", "--poll", "0.2",
        BEYOND_REDIS_URL=trainer.url, BEYOND_TEACHER="file:nowhere.jsonl",
    )  # fmt: skip
    assert wait_until(lambda: admin.zcard("rq:failed:training") > 0, 120)
    assert not refusals(admin)
    samples = Store(client("trainer")).all()
    assert len(list(samples)) >= 40


def test_a_dead_letters_reviews_are_not_the_producers_to_see(client):
    """Jobs carry ids alone, and a producer replaces its own review's job."""
    store = Store(client("producer"))
    assert store.put([make_review(900)]) == ["new"]
    assert store.put([make_review(900, text="Changed.")]) == ["updated"]
    assert store.known([make_review(900), make_review(900, text="Changed.")]) == [False, True]
    assert store.delete([make_review(900).id]) == 1


@pytest.fixture(scope="module")
def filled(url):  # type: ignore[no-untyped-def]
    """A stored review's id, with a job that waits for it."""
    store = Store(redis.Redis.from_url(url("admin")))
    store.put([make_review(800)])
    return make_review(800).id


READING = [
    "GET b:r:{id}",
    "MGET b:r:{id}",
    "GETRANGE b:r:{id} 0 -1",
    "GETDEL b:r:{id}",
    "GETEX b:r:{id}",
    "SET b:r:{id} x GET",
    "SETRANGE b:r:{id} 0 x",
    "GETBIT b:r:{id} 80",
    "BITFIELD_RO b:r:{id} GET u8 72",
    "LCS b:r:{id} b:v:{id}",
    "DUMP b:r:{id}",
    "COPY b:r:{id} b:v:copy",
    "RENAME b:r:{id} b:v:copy",
    "BITOP OR b:v:copy b:r:{id}",
    "OBJECT ENCODING b:r:{id}",
    "GET b:a:{id}",
    "SORT b:v:list BY nosort GET b:r:*",
    "SORT_RO b:v:list BY nosort GET b:r:*",
    "MIGRATE 127.0.0.1 1 b:r:{id} 0 100 COPY",
]
LISTING = [
    "SCAN 0", "KEYS *", "RANDOMKEY", "DBSIZE", "SMEMBERS b:day:20513", "SSCAN b:day:20513 0",
    "SRANDMEMBER b:day:20513", "SPOP b:day:20513", "LRANGE rq:queue:live 0 -1",
    "LINDEX rq:queue:live 0", "HGETALL rq:job:{id}-live-0",
]  # fmt: skip
TAKING = [
    "LPOP rq:queue:live", "RPOP rq:queue:live", "BLPOP rq:queue:live 1", "LREM rq:queue:live 1 x",
    "LMOVE rq:queue:live b:wake:live LEFT LEFT", "RPOPLPUSH rq:queue:live b:wake:live",
    "LTRIM rq:queue:live 1 0", "DEL rq:queue:live", "ZADD rq:wip:live 1 x",
    "RPUSH rq:queue:training x", "HSET rq:worker:x a b", "PUBLISH rq:pubsub:x shutdown-worker",
]  # fmt: skip
RULING = [
    "FLUSHALL", "FLUSHDB", "CONFIG GET *", "CONFIG SET dir /tmp", "SCRIPT FLUSH", "SCRIPT KILL",
    "FUNCTION FLUSH", "FUNCTION LOAD x", "SHUTDOWN NOSAVE", "MONITOR", "ACL LIST",
    "ACL SETUSER producer +@all", "ACL WHOAMI", "CLIENT LIST", "CLIENT KILL ID 1", "SAVE", "BGSAVE",
    "BGREWRITEAOF", "REPLICAOF NO ONE", "SLAVEOF 127.0.0.1 1", "MODULE LIST", "SLOWLOG GET",
    "SWAPDB 0 1", "LATENCY RESET", "PSYNC ? -1", "SYNC", "FAILOVER",
]  # fmt: skip
WRITING = [
    "SET b:r:{id} x", "SET other x", "DEL b:r:{id}", "UNLINK b:r:{id}", "APPEND b:r:{id} x",
    "EXPIRE b:r:{id} 1", "PERSIST b:r:{id}", "HSET b:stats stored 0", "HDEL b:stats stored",
    "INCR b:rate:1", "SADD b:day:1 x", "SREM b:day:20513 {id}", "RPUSH rq:queue:live x",
    "ZADD rq:failed:live 1 x", "XADD b:feed * a b", "XTRIM b:feed MAXLEN 0", "XDEL b:feed 0-1",
    "PFADD b:v:x a", "RESTORE b:v:x 0 x", "SORT b:sizes STORE b:v:x",
    "EVAL return(redis.call('SET','b:r:{id}','x')) 0", "EVAL return(redis.call('DEL','b:r:{id}')) 0",
]  # fmt: skip
REFUSALS = ("no permissions", "No permissions", "ACL failure in script", "not allowed from script")


def let_through(client, commands, review_id):  # type: ignore[no-untyped-def]
    """Those of `commands` that were not refused for want of rights; what fails otherwise was let through."""
    out = []
    for text in commands:
        try:
            client.execute_command(*text.format(id=review_id).split())
            out.append(text)
        except redis.ResponseError as error:
            if not any(refusal in str(error) for refusal in REFUSALS):
                out.append(f"{text}: {error}")
    return out


def scripted(commands):  # type: ignore[no-untyped-def]
    """The same commands, each from within a script."""
    quoted = [",".join(f"'{word}'" for word in text.split()) for text in commands]
    return [f"EVAL return(redis.call({words})) 0" for words in quoted if "EVAL" not in words]


@pytest.mark.parametrize(
    "what", [READING, LISTING, TAKING, RULING], ids=["read", "list", "take", "rule"]
)
def test_a_stolen_producers_password_opens_no_text_takes_no_job_and_rules_nothing(
    client, filled, what
):
    assert not let_through(client("producer"), [*what, *scripted(what)], filled)


@pytest.mark.parametrize("what", [WRITING, TAKING, RULING], ids=["write", "take", "rule"])
def test_a_stolen_readers_password_writes_nothing(client, filled, what):
    assert not let_through(client("reader"), [*what, *scripted(what)], filled)


def test_a_worker_and_a_trainer_rule_nothing_either(client, filled):
    for role in ("worker", "trainer"):
        assert not let_through(client(role), RULING, filled)
    writes = [
        "SET b:r:{id} x",
        "DEL b:r:{id}",
        "SET b:a:{id} x",
        "LPOP rq:queue:live",
        "HSET b:stats stored 0",
    ]
    assert not let_through(client("trainer"), writes, filled)
    assert not let_through(
        client("worker"), ["LPOP rq:queue:training", "SET b:training:lock x"], filled
    )


def test_the_record_puts_dead_letters_back_and_writes_no_review_and_plans_no_training(
    client, filled
):
    plans = ["RPUSH rq:queue:training x", "ZREM rq:failed:training x", "SET b:training:lock x"]
    assert not let_through(client("record"), [*RULING, *plans], filled)
    writes = ["SET b:r:{id} x", "DEL b:r:{id}", "SET b:a:{id} x", "LPOP rq:queue:live"]
    assert not let_through(client("record"), writes, filled)


def test_every_key_that_the_code_writes_is_one_that_a_role_may_write():
    """A new key needs its grant in access.py: under separate users nothing else could write it."""
    code = "".join(
        p.read_text()
        for part in PARTS
        for p in (ROOT / part).rglob("*.py")
        if p.name != "access.py"
    )
    granted = re.findall(
        r"(?<!R)~(\S+)", " ".join(f" {g}" for gs in access.ROLES.values() for g in gs)
    )
    keys = set(re.findall(r"""["'](b:[a-z]+(?::|\b))""", code))
    assert len(keys) > 8
    missing = {k for k in keys if not any(fnmatch(k, g) or g.startswith(k) for g in granted)}
    assert not missing, f"shared/stream/access.py grants nobody {missing}"


def test_the_file_holds_no_password_and_a_weak_one_is_refused(tmp_path, processes):
    path = tmp_path / "users.acl"
    done = processes.run("acl", "--out", str(path))
    assert done.returncode == 0 and path.stat().st_mode & 0o777 == 0o600
    told = dict(re.findall(r"(\w+): BEYOND_REDIS_URL=redis://\w+:(\S+)@", done.stderr))
    assert set(told) == set(access.NAMES)
    assert not [word for word in told.values() if word in path.read_text()]
    weak = processes.run("acl", BEYOND_ROLE_PASSWORDS=json.dumps({**told, "reader": "short"}))
    assert weak.returncode == 2 and "reader need a password of at least 16" in weak.stderr


def test_an_unprepared_server_tells_the_producer_what_to_do(client, url):
    admin = client("admin")
    admin.delete("b:heads")
    with pytest.raises(TemporaryFailure, match="beyond acl --prepare"):
        Store(client("producer")).put([make_review(901)])
    assert access.prepare(admin) == len(list(Store(admin).all()))
    assert Store(client("producer")).put([make_review(901)]) == ["new"]


def test_the_attempts_above_would_succeed_with_the_admins_password(client, filled):
    """Otherwise a misspelt command would pass for a refused one."""
    some = [*READING[:8], *LISTING, "LRANGE rq:queue:live 0 -1", "CONFIG GET *", "SET other x"]
    assert set(let_through(client("admin"), some, filled)) >= set(some)


def test_nobody_comes_in_without_a_password(url):
    at = url("admin").rsplit("@", 1)[1]
    for login in ("", "producer:wrong@", "default:@"):
        with pytest.raises((redis.AuthenticationError, redis.exceptions.NoPermissionError)):
            redis.Redis.from_url(f"redis://{login}{at}").get("b:stats")
    health = redis.Redis.from_url(f"redis://health:x@{at}")
    with pytest.raises(redis.exceptions.NoPermissionError):
        health.get("b:stats")
