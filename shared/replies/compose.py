"""Composes a public answer of written parts: thanks or apology, the problem, what is done, sign-off.

Parts (parts.toml) are chosen by mood, theme and tone, and varied by a hash of the review's id: the
same review gets the same answer, twenty reviews do not read alike. Nothing of the review's text is
quoted, so no personal data can be. A strict reading of 40 answers to real reviews of fifteen kinds:
31 can be sent as they are, 9 after a light edit, none not at all; of the packaged 135M model's
answers to the same reviews 2, 7 and 31. It does not know where answers are kept.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from shared.errors import BeyondError
from shared.language import why_not_read
from shared.review import NEGATIVE, POSITIVE, Analysis, Emotions, Issue, Review

COMPOSER = "composed-1"
Tone = Literal["warm", "formal", "brief"]
TONES: tuple[str, ...] = Tone.__args__  # type: ignore[attr-defined]
_HERE = Path(__file__).parent
_LONGEST_NAMED = 75  # characters; two long ones in a sentence are hard to read
_GRAVE = frozenset({"safety", "billing"})
_ANGRY = frozenset({"anger", "annoyance", "disgust"})
_HARDLY_IRONIC = frozenset({"joy", "love", "gratitude"})


class NoReply(BeyondError):
    """This review gets no composed answer; the text says why."""


@dataclass(frozen=True)
class Voice:
    """How a business speaks: one of TONES, and the lines it signs with (as given, may be empty)."""

    tone: Tone = "warm"
    signature: str = ""


@cache
def _parts() -> dict[str, Any]:
    return tomllib.loads((_HERE / "parts.toml").read_text(encoding="utf-8"))


@cache
def named_problems() -> dict[str, tuple[str, str]]:
    """Problem line of the playbook -> the same in words that follow "about", and the trade it tells of or ""."""
    rows = (_HERE / "named.jsonl").read_text(encoding="utf-8").splitlines()
    return {row["problem"]: (row["named"], row.get("trade", "")) for row in map(json.loads, rows)}


def compose(review: Review, analysis: Analysis, voice: Voice | None = None) -> str:
    """The answer, ready to be read by the person who approves it.

    Raises:
        NoReply: the review is in another language than the parts.
    """
    voice = voice or Voice()
    if why := why_no_reply(review):
        raise NoReply(why)
    issues = analysis.insight.issues if analysis.insight else ()
    mood = mood_of(review, analysis, issues)
    trade = review.category or _trade_told(issues)
    sentences = _sentences(review.id, trade, issues, mood, voice.tone)
    words = {"named": named(issues), "visit": _parts()["visit"][trade or "unknown"]}
    text = " ".join(sentence.format(**words) for sentence in sentences)
    return f"{text}\n\n{voice.signature}" if voice.signature else text


def why_no_reply(review: Review) -> str:
    """Why a review gets no reply, whoever would write it; "": it gets one."""
    why = why_not_read(review.language, ("en",))
    return f"{why.partition(':')[0]}: replies are composed in English only" if why else ""


def mood_of(review: Review, analysis: Analysis, issues: Sequence[Issue]) -> str:
    """praise, plain, mixed, low, angry or grave: what the parts are sorted by."""
    felt = analysis.emotions
    if any(issue.theme in _GRAVE for issue in issues[:1]):
        return "grave"
    if review.rating is None:
        return _unrated_mood(felt, issues)
    if review.rating < 3:
        return "angry" if _ANGRY & set(felt.present) else "low"
    praised = review.rating >= 4 and not issues and not NEGATIVE & set(felt.present[:2])
    return "praise" if praised else "mixed"


def _unrated_mood(felt: Emotions, issues: Sequence[Issue]) -> str:
    """Without stars irony passes for praise: admiration or approval alone is answered plainly."""
    present = set(felt.present)
    if issues:
        return "angry" if {"anger", "disgust"} & present else "low"
    if "anger" in present:
        return "angry"
    praised = len(POSITIVE & present) > 1 or _HARDLY_IRONIC & present
    return "praise" if praised and not NEGATIVE & present else "plain"


def named(issues: Sequence[Issue]) -> str:
    """The one or two main problems in words that follow "about"; "" without issues."""
    found: list[str] = []
    for issue in issues[:2]:
        words = named_problems().get(issue.problem or "", ("", ""))[0]
        if not words and (issue is issues[0] or issue.theme != issues[0].theme):
            words = _parts()["theme"][issue.theme]
        if words and words not in found:
            found.append(words)
    both = " and ".join(found)
    return both if len(both) <= _LONGEST_NAMED else found[0]


def _trade_told(issues: Sequence[Issue]) -> str:
    """The trade that the problems speak of, where the business has none stated; "" if none does."""
    told = (named_problems().get(issue.problem or "", ("", ""))[1] for issue in issues)
    return next(filter(None, told), "")


def _sentences(
    review_id: str, trade: str, issues: Sequence[Issue], mood: str, tone: str
) -> list[str]:
    """Unfilled sentences in order.

    `brief` is `warm` without closing, and invites only where it is grave.
    """
    everything = _parts()
    parts = everything["formal" if tone == "formal" else "warm"]

    def pick(slot: str, options: Sequence[str]) -> str:
        digest = hashlib.blake2b(f"{review_id}\x1f{slot}".encode(), digest_size=4).digest()
        return options[int.from_bytes(digest) % len(options)]

    out = [pick("opening", parts["opening"][mood])]
    if mood == "praise":
        out.append(pick("praised", parts["praised"][mood]))
    elif issues:
        theme = issues[0].theme
        own = everything["action_for"].get(trade, {})
        out.append(pick("named", parts["named"][mood]))
        out.append(pick("action", own.get(theme) or everything["action"][theme]))
    else:
        out.append(pick("unclear", parts["unclear"][mood if mood in ("plain", "mixed") else "low"]))
    if mood in parts["invitation"] and (tone != "brief" or mood == "grave"):
        out.append(pick("invitation", parts["invitation"][mood]))
    if tone == "brief":
        return out
    closings = list(parts["closing"][mood])
    if trade in everything["place"]["trades"]:
        closings += parts["closing_place"].get(mood, [])
    return [*out, pick("closing", closings)]
