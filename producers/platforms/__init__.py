"""Which platforms this installation serves, by the last part of their address, and their secrets.

A platform is built in (a `.toml` file beside this one) or described by the user in the folder
BEYOND_PLATFORMS. It is served once it has a secret, from either place, any number at once:

    BEYOND_PLATFORM_SECRETS='{"judgeme": ["new", "old"], "our-shop": ["..."]}'
    PLATFORMS/judgeme.secret          one secret per line

Secrets that open one business's reviews alone: tenancy.py.

To add a platform, write its description; only what no description can say needs a class with
`verify` and `parse` (events.py), named in `platforms` below.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

from pydantic import SecretStr

from producers.platforms.events import Platform
from producers.platforms.mapping import Description, Mapping, read_description
from producers.platforms.native import Native
from producers.platforms.proofs import Clock
from producers.platforms.tenancy import OWN_SCHEMA, with_tenants
from shared.errors import Misconfigured
from shared.settings import Settings

_BUILT_IN = Path(__file__).parent
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,39}")  # it becomes the source of the reviews


def descriptions(settings: Settings) -> dict[str, Path]:
    """Name to description file: the built-in ones, and the user's, which win.

    Raises:
        Misconfigured: a file's name cannot be a source.
    """
    folders = [_BUILT_IN, *([settings.platforms] if settings.platforms else [])]
    found = {path.stem: path for folder in folders for path in sorted(folder.glob("*.toml"))}
    for name, path in found.items():
        if not _NAME.fullmatch(name) or name == "webhook":
            raise Misconfigured(f"{path.name}: name it in a-z, 0-9, _, . and -, and not `webhook`")
    return found


def secrets_of(settings: Settings, name: str) -> list[str]:
    """All secrets of a platform that are valid now: those of the environment, then its file's.

    Raises:
        Misconfigured: its file cannot be read.
    """
    found = [s.get_secret_value() for s in settings.platform_secrets.get(name, [])]
    path = settings.platforms / f"{name}.secret" if settings.platforms else None
    try:
        if path is not None and path.exists():
            found += [line.strip() for line in path.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise Misconfigured(f"{name}.secret: cannot be read: {error}") from None
    return found


def platforms(settings: Settings, clock: Clock = time.time) -> dict[str, Platform]:
    """Last part of the address ("" is our own schema) to platform, each with its secrets.

    Raises:
        Misconfigured: nothing has a secret, a secret belongs to no platform, or a description is
            wrong.
    """
    known = descriptions(settings)
    for name in settings.platform_secrets:
        if name not in known:
            raise Misconfigured(
                f"BEYOND_PLATFORM_SECRETS: there is no platform {name!r}; there are "
                f"{', '.join(sorted(known))}; describe others in the folder BEYOND_PLATFORMS"
            )
    served: dict[str, Platform] = {}
    for name, path in known.items():
        if secrets := secrets_of(settings, name):
            served[name] = Mapping(name, read_description(path), secrets, clock)
    if settings.webhook_secret or settings.webhook_token or not (served or settings.tenants):
        served[""] = Native(settings.webhook_secret, settings.webhook_token, clock)

    def make(name: str, secret: str) -> Platform:
        if name in OWN_SCHEMA:
            kept = SecretStr(secret)
            signed, token = (None, kept) if name == "token" else (kept, None)
            return Native(signed, token, clock)
        return Mapping(name, read_description(known[name]), [secret], clock)

    return with_tenants(served, settings, list(known), make)


__all__ = ["Description", "Platform", "descriptions", "platforms", "secrets_of"]
