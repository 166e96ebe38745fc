"""Where rows end in the bytes of a file of which only a part is there. It knows newlines and quotes, no columns."""

from __future__ import annotations


def end_of_rows(data: bytes, *, csv: bool) -> int:
    """Where the last complete row ends, 0 if none does; a CSV's newline inside quotes ends none."""
    end = data.rfind(b"\n") + 1
    while csv and end:
        quotes = data.count(b'"', 0, end) - data.count(b'\\"', 0, end)
        if quotes % 2 == 0:
            break
        end = data.rfind(b"\n", 0, end - 1) + 1
    return end


def end_of_first(data: bytes) -> int:
    """Where a CSV's first row ends; the end of `data` if it does not."""
    end = data.find(b"\n") + 1
    while end and data.count(b'"', 0, end) % 2:
        end = data.find(b"\n", end) + 1
    return end or len(data)


def is_bare(first: bytes) -> bool:
    """Is a CSV's first row no header? A digit and a text are yelp_review_full's form, which has none."""
    return first.strip().strip(b'"')[:1].isdigit() and first.count(b",") >= 1
