"""Alert rules as one TOML file has them, beside the targets they tell. It reads the file and watches nothing.

    [[rules]]
    name = "danger"
    when = "urgency"            # reviews at least so urgent: low, normal, high
    at_least = "high"
    targets = ["ops"]

A rule's other conditions, by `when`: rating (at_most), keyword (any = [words or phrases]), theme
(theme, count, days), spike (days, minimum), dead_letters (count), silence (source, hours). All take
business, cooldown_minutes.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from consumers.out.targets import Target, read_target
from shared.errors import Misconfigured
from shared.review import Frozen, Theme, Urgency


class _Rule(Frozen):
    """What all rules have.

    While `cooldown_minutes` last, the next alert of the rule waits; none is lost.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9 _.-]{1,100}$")
    targets: tuple[str, ...] = Field(min_length=1)
    business: str | None = None
    cooldown_minutes: int = Field(default=15, ge=0)


class UrgencyRule(_Rule):
    """Each review at least so urgent."""

    when: Literal["urgency"]
    at_least: Urgency = "high"


class RatingRule(_Rule):
    """Each review with at most so many stars."""

    when: Literal["rating"]
    at_most: float = Field(ge=1, le=5)


class KeywordRule(_Rule):
    """Each review whose title or text has one of these words or phrases, whole, whatever their case."""

    when: Literal["keyword"]
    any: tuple[Annotated[str, Field(min_length=1, max_length=100)], ...] = Field(min_length=1)


class ThemeRule(_Rule):
    """A business that has so many shown issues of a theme in so many days."""

    when: Literal["theme"]
    theme: Theme
    count: int = Field(ge=1)
    days: int = Field(default=7, ge=1, le=366)
    cooldown_minutes: int = Field(default=1440, ge=0)


class SpikeRule(_Rule):
    """A theme or topic that has risen beyond chance (consumers/topics/spikes.py names the test)."""

    when: Literal["spike"]
    days: int = Field(default=7, ge=1, le=60)
    minimum: int = Field(default=5, ge=1)
    cooldown_minutes: int = Field(default=1440, ge=0)


class DeadLettersRule(_Rule):
    """Jobs that are out of retries."""

    when: Literal["dead_letters"]
    count: int = Field(default=1, ge=1)
    cooldown_minutes: int = Field(default=60, ge=0)
    business: None = None


class SilenceRule(_Rule):
    """A source whose newest review was written so long ago."""

    when: Literal["silence"]
    source: str = Field(pattern=r"^[a-z0-9_.-]{1,40}$")
    hours: int = Field(ge=1)
    cooldown_minutes: int = Field(default=1440, ge=0)


ReviewRule = UrgencyRule | RatingRule | KeywordRule
Rule = ReviewRule | ThemeRule | SpikeRule | DeadLettersRule | SilenceRule
_RULE: TypeAdapter[Rule] = TypeAdapter(Annotated[Rule, Field(discriminator="when")])


@dataclass(frozen=True)
class Watch:
    """A read file: its rules in order, and the targets by name."""

    rules: tuple[Rule, ...]
    targets: Mapping[str, Target]


def read_watch(path: Path) -> Watch:
    """Read and check an alerts file.

    Raises:
        Misconfigured: it is missing or wrong; the text names file, line, field and remedy.
    """
    try:
        text = path.read_text(encoding="utf-8")
        tables = tomllib.loads(text)
    except FileNotFoundError:
        raise Misconfigured(
            f"{path} is missing: write rules into it (docs/ALERTS.md has examples)"
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Misconfigured(f"{path}: {error}") from None
    if unknown := sorted(tables.keys() - {"rules", "targets"}):
        line = _line(text, rf"\[*\s*{re.escape(unknown[0])}\b")
        raise Misconfigured(
            f"{path}:{line}: {unknown[0]}: there are only [[rules]] and [targets.*]"
        )
    targets = _targets(path, text, tables.get("targets", {}))
    rules = _rules(path, text, tables.get("rules", []), targets)
    return Watch(rules, targets)


def _targets(path: Path, text: str, tables: Any) -> dict[str, Target]:
    if not isinstance(tables, dict) or not all(isinstance(t, dict) for t in tables.values()):
        raise Misconfigured(f"{path}: targets: write [targets.NAME]")
    out = {}
    for name, table in tables.items():
        try:
            out[name] = read_target(name, table, path.parent)
        except Misconfigured as error:
            line = _line(text, rf"\[\s*targets\s*\.\s*\"?{re.escape(name)}\"?\s*\]")
            raise Misconfigured(f"{path}:{line}: {error}") from None
    return out


def _rules(path: Path, text: str, tables: Any, targets: Mapping[str, Target]) -> tuple[Rule, ...]:
    if not isinstance(tables, list):
        raise Misconfigured(f"{path}: rules: write [[rules]], with two brackets")
    out: list[Rule] = []
    for number, table in enumerate(tables):
        first = _line(text, r"\[\[\s*rules\s*\]\]", number)
        name = table.get("name", f"number {number + 1}")
        try:
            rule = _RULE.validate_python(table)
        except ValidationError as error:
            field, told = _first(error)
            line = _line(text, rf"{re.escape(field)}\s*=", after=first) if field else first
            raise Misconfigured(f"{path}:{line}: rule {name}: {field or 'rules'}: {told}") from None
        for target in rule.targets:
            if target not in targets:
                line = _line(text, r"targets\s*=", after=first)
                known = ", ".join(targets) or "none"
                raise Misconfigured(
                    f"{path}:{line}: rule {name}: targets: no [targets.{target}]; there are: {known}"
                )
        if any(rule.name == other.name for other in out):
            raise Misconfigured(f"{path}:{first}: rule {name}: name: used twice; choose another")
        out.append(rule)
    return tuple(out)


def _first(error: ValidationError) -> tuple[str, str]:
    """Field and text of the first fault; a wrong `when` is a fault of that field."""
    first = error.errors(include_url=False)[0]
    if first["type"].startswith("union_tag"):
        kinds = "urgency, rating, keyword, theme, spike, dead_letters, silence"
        return "when", f"give one of {kinds}"
    # The first part of the place is the kind of rule.
    field = next((str(part) for part in first["loc"][1:]), "")
    got = "" if first["type"] == "missing" else f" (got {first['input']!r})"
    return field, first["msg"] + got


def _line(text: str, pattern: str, nth: int = 0, after: int = 1) -> int:
    """Number of the nth line from `after` on that begins with the pattern; `after` where none does."""
    found = [
        number
        for number, line in enumerate(text.splitlines(), 1)
        if number >= after and re.match(rf"\s*{pattern}", line)
    ]
    return found[nth] if nth < len(found) else after
