"""How a review and an analysis lie in Redis as bytes. It does not know keys, scripts or a server.

    review    version (6), day (2), hour (1), zstd(JSON)
    analysis  version (6), format (1), 28 probabilities (1 each), zstd(JSON of the rest)

`version` is that of the review's text, title and rating. Records of older layouts stay readable:
they begin their zstd frame where newer ones have the hour or the format byte, and the first byte of
a frame (0x28) is neither.
"""

from __future__ import annotations

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
_PLAIN, _QUANTISED = 1, 2
# Probabilities are kept as round(255 * sqrt(p)): off by at most 0.004 near 1 and by 0.0004 near
# 0.01, where the rare emotions are. `present` is decided before and kept as it is.
_STEPS = 255
_PROBABILITIES = [round((step / _STEPS) ** 2, 4) for step in range(_STEPS + 1)]
_LABELS = len(EMOTIONS)


class _Codec:
    """zstd with a dictionary, which must never change: stored records need it to be read.

    Trained on what becomes of the reviews of trainer/data/gold.jsonl (analyses-1: on their
    analyses by the packaged models, by `benchmarks/memory.py --train`): field names, frequent words
    and the matcher's sentences cost almost nothing in each small record. A better one gets a new
    number, beside it.
    """

    def __init__(self, dictionary: str, form: int = zstandard.FORMAT_ZSTD1) -> None:
        data = zstandard.ZstdCompressionDict((_FOLDER / dictionary).read_bytes())
        settings = zstandard.ZstdCompressionParameters.from_level(
            6, format=form, write_checksum=False, write_dict_id=False, write_content_size=True
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


_REVIEWS = _Codec("records-1.dict")
# Without the frame's magic number: four bytes an analysis.
_ANALYSES = _Codec("analyses-1.dict", zstandard.FORMAT_ZSTD1_MAGICLESS)


def pack_review(review: Review) -> tuple[bytes, bytes]:
    """(version, blob)."""
    version = bytes.fromhex(review.version)
    day, hour = _moment(review)
    return version, version + day + hour + _REVIEWS.pack(review.model_dump_json().encode())


def unpack_review(blob: bytes) -> Review:
    """The review in a blob of `pack_review`, of this layout or the one without hours."""
    head = _REVIEW_HEAD_BYTES - (blob[_REVIEW_HEAD_BYTES - 1] == _FRAME_BYTE)
    return Review.model_validate_json(_REVIEWS.unpack(blob[head:]))


def pack_analysis(version: bytes, analysis: Analysis) -> bytes:
    """The blob of an analysis of the review with that version."""
    steps = _steps(analysis.emotions.probabilities)
    apart: Any = {"review_id": True} | ({"emotions": {"probabilities"}} if steps else {})
    record = analysis.model_dump_json(exclude_defaults=True, exclude=apart).encode()
    form = _QUANTISED if steps else _PLAIN
    return version + bytes([form]) + steps + _ANALYSES.pack(record)


def _steps(probabilities: dict[str, float]) -> bytes:
    """A byte a label in the order of EMOTIONS; empty where they are not 28 numbers in [0, 1]."""
    if len(probabilities) != _LABELS:
        return b""
    try:
        values = np.fromiter((probabilities[label] for label in EMOTIONS), float, _LABELS)
    except KeyError:
        return b""
    if not ((values >= 0) & (values <= 1)).all():
        return b""
    return bytes(np.rint(_STEPS * np.sqrt(values)).astype(np.uint8))


def unpack_analysis(blob: bytes, review_id: str) -> Analysis:
    """The analysis in a blob of `pack_analysis`, of this layout or the one of JSON alone.

    Args:
        blob: as it was stored.
        review_id: the key has it, so the record need not: 20 bytes that do not compress.
    """
    form, body = blob[_VERSION_BYTES], blob[_VERSION_BYTES + 1 :]
    if form == _FRAME_BYTE:
        return Analysis.model_validate_json(_REVIEWS.unpack(blob[_VERSION_BYTES:]))
    steps, body = (body[:_LABELS], body[_LABELS:]) if form == _QUANTISED else (b"", body)
    record = from_json(_ANALYSES.unpack(body)) | {"review_id": review_id}
    if steps:
        probabilities = [_PROBABILITIES[step] for step in steps]
        record["emotions"]["probabilities"] = dict(zip(EMOTIONS, probabilities, strict=True))
    # As JSON, not as Python values: tuples and times are only then read leniently everywhere.
    return Analysis.model_validate_json(to_json(record))


def _moment(review: Review) -> tuple[bytes, bytes]:
    """(days since 1970, big-endian in two bytes; hour): dates outside 1970-2149 go to the first or last day."""
    day = min(max(int(review.created_at.timestamp() // 86400), 0), 65535)
    return day.to_bytes(2, "big"), bytes([review.created_at.hour])
