"""One file's rows as fields of a Review: which format it has, how it writes dates and ratings.

It brings formats, dates and ratings together. It does not validate, store or count.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from producers import formats
from producers.dates import DateReader, DayOrder
from producers.ratings import TOP_STARS, stars
from producers.readers import Bad, Source, rows
from shared.errors import InvalidReview, Misconfigured

Fields = dict[str, Any]


class ColumnReader:
    """Reads the rows of `source`; the first one decides the format where there is no mapping.

    Args:
        source: the file; read a second time only where the order of its dates must be found.
        mapping: --map, {our field: their column}; None to detect the format.
        source_name: Review.source of mapped rows.
        date_format, day_first: how dates are written, where the user says so (dates.DateReader).
        rating_scale: the best grade of plain numbers.
        imported_at: what reviews without a date get, marked `dated=False`; aware UTC.
    """

    def __init__(
        self,
        source: Source,
        mapping: dict[str, str] | None = None,
        source_name: str = "file",
        date_format: str | None = None,
        day_first: bool | None = None,
        rating_scale: float = TOP_STARS,
        imported_at: datetime | None = None,
    ) -> None:
        self._source, self._scale = source, rating_scale
        self._imported_at = imported_at or datetime.now(UTC)
        self._date = DateReader(date_format, day_first, self._find_day_order)
        self._named: Callable[[Fields], Fields] | None = (
            formats.by_map(mapping, source_name) if mapping else None
        )

    def __call__(self, row: Fields) -> Fields:
        """Fields for `Intake.validate`.

        Raises:
            InvalidReview: a column is missing, or its value cannot be read.
            Misconfigured: the file's format or the order of its dates is unknown.
        """
        fields = self.named(row)
        fields["rating"] = stars(fields.get("rating"), self._scale)
        fields["created_at"] = self._date(fields.get("created_at"))
        if fields["created_at"] is None:
            fields |= {"created_at": self._imported_at, "dated": False}
        return fields

    def named(self, row: Fields) -> Fields:
        """The row under our field names, values as the file has them."""
        self._named = self._named or formats.detect(row, self._source.name)
        try:
            return self._named(row)
        except KeyError as error:
            raise InvalidReview(f"column {error} is missing") from None

    def _find_day_order(self) -> bool:
        """Look through the whole file for a date that can be read in one way only.

        Constant memory.
        """
        if self._source.size is None:
            raise Misconfigured(
                "standard input cannot be looked through for the order of day and month; "
                "add --day-first or --month-first"
            )
        order = DayOrder()
        for _, row in rows(Source(self._source.address)):
            if isinstance(row, Bad):
                continue
            try:
                order.see(self.named(row).get("created_at"))
            except InvalidReview:
                continue  # the real reading rejects it, with its reason
        try:
            return order.day_first()
        except Misconfigured as error:
            raise Misconfigured(f"{self._source.name}: {error}") from None
