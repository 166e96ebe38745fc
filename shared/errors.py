"""Errors grouped by the reaction they call for, not by where they arise.

It does not know who raises them. Every boundary of the system raises only these types.
"""


class BeyondError(Exception):
    """Root of all errors that a user or a caller may act on; its text says what was wrong, where, and what to do."""


class InvalidReview(BeyondError):
    """Reject: the input can never become a Review; sending it again will not help (HTTP 422)."""


class Malformed(InvalidReview):
    """Reject before any review is seen: the body has no form that can be read (HTTP 400, not 422)."""


class TemporaryFailure(BeyondError):
    """Retry: the same call may succeed later (HTTP 503)."""


class Overloaded(TemporaryFailure):
    """Back off: the queue is full. `retry_after_seconds` says when to try again (HTTP 503 + Retry-After)."""

    def __init__(self, message: str, retry_after_seconds: int = 5) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Unauthorized(BeyondError):
    """Refuse: signature or token missing or wrong (HTTP 401)."""


class Forbidden(Unauthorized):
    """Refuse: genuine, but its secret does not reach so far (HTTP 403)."""


class Misconfigured(BeyondError):
    """Stop: a setting, file or installed package must change before the command can run."""


class ModelUnavailable(Misconfigured):
    """Stop: weights are missing, corrupt or unreachable; the text names the source and the remedy."""
