"""Random changes of a store, and everything that a record has, to compare two of them."""

from __future__ import annotations

import random
from datetime import timedelta

from sqlalchemy import select

from consumers.record import schema
from shared.review import Review
from tests.consumers.record.filled import synthetic

KEPT = (schema.reviews, schema.issues, schema.emotions, schema.rollups)


def everything(engine):  # type: ignore[no-untyped-def]
    """All derived rows, in an order of their own.

    Sums of ratings as they are when no order matters.
    """
    out = {}
    with engine.connect() as connection:
        for table in KEPT:
            rows = connection.execute(
                select(*(c for c in table.c if c.name != "number"))
            ).mappings()
            out[table.name] = sorted(
                ({k: round(v, 6) if k == "total" else v for k, v in row.items()} for row in rows),
                key=repr,
            )
    return out


def ids_of(engine):  # type: ignore[no-untyped-def]
    with engine.connect() as connection:
        return set(connection.scalars(select(schema.reviews.c.id)))


class Life:
    """Reviews come, change, move in time, are analysed and go, at random."""

    def __init__(self, store, seed):  # type: ignore[no-untyped-def]
        self.store, self.draw = store, random.Random(seed)
        self.material = list(synthetic(60, seed))

    def step(self) -> None:
        review, analysis = self.draw.choice(self.material)
        what = self.draw.random()
        if what < 0.35:
            self.store.put([review], self.draw.choice(["live", "backfill"]))
        elif what < 0.7 and analysis is not None:
            self.store.save([(review, analysis)])
        elif what < 0.8:
            self.store.delete([review.id])
        else:
            self.store.put([self.changed(review)])

    def changed(self, review: Review) -> Review:
        return review.model_copy(
            update=self.draw.choice(
                [
                    {"text": review.text + " Changed."},
                    {"rating": self.draw.choice([None, 1, 5]), "business": "Elsewhere"},
                    {
                        "title": "Moved",
                        "created_at": review.created_at - timedelta(days=self.draw.randrange(9)),
                    },
                ]
            )
        )
