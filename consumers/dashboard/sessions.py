"""Sessions: a signed cookie that names a token's id, and a form token bound to it. Pure, but for its key file.

The cookie does not hold the token: who steals it has the session until it ends or the token is
revoked, never the token. It does not know requests or databases.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from pathlib import Path

COOKIE = "beyond_session"
LASTS_SECONDS = 14 * 86400


class Sessions:
    """Writes and reads session cookies with one key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def write(self, token_id: str, now: float) -> str:
        """A new session's cookie: token id, end, nonce, signature."""
        body = f"{token_id}.{int(now) + LASTS_SECONDS}.{secrets.token_hex(8)}"
        return f"{body}.{self._sign('session', body)}"

    def read(self, cookie: str, now: float) -> str | None:
        """The token's id; None: not signed by us, or over."""
        body, _, signature = cookie.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._sign("session", body).encode()):
            return None
        token_id, end, _ = body.split(".")
        return token_id if int(end) > now else None

    def form_token(self, cookie: str) -> str:
        """What a form of this session must carry: another site cannot know it."""
        return self._sign("form", cookie)

    def form_token_fits(self, cookie: str, given: str) -> bool:
        """Whether a form came from this session's own pages."""
        return hmac.compare_digest(self.form_token(cookie).encode(), given.encode())

    def _sign(self, use: str, text: str) -> str:
        return hmac.new(self._key, f"{use} {text}".encode(), hashlib.sha256).hexdigest()


def session_key(home: Path) -> bytes:
    """32 random bytes of this installation, made on first use.

    Removing the file ends all sessions.
    """
    path = home / "dashboard.key"
    if not path.exists():
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = path.with_suffix(f".{secrets.token_hex(4)}")
        fresh.touch(mode=0o600)
        fresh.write_bytes(secrets.token_bytes(32))
        try:
            path.hardlink_to(fresh)  # of two processes that start at once, the first one's stays
        except FileExistsError:
            pass
        fresh.unlink()
    return path.read_bytes()
