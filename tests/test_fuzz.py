"""Fuzz targets: every reader and parser of what strangers send, on bytes and texts that hypothesis makes up.

A few dozen each in the suite; minutes by hand: BEYOND_FUZZ=20000 python -m pytest tests/test_fuzz.py
Only errors of ours may come out: whoever calls a reader reacts to those.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import time
import zlib

import pytest
import zstandard
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as bounded
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from producers.columns import ColumnReader
from producers.dates import DateReader
from producers.doorway import arrival, newest
from producers.formats import parse_map
from producers.intake import make_review
from producers.platforms import descriptions, platforms
from producers.platforms.events import Delivery
from producers.platforms.mapping import read_description
from producers.ratings import stars
from producers.readers import Bad, Source, rows
from shared.addressed import addresses_machine
from shared.errors import BeyondError, InvalidReview, Misconfigured, Unauthorized
from shared.inert import inert, inert_json
from shared.inference.leaving import why_not
from shared.inference.prompts import MAX_ISSUES, Unparsable, parse_issues, parse_text
from shared.language import language_of
from shared.privacy import redact
from shared.settings import Settings
from shared.stream.recovery import _review_ids

MANY = int(os.environ.get("BEYOND_FUZZ", 60))
pytestmark = pytest.mark.slow
fuzz = bounded(
    max_examples=MANY,
    deadline=None,
    database=None,
    phases=[Phase.generate],  # to shrink a file takes minutes
    suppress_health_check=list(HealthCheck),
)
WHSEC = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()
ALL = platforms(
    Settings(
        webhook_secret=SecretStr(WHSEC),
        platform_secrets={
            n: [SecretStr("a@b.example us" if n == "google-business" else WHSEC)]
            for n in descriptions(Settings())
        },
        tenants={"B": {"token": [SecretStr("t" * 20)], "judgeme": [SecretStr("j" * 20)]}},
    )
)

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40)
names = st.sampled_from(
    "id text rating created_at review body stars date source business author url title data events "
    "eventName eventData resource event external_id language category user_id useful dated label "
    "review_id business_id asin".split()
) | st.text(max_size=12)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=6),
    max_leaves=20,
)
records = st.dictionaries(names, values, max_size=10)
lines = st.lists(
    st.one_of(
        st.binary(max_size=80),
        records.map(lambda r: json.dumps(r).encode()),
        st.lists(st.text(max_size=20), max_size=6).map(
            lambda r: ",".join(r).encode("utf-8", "replace")
        ),
    ),
    max_size=12,
).map(b"\n".join)
heads = st.sampled_from(
    [
        b"",
        b"\xef\xbb\xbf",
        b"text,rating,created_at\n",
        b'"text";"rating"\n',
        b"PAR1",
        b"{",
        b"[",
        b"review_id,text,stars,date\n",
        b"label,text\n",
        b"asin,text,rating\n",
        b"text\n",
    ]
)
packed = st.sampled_from(
    [
        lambda b: b,
        gzip.compress,
        zstandard.compress,
        lambda b: gzip.compress(b)[:-5],
        lambda b: b"\x1f\x8b" + b,
    ]
)
# What people and attackers write: words, marks, repeats (regular expressions hate repeats).
prose = st.one_of(
    st.text(max_size=300),
    st.builds(lambda part, n: part * n, st.text(min_size=1, max_size=6), st.integers(1, 3000)),
    st.lists(
        st.sampled_from(["evidence: ", "theme: staff", "problem: ", "action: ", "\n", "none", "write ", "only ", "ignore ", "@", "+49 30 ", "4111 1111 ", "=", "<", ">>>", "é"]) | st.text(max_size=8),
        max_size=60,
    ).map("".join),
)  # fmt: skip


@fuzz
@given(
    head=heads,
    body=lines,
    pack=packed,
    end=st.sampled_from(["", ".csv", ".jsonl", ".gz", ".zst", ".parquet"]),
)
def test_any_file_is_read_to_its_end_or_refused_with_a_reason(
    tmp_path_factory, head, body, pack, end
):
    path = tmp_path_factory.mktemp("f", numbered=True) / f"reviews{end}"
    path.write_bytes(pack(head + body))
    try:
        source = Source(str(path))
        columns = ColumnReader(source)
        for number, row in rows(source):
            assert number >= 1
            if isinstance(row, Bad):
                assert row.reason
                continue
            try:
                fields = columns(row)
                make_review({"source": "file", **fields}, b"key")
            except BeyondError:
                pass
    except BeyondError as error:
        assert str(error)


@fuzz
@given(
    name=st.sampled_from(sorted(ALL)), body=lines | records.map(lambda r: json.dumps(r).encode())
)
def test_any_delivery_is_events_or_refused(name, body):
    try:
        events = ALL[name].parse(Delivery({}, body))
        newest([arrival(event, b"key") for event in events])
    except (InvalidReview, Unauthorized):
        pass


@fuzz
@given(
    name=st.sampled_from(sorted(ALL)),
    body=st.binary(max_size=200),
    headers=st.dictionaries(
        st.sampled_from(
            ["authorization", "webhook-id", "webhook-timestamp", "webhook-signature", "svix-id", "svix-timestamp",
             "svix-signature", "judgeme-v1-signature", "x-shopify-hmac-sha256", "x-stamped-webhook-secret"]
        ),
        st.text(max_size=60) | st.just(str(int(time.time()))) | st.just("Bearer é") | st.just("v1,"),
    ),
    key=st.text(max_size=20),
)  # fmt: skip
def test_any_proof_is_refused(name, body, headers, key):
    with pytest.raises(Unauthorized):
        ALL[name].verify(Delivery(headers, body, key))


@fuzz
@given(fields=records)
def test_any_fields_are_a_review_or_named_as_wrong(fields):
    try:
        review = make_review(fields, b"key")
    except InvalidReview as error:
        assert str(error)
    else:
        assert review.text and review.id


@fuzz
@given(value=values, order=st.booleans() | st.none())
def test_any_value_is_a_rating_a_date_or_refused(value, order):
    for read in (stars, DateReader(day_first=order)):
        try:
            read(value)
        except InvalidReview:
            pass


@fuzz
@given(text=prose)
def test_any_mapping_is_understood_or_refused(text):
    try:
        parse_map(text)
    except Misconfigured:
        pass


@fuzz
@given(
    body=prose
    | st.builds(
        lambda t: f'title = "x"\nchecked = "y"\n[verify]\nscheme = "hmac"\nheader = "h"\n{t}', prose
    )
)
def test_any_description_is_understood_or_refused(tmp_path_factory, body):
    path = tmp_path_factory.mktemp("d", numbered=True) / "shop.toml"
    path.write_text(body, "utf-8", errors="replace")
    try:
        read_description(path)
    except Misconfigured as error:
        assert "shop" in str(error)


@fuzz
@given(output=prose, review=prose)
def test_any_answer_is_parsed_or_unparsable_and_the_guard_decides(output, review):
    try:
        issues = parse_issues(output, review)
        assert len(issues) <= MAX_ISSUES
        assert all(review[i.start : i.end] == i.evidence for i in issues)
    except (Unparsable, ValidationError):
        pass
    try:
        why_not(parse_text(output), review, 5)
    except Unparsable:
        pass


@fuzz
@given(text=prose)
def test_no_text_keeps_a_pattern_busy(text):
    """20,000 characters are the most that a review has."""
    long = (text * (1 + 20_000 // max(1, len(text))))[:20_000]
    begun = time.process_time()
    addresses_machine(long)
    redact(long)
    language_of(long)
    assert time.process_time() - begun < 5, "a pattern that backtracks without end"


@fuzz
@given(text=st.text(max_size=400))
def test_what_is_shown_is_inert_and_loses_nothing_as_json(text):
    assert inert(inert(text)) == inert(text)
    told = json.dumps(text, ensure_ascii=False)
    assert json.loads(inert_json(told)) == text


@fuzz
@given(data=st.binary(max_size=200) | values.map(lambda v: zlib.compress(json.dumps(v).encode())))
def test_any_job_is_ids_or_none(data):
    assert all(isinstance(i, str) for i in _review_ids(data))


def test_a_bomb_of_zeros_is_read_in_constant_memory(tmp_path):
    """A line has a limit, however small the file is that unpacks into it."""
    path = tmp_path / "bomb.jsonl.gz"
    with gzip.GzipFile(path, "wb") as out:
        for _ in range(64):
            out.write(b"0" * (1 << 20))
    found = list(rows(Source(str(path))))
    assert found and all(isinstance(row, Bad) for _, row in found)
