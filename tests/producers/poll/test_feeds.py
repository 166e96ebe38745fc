"""RSS and Atom as they are found: dates, markup, encodings, damage."""

from __future__ import annotations

import pytest

from producers.poll.pages import plain, value_of
from shared.errors import Malformed
from tests.producers.poll.conftest import reply

RSS = """<?xml version="1.0" encoding="ISO-8859-1"?>
<rss version="2.0" xmlns:content="http://purl.org/rss/1.0/modules/content/"><channel><title>Reviews</title>
<item><guid>r1</guid><title>Cold caf\xe9</title><link>https://shop.example/r1</link>
<pubDate>Sun, 01 Mar 2026 13:00:00 +0100</pubDate><author>a@b.example (Ann)</author>
<description>Short.</description>
<content:encoded><![CDATA[<p>The soup was <b>cold</b>.</p><script>x()</script><p>Caf\xe9 &amp; bar<br>closed.</p>]]></content:encoded></item>
<item><guid>r2</guid><title>Fine</title><description>Plain &amp; simple</description></item>
</channel></rss>"""
ATOM = """<?xml version="1.0" encoding="utf-8"?>
<feed xmlns="http://www.w3.org/2005/Atom" xmlns:im="http://itunes.apple.com/rss"><title>t</title>
<entry><id>a1</id><title>Meh</title><updated>2026-03-02T10:00:00-07:00</updated><im:rating>2</im:rating>
<author><name>Ann</name></author><content type="text">It crashes.</content></entry></feed>"""


def test_rss_with_markup_and_another_encoding():
    first, second = value_of("feed", RSS.encode("latin-1"), {"content-type": "text/xml"})["entries"]
    assert first["text"] == "The soup was cold.\nCafé & bar\nclosed."
    assert (first["title"], first["published"]) == ("Cold café", "2026-03-01T12:00:00+00:00")
    assert second["text"] == "Plain & simple" and second["published"] is None


def test_atom_with_elements_of_its_own():
    (entry,) = value_of("feed", ATOM.encode(), {})["entries"]
    assert (entry["id"], entry["text"], entry["im_rating"]) == ("a1", "It crashes.", "2")
    assert entry["updated"] == "2026-03-02T17:00:00+00:00" and entry["author"] == "Ann"


@pytest.mark.parametrize("body", [b"", b"<html><body>Sorry</body></html>", b"{}", b"\xff\xfe\x00"])
def test_what_is_no_feed_is_malformed(body):
    with pytest.raises(Malformed, match="no RSS or Atom"):
        value_of("feed", body, {})


def test_a_body_is_never_taken_for_a_file_or_an_address(tmp_path):
    (tmp_path / "feed.xml").write_text(ATOM)
    with pytest.raises(Malformed):
        value_of("feed", str(tmp_path / "feed.xml").encode(), {})


def test_entities_are_not_expanded_into_files_or_gigabytes(tmp_path):
    (tmp_path / "secret").write_text("hush")
    declared = f'<!DOCTYPE x [<!ENTITY e SYSTEM "file://{tmp_path}/secret">]>'
    evil = ATOM.replace("<feed", declared + "<feed").replace("It crashes.", "&e;")
    assert "hush" not in str(value_of("feed", evil.encode(), {}))
    lol = "".join(f'<!ENTITY l{n + 1} "{f"&l{n};" * 10}">' for n in range(9))
    bomb = ATOM.replace("<feed", f'<!DOCTYPE x [<!ENTITY l0 "lol">{lol}]><feed')
    assert len(str(value_of("feed", bomb.replace("It crashes.", "&l9;").encode(), {}))) < 10_000


@pytest.mark.parametrize(
    "markup, text",
    [
        ("a < b", "a < b"),
        ("5 &lt; 6", "5 < 6"),
        ("<p>a</p>\n<p>b</p>", "a\nb"),
        ("<style>p{}</style>x", "x"),
        ("one<br/>two", "one\ntwo"),
    ],
)
def test_markup_becomes_what_a_reader_sees(markup, text):
    assert plain(markup) == text


def test_a_feed_needs_no_mapping_to_be_polled(polled, config, played, store):
    played.answer = lambda *_: reply(ATOM.encode(), Content_Type="application/atom+xml")
    path = config(fields='format = "feed"')
    assert polled.turn(path).counts.outcomes == {"new": 1}
    review = next(iter(store.all()))[0]
    assert (review.text, review.title, review.external_id) == ("It crashes.", "Meh", "a1")


def test_a_feeds_own_elements_can_be_mapped_and_an_entry_without_a_date_is_rejected(polled, config, played, store):  # fmt: skip
    played.answer = lambda *_: reply(ATOM.encode())
    path = config(fields='format = "feed"\n[sources.blog.fields]\nrating = "$.im_rating"')
    polled.turn(path)
    assert next(iter(store.all()))[0].rating == 2
    played.answer = lambda *_: reply(RSS.encode("latin-1"))
    assert polled.turn(path).counts.rejected == 1
