"""Errors grouped by the reaction they call for, not by where they arise.

It does not know who raises them. Every boundary of the system raises only these types.
"""


class BeyondError(Exception):
    """Root of all errors that a user or a caller may act on.

    Its text says what was wrong, where, and what to do.
    """


class InvalidReview(BeyondError):
    """Reject: the input can never become a Review; sending it again will not help (HTTP 422)."""


class Malformed(InvalidReview):
    """Reject before any review is seen: the body has no form that can be read (HTTP 400, not 422)."""


class InvalidRequest(BeyondError):
    """Reject: a parameter or field of a request has no meaning; the text names it (HTTP 400)."""


class NotFound(BeyondError):
    """Reject: there is no such thing, or not for this reader (HTTP 404)."""


class Forbidden(BeyondError):
    """Refuse: signed in, or proven genuine, but not for this (HTTP 403)."""


class Conflict(BeyondError):
    """Reject: not in the state that it is in now (HTTP 409)."""


class Stale(Conflict):
    """Reject: someone changed it meanwhile; read it again (HTTP 412)."""


class TemporaryFailure(BeyondError):
    """Retry: the same call may succeed later (HTTP 503)."""


class Overloaded(TemporaryFailure):
    """Back off: the queue is full.

    `retry_after_seconds` says when to try again (HTTP 503 + Retry-After).
    """

    def __init__(self, message: str, retry_after_seconds: int = 5) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class FellBehind(BeyondError):
    """Start over: what a reader of the feed has not seen yet is gone from it.

    The store has everything.
    """


class RateLimited(Overloaded):
    """Back off: this sender alone is too fast (HTTP 429 + Retry-After)."""


class Unauthorized(BeyondError):
    """Refuse: signature or token missing or wrong (HTTP 401)."""


class Misconfigured(BeyondError):
    """Stop: a setting, file or installed package must change before the command can run."""


class ModelUnavailable(Misconfigured):
    """Stop: weights are missing, corrupt or unreachable.

    The text names the source and the remedy.
    """
