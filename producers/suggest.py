"""What the columns of an unknown file probably mean, as a command ready to paste.

It reads no rows.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

# Our field, then the names that exports give it, the likeliest first; compared as letters and
# digits alone, in lower case: review platforms, open data sets and survey tools.
_KNOWN_AS = {
    "text": "text reviewtext reviewbody reviewcontent reviewmessage review body content comment "
    "comments feedback message description opinion",
    "rating": "rating stars score starrating reviewrating overall grade rate points",
    "created_at": "createdat date created datetime timestamp reviewdate time submittedat "
    "publishedat datecreated submissiondate when posted",
    "external_id": "externalid reviewid id uuid",
    "title": "title summary reviewtitle headline subject",
    "business": "business businessid businessname store location locationname place product "
    "productid productname asin hotel restaurant shop branch company",
    "author": "author userid user username reviewer reviewername customer customername authorname "
    "profilename",
    "url": "url link reviewurl",
}


def mapping(columns: Iterable[str]) -> dict[str, str]:
    """{our field: their column} for the columns whose names are known; each column once."""
    # --map has no way to write a comma, an equals sign or an empty name.
    by_name = {_bare(c): c for c in reversed(list(columns)) if c and not re.search("[,=]", c)}
    found: dict[str, str] = {}
    for ours, names in _KNOWN_AS.items():
        for name in names.split():
            if name in by_name:
                found[ours] = by_name.pop(name)
                break
    return found


def command(columns: Iterable[str], file: str) -> str:
    """`beyond backfill FILE --map ...` for these columns, quoted for a shell; COLUMN where text is unknown."""
    found = {"text": "COLUMN", **mapping(columns)}
    pairs = ",".join(f"{ours}={theirs}" for ours, theirs in found.items())
    return f"beyond backfill {shlex.quote(file)} --map {shlex.quote(pairs)}"


def _bare(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
