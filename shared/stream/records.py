"""How a review and an analysis lie in Redis as bytes. It does not know keys, scripts or a server."""

from __future__ import annotations

from pathlib import Path

import zstandard

from shared.review import Analysis, Review

# Trained by `zstd --train` on trainer/data/gold.jsonl as records: field names and frequent words
# cost almost nothing in each small record. It must never change: stored records need it to be read.
# A better one would be records-2, beside it.
_DICTIONARY = zstandard.ZstdCompressionDict((Path(__file__).parent / "records-1.dict").read_bytes())
_PACK = zstandard.ZstdCompressor(
    level=6, dict_data=_DICTIONARY, write_checksum=False, write_dict_id=False
)
_UNPACK = zstandard.ZstdDecompressor(dict_data=_DICTIONARY)


def pack_review(review: Review) -> tuple[bytes, bytes]:
    """(version, blob): blob is 6 bytes version, 2 bytes day, zstd(JSON)."""
    version = bytes.fromhex(review.version)
    return version, version + _day(review) + _PACK.compress(review.model_dump_json().encode())


def unpack_review(blob: bytes) -> Review:
    """The review in a blob of `pack_review`."""
    return Review.model_validate_json(_UNPACK.decompress(blob[8:]))


def pack_analysis(version: bytes, analysis: Analysis) -> bytes:
    """6 bytes version of the review that was analysed, zstd(JSON)."""
    return version + _PACK.compress(analysis.model_dump_json().encode())


def unpack_analysis(blob: bytes) -> Analysis:
    """The analysis in a blob of `pack_analysis`."""
    return Analysis.model_validate_json(_UNPACK.decompress(blob[6:]))


def _day(review: Review) -> bytes:
    """Days since 1970 as two bytes, big-endian; dates outside 1970-2149 go to the first or last day."""
    return min(max(int(review.created_at.timestamp() // 86400), 0), 65535).to_bytes(2, "big")
