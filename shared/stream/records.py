"""How a review and an analysis lie in Redis as bytes. It does not know keys, scripts or a server.

    review    version (6), day (2), hour (1), zstd(JSON)
    analysis  version (6), format (1), 28 probabilities (1 each), zstd(JSON of the rest)

`version` is that of the review's text, title and rating. An issue's quote is not kept where it is
`text[start:end]`, so an analysis is read beside its review. Records of older layouts stay readable:
they begin their zstd frame where newer ones have the hour or the format byte, and the first byte of
a frame (0x28) is neither.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import zstandard
from pydantic_core import from_json, to_json

from shared.review import EMOTIONS, Analysis, Review

_FOLDER = Path(__file__).parent
_FRAME_BYTE = 0x28  # of the magic number of zstd (RFC 8878, 3.1.1)
_VERSION_BYTES, _REVIEW_HEAD_BYTES = 6, 9
# Format bytes. Plain: whatever does not have exactly the 28 labels with numbers in [0, 1].
# Quoted: quantised, and the quotes are left out.
_PLAIN, _QUANTISED, _QUOTED = 1, 2, 3
# Probabilities are kept as round(255 * sqrt(p)): off by at most 0.004 near 1 and by 0.0004 near
# 0.01, where the rare emotions are. `present` is decided before and kept as it is.
_STEPS = 255
_PROBABILITIES = [round((step / _STEPS) ** 2, 4) for step in range(_STEPS + 1)]
_LABELS = len(EMOTIONS)
_KNOWN = frozenset(EMOTIONS)
_in_order = itemgetter(*EMOTIONS)
_NO_NUMBERS = (float("nan"),) * _LABELS


class _Codec:
    """zstd with a dictionary, which must never change: stored records need it to be read.

    Trained on what becomes of the reviews of trainer/data/gold.jsonl (analyses-N: on their analyses
    by the packaged models, by `benchmarks/memory.py --train`): field names, frequent words and the
    matcher's sentences cost almost nothing in each small record. A better one gets a new number,
    beside it.
    """

    def __init__(self, dictionary: str, level: int, form: int = zstandard.FORMAT_ZSTD1) -> None:
        data = zstandard.ZstdCompressionDict((_FOLDER / dictionary).read_bytes())
        settings = zstandard.ZstdCompressionParameters.from_level(
            level, format=form, write_checksum=False, write_dict_id=False, write_content_size=True
        )
        self._packer = zstandard.ZstdCompressor(dict_data=data, compression_params=settings)
        self._unpacker = zstandard.ZstdDecompressor(dict_data=data, format=form)

    def pack(self, text: bytes) -> bytes:
        return self._packer.compress(text)

    def unpack(self, blob: bytes) -> bytes:
        try:
            return self._unpacker.decompress(blob)
        except zstandard.ZstdError as error:
            raise ValueError(f"a damaged record: {error}") from None


_REVIEWS = _Codec("records-1.dict", 6)
# By format byte, without the frame's magic number: four bytes an analysis. Level 6 would make it 9
# bytes smaller and take 8 us instead of 2.
_FIRST = _Codec("analyses-1.dict", 3, zstandard.FORMAT_ZSTD1_MAGICLESS)
_ANALYSES = {
    _PLAIN: _FIRST,
    _QUANTISED: _FIRST,
    _QUOTED: _Codec("analyses-2.dict", 3, zstandard.FORMAT_ZSTD1_MAGICLESS),
}


def pack_review(review: Review) -> tuple[bytes, bytes]:
    """(version, blob)."""
    version = bytes.fromhex(review.version)
    day, hour = _moment(review)
    return version, version + day + hour + _REVIEWS.pack(review.model_dump_json().encode())


def unpack_review(blob: bytes) -> Review:
    """The review in a blob of `pack_review`, of this layout or the one without hours."""
    head = _REVIEW_HEAD_BYTES - (blob[_REVIEW_HEAD_BYTES - 1] == _FRAME_BYTE)
    return Review.model_validate_json(_REVIEWS.unpack(blob[head:]))


def pack_analyses(pairs: Sequence[tuple[Review, Analysis]]) -> Iterator[tuple[bytes, bytes]]:
    """(version, blob) of each analysis of these reviews, same order."""
    quantised = _steps([analysis.emotions.probabilities for _, analysis in pairs])
    for (review, analysis), steps in zip(pairs, quantised, strict=True):
        version = bytes.fromhex(review.version)
        form = _PLAIN if not steps else _QUOTED if _quotes_fit(review, analysis) else _QUANTISED
        yield version, version + bytes([form]) + steps + _ANALYSES[form].pack(_kept(analysis, form))


_QUOTE: Any = {"__all__": {"evidence"}}
# What each format leaves out of its JSON.
_APART: dict[int, Any] = {
    _PLAIN: {"review_id": True},
    _QUANTISED: {"review_id": True, "emotions": {"probabilities"}},
    _QUOTED: {
        "review_id": True,
        "emotions": {"probabilities"},
        "insight": {"issues": _QUOTE, "unsure": _QUOTE},
    },
}


def _kept(analysis: Analysis, form: int) -> bytes:
    """The JSON of a format."""
    return analysis.model_dump_json(exclude_defaults=True, exclude=_APART[form]).encode()


def _quotes_fit(review: Review, analysis: Analysis) -> bool:
    """Whether every quote is what its offsets say, so that they are enough."""
    found = analysis.insight
    return found is None or all(
        review.text[i.start : i.end] == i.evidence for i in (*found.issues, *found.unsure)
    )


def _steps(rows: Sequence[dict[str, float]]) -> list[bytes]:
    """A byte a label in the order of EMOTIONS; empty where they are not 28 numbers in [0, 1]."""
    known = [len(row) == _LABELS and row.keys() >= _KNOWN for row in rows]
    values = np.array(
        [_in_order(row) if fits else _NO_NUMBERS for row, fits in zip(rows, known, strict=True)],
        dtype=float,
    ).reshape(-1, _LABELS)
    sound: np.ndarray = np.all((values >= 0) & (values <= 1), axis=1)
    steps = np.rint(_STEPS * np.sqrt(np.where(sound[:, None], values, 0))).astype(np.uint8)
    return [bytes(row) if fits else b"" for row, fits in zip(steps, sound.tolist(), strict=True)]


def unpack_analysis(blob: bytes, review_id: str, text: str) -> Analysis:
    """The analysis in a blob of `pack_analyses`, or of the older layouts.

    Args:
        blob: as it was stored.
        review_id: the key has it, so the record need not: 20 bytes that do not compress.
        text: the review's.
    """
    form, body = blob[_VERSION_BYTES], blob[_VERSION_BYTES + 1 :]
    if form == _FRAME_BYTE:
        return Analysis.model_validate_json(_REVIEWS.unpack(blob[_VERSION_BYTES:]))
    steps, body = (b"", body) if form == _PLAIN else (body[:_LABELS], body[_LABELS:])
    record = from_json(_ANALYSES[form].unpack(body)) | {"review_id": review_id}
    if steps:
        probabilities = [_PROBABILITIES[step] for step in steps]
        record["emotions"]["probabilities"] = dict(zip(EMOTIONS, probabilities, strict=True))
    if form == _QUOTED and (found := record.get("insight")):
        for issue in (*found["issues"], *found.get("unsure", ())):
            issue["evidence"] = text[issue["start"] : issue["end"]]
    # As JSON, not as Python values: tuples and times are only then read leniently everywhere.
    return Analysis.model_validate_json(to_json(record))


def unpack_pair(
    review_id: str, review: bytes, analysis: bytes | None
) -> tuple[Review, Analysis | None]:
    """A review with its analysis; None where there is none, or only one of another version."""
    one = unpack_review(review)
    if analysis is None or analysis[:_VERSION_BYTES] != review[:_VERSION_BYTES]:
        return one, None
    return one, unpack_analysis(analysis, review_id, one.text)


def _moment(review: Review) -> tuple[bytes, bytes]:
    """(days since 1970, big-endian in two bytes.

    Hour): dates outside 1970-2149 go to the first or last day.
    """
    day = min(max(int(review.created_at.timestamp() // 86400), 0), 65535)
    return day.to_bytes(2, "big"), bytes([review.created_at.hour])
