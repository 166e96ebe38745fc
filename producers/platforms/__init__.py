"""One small module per review platform; PLATFORMS maps the last part of the URL to its instance.

To add one: write a class with `verify` and `parse` in a file of its own, and name it here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from producers.platforms.native import Native
from shared.settings import Settings


class Platform(Protocol):
    """What the webhook needs of a platform."""

    def verify(self, headers: Mapping[str, str], body: bytes) -> None:
        """Return if the request is genuine; judged on the raw body. Raises Unauthorized otherwise."""
        ...

    def parse(self, body: bytes) -> list[dict[str, Any]]:
        """The reviews of a genuine request as fields of Review. Raises InvalidReview where it has another form."""
        ...


def platforms(settings: Settings) -> dict[str, Platform]:
    """Path below `/reviews` ("" is ours) to platform, each with its secrets from the settings."""
    return {"": Native(settings.webhook_secret, settings.webhook_token)}
