"""Full text of reviews: FTS5 on SQLite, tsvector with a GIN index on PostgreSQL. Words as written, no stemming.

Reviews come in many languages, so no language's endings are cut. The database keeps the index by
itself (triggers, a generated column), whoever writes a review. It does not know filters or pages.
"""

from __future__ import annotations

import re
import string
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Dialect,
    and_,
    column,
    false,
    func,
    literal_column,
    not_,
    or_,
    select,
    table,
    text,
    true,
)

from consumers.record.schema import reviews

_FTS = table("reviews_text", column("rowid"))
_SQLITE = """
CREATE VIRTUAL TABLE reviews_text USING fts5(
  title, text, content='reviews', content_rowid='number', tokenize='unicode61 remove_diacritics 2');
CREATE TRIGGER reviews_text_in AFTER INSERT ON reviews BEGIN
  INSERT INTO reviews_text(rowid, title, text) VALUES (new.number, new.title, new.text); END;
CREATE TRIGGER reviews_text_out AFTER DELETE ON reviews BEGIN
  INSERT INTO reviews_text(reviews_text, rowid, title, text)
    VALUES ('delete', old.number, old.title, old.text); END;
CREATE TRIGGER reviews_text_new AFTER UPDATE OF title, text ON reviews
  WHEN old.text IS NOT new.text OR old.title IS NOT new.title BEGIN
  INSERT INTO reviews_text(reviews_text, rowid, title, text)
    VALUES ('delete', old.number, old.title, old.text);
  INSERT INTO reviews_text(rowid, title, text) VALUES (new.number, new.title, new.text); END;
"""
# PostgreSQL's parser takes "slow.Never" for a host's name and "check-in" for three words: without
# punctuation it sees the words that FTS5 sees.
# (Not "%", which is a placeholder's sign to the driver, and a blank to that parser.)
_PUNCTUATION = string.punctuation.replace("%", "") + "’‘“”–—…"
_POSTGRESQL = f"""
ALTER TABLE reviews ADD COLUMN words tsvector GENERATED ALWAYS AS (to_tsvector('simple', translate(
  coalesce(title, '') || ' ' || text, '{_PUNCTUATION.replace("'", "''")}',
  '{" " * len(_PUNCTUATION)}'))) STORED;
CREATE INDEX reviews_words ON reviews USING gin(words);
"""
_STATEMENT = re.compile(r";\s*\n(?=CREATE|ALTER|$)")
# Thai, Lao, Burmese, Khmer, Japanese, Chinese: no blanks between words, so both indexes hold whole
# sentences, in which a word is not found. Reading the texts is slow, but finds it.
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
# A "quoted phrase" or a word; a minus before it excludes.
_TERM = re.compile(r'(-?)(?:"([^"]*)"?|(\S+))')


def create_text_index(connection: Connection) -> None:
    """Beside a new, empty table of reviews."""
    statements = _SQLITE if connection.dialect.name == "sqlite" else _POSTGRESQL
    for statement in _STATEMENT.split(statements):
        if statement.strip():
            connection.exec_driver_sql(statement)


def drop_text_index(connection: Connection) -> None:
    """What the table of reviews does not take with it when it is dropped."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("DROP TABLE IF EXISTS reviews_text")


def matching(dialect: Dialect, words: str) -> ColumnElement[bool]:
    """A condition on `reviews`: title and text together contain all of `words`, in any case.

    Args:
        dialect: of the engine or connection that will run the query.
        words: what a person typed. "Quoted words" stand side by side, a minus excludes. Nothing
            in it is an error; without any word in it nothing is found, and empty finds everything.
    """
    if not words.strip():
        return true()
    terms = [(minus, _spaced(phrase or word)) for minus, phrase, word in _TERM.findall(words)]
    wanted = [term for minus, term in terms if term and not minus]
    unwanted = [term for minus, term in terms if term and minus]
    if not wanted and not unwanted:
        return false()
    return and_(
        *_contain(dialect, wanted, " AND "),
        *(not_(condition) for condition in _contain(dialect, unwanted, " OR ")),
    )


def _contain(dialect: Dialect, terms: list[str], joined: str) -> list[ColumnElement[bool]]:
    """Conditions that look terms up in the index.

    Those of unspaced scripts are looked for in the texts.
    """
    written = reviews.c.text, func.coalesce(reviews.c.title, "")
    out: list[ColumnElement[bool]] = [
        or_(*(words.contains(term, autoescape=True) for words in written))
        for term in terms
        if _UNSPACED.search(term)
    ]
    if spaced := [term for term in terms if not _UNSPACED.search(term)]:
        out.append((_on_sqlite if dialect.name == "sqlite" else _on_postgresql)(spaced, joined))
    return out


def _spaced(term: str) -> str:
    """The words of a term, separated by blanks: what FTS5 and to_tsvector both take apart alike."""
    return term if _UNSPACED.search(term) else " ".join(re.findall(r"[^\W_]+", term))


def _on_sqlite(terms: list[str], joined: str) -> ColumnElement[bool]:
    query = joined.join(f'"{term}"' for term in terms)
    hits = select(_FTS.c.rowid).where(literal_column("reviews_text").op("MATCH")(query))
    return reviews.c.number.in_(hits)


def _on_postgresql(terms: list[str], joined: str) -> ColumnElement[bool]:
    queries = [func.phraseto_tsquery(text("'simple'"), term) for term in terms]
    whole: ColumnElement[Any] = queries[0]
    for query in queries[1:]:
        whole = whole.op("&&" if joined == " AND " else "||")(query)
    return literal_column("reviews.words").op("@@")(whole)
