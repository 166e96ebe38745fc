"""Which platforms this installation serves, by the last part of their address, and their secrets.

A platform is built in (a `.toml` file beside this one) or described by the user in the folder
BEYOND_PLATFORMS. It is served once it has a secret, from either place, any number at once:

    BEYOND_PLATFORM_SECRETS='{"judgeme": ["new", "old"], "our-shop": ["..."]}'
    PLATFORMS/judgeme.secret          one secret per line
    PLATFORMS/webhook.secret          the same of our own schema: whsec_... for signatures, else tokens

The webhook looks at the files again while it runs (served.py).

Secrets that open one business's reviews alone: tenancy.py.

To add a platform, write its description; only what no description can say needs a class with
`verify` and `parse` (events.py), named in `platforms` below.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path

from producers.platforms.events import Clock, Platform
from producers.platforms.mapping import Description, Mapping, read_description
from producers.platforms.native import Native
from producers.platforms.tenancy import check_tenants, scoped
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


def platform_of(settings: Settings, name: str, path: Path, clock: Clock) -> Platform | None:
    """A described platform with its secrets; None where it has none.

    Raises:
        Misconfigured: its description or one of its secrets is wrong.
    """

    def made(secrets: Sequence[str]) -> Platform:
        return Mapping(name, read_description(path), secrets, clock)

    def tenants(secrets: Sequence[str]) -> Platform:
        if read_description(path).read.named_only:
            raise Misconfigured(
                f"BEYOND_TENANTS: {name} only names reviews; `beyond poll` fetches them and its "
                "sources say whose they are: set the secret in BEYOND_PLATFORM_SECRETS"
            )
        return made(secrets)

    secrets = secrets_of(settings, name)
    return scoped(made(secrets) if secrets else None, settings, {name: tenants})


def native(settings: Settings, clock: Clock) -> Platform | None:
    """Our own schema with its secrets and tokens; None where it has none.

    Raises:
        Misconfigured: one of them is wrong.
    """
    found = secrets_of(settings, "webhook")
    signing = [s for s in found if s.startswith("whsec_")]
    tokens = [s for s in found if not s.startswith("whsec_")]
    if settings.webhook_secret:
        signing.insert(0, settings.webhook_secret.get_secret_value())
    if settings.webhook_token:
        tokens.insert(0, settings.webhook_token.get_secret_value())
    everyone = Native(signing, tokens, clock) if signing or tokens else None
    ways = {
        "webhook": lambda secrets: Native(secrets, [], clock),
        "token": lambda tokens: Native([], tokens, clock),
    }
    return scoped(everyone, settings, ways)


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
    check_tenants(settings, known)
    found = {name: platform_of(settings, name, path, clock) for name, path in known.items()}
    found[""] = native(settings, clock)
    served = {name: platform for name, platform in found.items() if platform is not None}
    if not served:
        raise Misconfigured(
            "set BEYOND_WEBHOOK_SECRET (whsec_...), BEYOND_WEBHOOK_TOKEN or "
            "BEYOND_PLATFORM_SECRETS; an open door is refused"
        )
    return served


__all__ = [
    "Description",
    "Platform",
    "descriptions",
    "native",
    "platform_of",
    "platforms",
    "secrets_of",
]
