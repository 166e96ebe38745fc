"""Tables of the record. Derived ones are made again by a rebuild; people's ones are never touched by it.

Times are whole seconds since 1970 (UTC), days are whole days since then; both sort and compare the
same on SQLite and PostgreSQL. Texts are as the store has them. It knows no queries.
"""

from __future__ import annotations

import hashlib

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
)

from shared.review import Issue

VERSION = 2
derived, people = MetaData(), MetaData()
_FILTERED = ("source", "category", "language", "rating", "urgency", "analysed_at")

# -- derived from the store: one row a review, one an issue, one an emotion that is present -------

reviews = Table(
    "reviews",
    derived,
    # Rows are numbered for the full-text index; everything else speaks of `id`.
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("id", String(80), nullable=False, unique=True),
    Column("version", String(12), nullable=False),
    Column("source", String(40), nullable=False),
    Column("external_id", String(200)),
    Column("business", String(200), nullable=False, default=""),  # "": the review names none
    Column("category", String(20), nullable=False, default=""),
    Column("author", String(64)),  # a keyed hash
    Column("url", Text),
    Column("title", Text),
    Column("text", Text, nullable=False),
    Column("rating", Float),
    Column("language", String(2), nullable=False, default=""),
    Column("created_at", BigInteger, nullable=False),
    Column("day", Integer, nullable=False),
    Column("dated", SmallInteger, nullable=False, default=1),
    Column("excerpt", SmallInteger, nullable=False, default=0),  # 1: the text is a beginning only
    # NULL while it waits for its analysis, as is all below.
    Column("analysed_at", BigInteger),
    Column("urgency", SmallInteger),  # index in URGENCIES; NULL where there is no insight
    Column("urgency_reason", Text),
    Column("insight_reason", Text),  # why there is no insight
    Column("emotion", String(20), nullable=False, default=""),  # the strongest present
    Column("negative_weight", Float),
    Column("issue_count", SmallInteger, nullable=False, default=0),  # shown ones
    Column("adapter", String(200)),
    # The whole Analysis as JSON, for the page of one review.
    Column("analysis", Text),
    # Pages are read newest first; (created_at, id) is the cursor. The columns behind it are what
    # lists are filtered by: rows that do not fit are passed over without being read.
    Index("reviews_newest", "created_at", "id", *_FILTERED),
    Index("reviews_business", "business", "created_at", "id", *_FILTERED),
    Index("reviews_urgent", "urgency", "created_at", "id"),
    Index("reviews_author", "author"),
)

issues = Table(
    "issues",
    derived,
    Column("id", String(20), primary_key=True),  # issue_id()
    Column("review_id", String(80), nullable=False),
    Column("position", SmallInteger, nullable=False),  # 0: the most important one
    Column("shown", SmallInteger, nullable=False),  # 0: `unsure`
    Column("theme", String(20), nullable=False),
    Column("problem", Text),
    Column("evidence", Text, nullable=False),
    Column("start", Integer, nullable=False),
    Column("end", Integer, nullable=False),
    Column("action", Text),
    Column("flags", Text, nullable=False, default=""),  # words
    Column("confidence", Float),
    # Copied from the review, so that a theme's pages need no join.
    Column("business", String(200), nullable=False),
    Column("source", String(40), nullable=False),
    Column("category", String(20), nullable=False),
    Column("urgency", SmallInteger),
    Column("created_at", BigInteger, nullable=False),
    Column("day", Integer, nullable=False),
    # With all that a filter asks of a review's issues: of an index for the review alone SQLite's
    # planner thinks less than of those below, and then reads a theme's issues for each review.
    Index("issues_review", "review_id", "shown", "theme", "confidence"),
    Index("issues_theme", "theme", "shown", "created_at", "review_id"),
    # A theme's issues by urgency and day ("do this first") are counted in these alone.
    Index("issues_business", "business", "shown", "day", "theme", "urgency"),
    Index("issues_day", "shown", "day", "theme", "urgency"),
    Index("issues_newest", "shown", "created_at", "id"),
)

emotions = Table(
    "emotions",
    derived,
    Column("review_id", String(80), nullable=False),
    Column("emotion", String(20), nullable=False),
    Column("probability", Float, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("review_id", "emotion"),
    Index("emotions_newest", "emotion", "created_at", "review_id"),
    sqlite_with_rowid=False,
)

# Daily counts: what overview pages read, whose cost does not grow with the number of reviews.
# kind "review": value is "", `amount` reviews, `total` the sum of their `rated` ratings.
# kind "theme" (shown issues), "emotion" (present), "urgency" ("0".."2"), "rating" ("1".."5"),
# "waiting" (not analysed yet): `amount` reviews or issues with that value.
rollups = Table(
    "rollups",
    derived,
    Column("day", Integer, nullable=False),
    Column("business", String(200), nullable=False),
    Column("source", String(40), nullable=False),
    Column("category", String(20), nullable=False),
    Column("kind", String(10), nullable=False),
    Column("value", String(20), nullable=False),
    Column("amount", Integer, nullable=False),
    Column("rated", Integer, nullable=False, default=0),
    Column("total", Float, nullable=False, default=0),
    PrimaryKeyConstraint("business", "kind", "day", "value", "source", "category"),
    # Sums over all businesses are made of this alone, value by value in its order.
    Index("rollups_kind", "kind", "value", "day", "amount", "rated", "total"),
    sqlite_with_rowid=False,
)

# How far the feed was applied: one row, the id of the stream's entry.
progress = Table(
    "progress",
    derived,
    Column("name", String(40), primary_key=True),
    Column("entry", String(40), nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

# Recurring pain points beyond the closed list of themes (consumers/topics/).
topics = Table(
    "topics",
    derived,
    Column("id", String(20), primary_key=True),  # kept from one run to the next
    Column("name", Text, nullable=False),  # its most typical problem, or quote
    Column("words", Text, nullable=False),  # c-TF-IDF, best first, separated by blanks
    Column("centroid", Text, nullable=False),  # base64 of float32, to find it again
    Column("size", Integer, nullable=False),
    Column("first_day", Integer, nullable=False),
    Column("last_day", Integer, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)
topic_issues = Table(
    "topic_issues",
    derived,
    Column("topic_id", String(20), nullable=False),
    Column("issue_id", String(20), nullable=False),
    PrimaryKeyConstraint("topic_id", "issue_id"),
    Index("topic_issues_issue", "issue_id"),
)

# -- what people do: a rebuild never touches it ---------------------------------------------------

STATUSES = ("open", "in progress", "done", "not an issue")
issue_state = Table(
    "issue_state",
    people,
    Column("issue_id", String(20), primary_key=True),
    Column("review_id", String(80), nullable=False, index=True),
    Column("status", String(20), nullable=False, default="open"),  # of STATUSES
    Column("owner", String(100), nullable=False, default=""),
    Column("note", Text, nullable=False, default=""),
    Column("updated_at", BigInteger, nullable=False),
    Column("updated_by", String(100), nullable=False),
)
history = Table(
    "history",
    people,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("review_id", String(80), nullable=False, index=True),
    Column("what", String(40), nullable=False),  # "status", "owner", "note", "reply", ...
    Column("value", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("by", String(100), nullable=False),
)
replies = Table(
    "replies",
    people,
    Column("review_id", String(80), primary_key=True),
    Column("draft", Text, nullable=False),
    Column("text", Text, nullable=False),  # as edited
    Column("state", String(20), nullable=False),  # "draft", "approved", "copied"
    Column("written_by", String(100), nullable=False),  # which composer or model
    Column("updated_at", BigInteger, nullable=False),
    Column("updated_by", String(100), nullable=False),
)
voices = Table(
    "voices",
    people,
    Column("business", String(200), primary_key=True),
    Column("tone", String(20), nullable=False, default="warm"),
    Column("signature", Text, nullable=False, default=""),
)
views = Table(
    "views",
    people,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("name", String(100), nullable=False),
    Column("query", Text, nullable=False),  # of the page's address
    Column("token_id", String(20), nullable=False, index=True),
)
alerts = Table(
    "alerts",
    people,
    Column("id", String(40), primary_key=True),  # rule and what it spoke of: sent once
    Column("rule", String(100), nullable=False),
    Column("about", Text, nullable=False, default=""),  # e.g. a review's id
    Column("business", String(200), nullable=False, default=""),
    Column("text", Text, nullable=False),
    Column("raised_at", BigInteger, nullable=False, index=True),
    Column("acknowledged_at", BigInteger),
    Column("acknowledged_by", String(100)),
)
# Messages on their way to targets (consumers/out/), and those that did not arrive.
outbox = Table(
    "outbox",
    people,
    Column("message_id", String(80), nullable=False),
    Column("target", String(40), nullable=False),  # a name in the alerts file
    Column("message", Text, nullable=False),  # JSON
    Column("state", String(10), nullable=False),  # "waiting", "sent", "dead"
    Column("tries", SmallInteger, nullable=False, default=0),
    Column("next_at", BigInteger, nullable=False),
    Column("reason", Text, nullable=False, default=""),  # of the last failed try
    Column("created_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("message_id", "target"),
    Index("outbox_due", "state", "next_at"),
)
tokens = Table(
    "tokens",
    people,
    Column("id", String(20), primary_key=True),  # shown in lists; not secret
    Column("name", String(100), nullable=False),
    Column("hash", String(64), nullable=False, unique=True),  # SHA-256 of the token
    Column("role", String(10), nullable=False),  # "read", "write", "admin"
    Column("business", String(200)),  # NULL: all
    Column("created_at", BigInteger, nullable=False),
    Column("used_at", BigInteger),
    Column("revoked_at", BigInteger),
)


def issue_id(review_id: str, issue: Issue) -> str:
    """Twenty hex characters that stay while review, place and theme stay: people's notes hang on them."""
    seen = f"{review_id}\x1f{issue.start}\x1f{issue.end}\x1f{issue.theme}"
    return hashlib.blake2b(seen.encode(), digest_size=10).hexdigest()
