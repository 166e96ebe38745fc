"""Requests as platforms send them, for webhook_load.py: genuine, each of another review."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from shared.review import review_id  # noqa: E402

DATE = "2026-03-01T12:00:00Z"
# One sentence each from a few lists: texts of 100 to 1,500 characters that compress like reviews do.
_WORDS = "we they the staff waited soup cold again nobody asked room lift never came box broken twice".split()
PLATFORMS = ("", "judgeme", "yotpo", "stamped", "trustpilot", "reviewsio")


@dataclass
class Posting:
    """One request to send, and what became of it: `late` is how long after its moment it was sent."""

    path: str
    headers: dict[str, str]
    body: bytes
    review: str
    platform: int
    status: int = 0
    seconds: float = 0.0
    late: float = 0.0
    wire: bytes = b""

    def __post_init__(self) -> None:
        """The request as it goes over the wire."""
        lines = [f"POST {self.path} HTTP/1.1", "Host: door", f"Content-Length: {len(self.body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        self.wire = "\r\n".join([*lines, "", ""]).encode() + self.body


def postings(count: int, seed: str) -> list[Posting]:
    """Requests in turn of every platform, genuine, each of another review."""
    chance = random.Random(seed)
    return [_posting(i, f"{seed}-{i}", chance) for i in range(count)]


def _posting(number: int, external: str, chance: random.Random) -> Posting:
    platform = number % len(PLATFORMS)
    name = PLATFORMS[platform]
    text = " ".join(chance.choices(_WORDS, k=chance.choice([20, 60, 250]))) + "."
    headers, path = {"Content-Type": "application/json"}, f"/reviews/{name}"
    payload: dict[str, object]
    if name == "":
        payload = {"external_id": external, "text": text, "rating": 1, "created_at": DATE}
        headers["Authorization"], path = "Bearer secret", "/reviews"
    elif name == "judgeme":
        payload = {"review": {"id": external, "body": text, "rating": 2, "created_at": DATE}}
    elif name == "yotpo":
        data = {"id": external, "content": text, "score": "2", "created_at": DATE}
        payload, path = {"event": "review_create", "data": data}, f"{path}/hush"
    elif name == "stamped":
        payload = {"id": external, "reviewMessage": text, "reviewRating": "1", "dateCreated": DATE}
        headers["X-Stamped-Webhook-Secret"] = "hush"
    elif name == "trustpilot":
        data = {"id": external, "text": text, "stars": 2, "createdAt": DATE}
        event = {"eventName": "service-review-created", "eventData": data}
        payload, path = {"events": [event]}, f"{path}/hush"
    else:
        payload = {"id": external, "comments": text, "rating": "1", "date_created": DATE}
        path = f"{path}/hush"
    body = json.dumps(payload).encode()
    if name == "judgeme":
        headers["JUDGEME-HMAC-SHA256"] = hmac.new(b"hush", body, hashlib.sha256).hexdigest()
    return Posting(path, headers, body, review_id(name or "webhook", external, "", None), platform)
