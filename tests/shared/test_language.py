from __future__ import annotations

from datetime import UTC, datetime

import pytest

from shared.language import detect, language_of, why_not_read
from shared.review import Review

ELSEWHERE = [
    ("es", "La comida estaba fría y el camarero fue muy grosero con nosotros."),
    ("es", "Nunca llegó el paquete y nadie contesta el teléfono."),
    ("de", "Das Zimmer war schmutzig und das Personal unfreundlich."),
    ("de", "Leider kam die Lieferung zwei Wochen zu spät an."),
    ("fr", "Le serveur était désagréable et les plats sont arrivés froids."),
    ("fr", "Très déçu, la robe ne correspond pas à la photo."),
    ("it", "Il bagno era sporco e la colazione pessima."),
    ("pt", "Produto chegou quebrado e não devolvem o dinheiro."),
    ("nl", "Het eten was koud en we moesten een uur wachten."),
    ("ru", "Еда была холодной, а официант грубил."),
    ("ja", "料理が冷めていて、店員の態度も悪かった。"),
    ("zh", "房间很脏,服务态度很差。"),
]
ENGLISH = [
    "The carne asada burrito was cold and the salsa verde tasted of nothing.",
    "Très chic place, great tacos, but the maître d' ignored us for an hour.",
    "We had the Wiener Schnitzel with Sauerkraut and a Hefeweizen; all of it was stale.",
    "Guten Appetit, they said, and then nobody came for forty minutes.",
    "Terrible!!! I asked for Señor Garcia and got hung up on twice 😡😡",
]
NOBODYS = [
    "Bad.",
    "Great!",
    "ok",
    "Meh",
    "gr8 app",
    "RIP",
    "lol",
    "No refund!!!",
    "5 stars",
    "😡😡😡",
]


@pytest.mark.parametrize(("code", "text"), ELSEWHERE)
def test_reviews_in_other_languages_are_recognised(code, text):
    assert detect(text) == code


@pytest.mark.parametrize("text", ENGLISH)
def test_english_with_foreign_dishes_stays_english(text):
    assert detect(text) in ("en", None)


@pytest.mark.parametrize("text", NOBODYS)
def test_what_is_too_short_to_tell_has_no_language(text):
    assert detect(text) in ("en", None)


def test_text_that_is_no_valid_unicode_has_no_language_and_harms_nobody():
    assert detect("\ud800\udfff" * 20 + "\x00\u200d\u2028") is None


def test_the_text_tells_more_than_the_platform():
    assert language_of(ELSEWHERE[0][1], "en") == "es"
    assert language_of("Bad.", "pt-BR") == "pt"
    assert language_of("Bad.", "nonsense") is None


def test_a_model_says_what_it_does_not_read_and_reads_what_is_not_sure():
    assert why_not_read("es", ("en",)) == "written in Spanish: this model reads English"
    assert why_not_read("en", ("en",)) is None
    assert why_not_read(None, ("en",)) is None
    assert why_not_read("es", ()) is None


def test_neither_id_nor_version_nor_the_size_of_a_record_depends_on_an_unknown_language():
    when = datetime(2026, 3, 1, tzinfo=UTC)
    plain = Review(source="shop", text="Muy mal servicio", created_at=when)
    known = Review(source="shop", text="Muy mal servicio", created_at=when, language="es")
    assert (plain.id, plain.version) == (known.id, known.version)
    assert "language" not in plain.model_dump_json() and '"es"' in known.model_dump_json()
