"""Which jobs a worker runs: those on the allow-list of their queue, in the one form that we enqueue.

Anything else is failed, never imported. It does not know what a function does.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from shared.stream.names import ALLOWED


class NotAllowed(Exception):
    """A job names a function outside the allow-list, or carries callbacks."""


def allowed(job: Any, queue: str, functions: Container[str]) -> str:
    """The name of the job's function.

    Args:
        job: RQ's; decoding its arguments may raise whatever their damage provokes.
        queue: where it was claimed.
        functions: names that this worker is ready to run.

    Raises:
        NotAllowed: we do not run it.
    """
    name = job.func_name
    if name not in functions or name not in ALLOWED.get(queue, ()):
        raise NotAllowed(f"{name} is not on the allow-list of queue {queue}")
    callbacks = (
        job._success_callback_name,
        job._failure_callback_name,
        job._stopped_callback_name,
    )
    if any(callbacks) or job.webhooks:
        raise NotAllowed("jobs with callbacks or webhooks are not run")
    ids = job.args[0] if len(job.args) == 1 else None
    if not isinstance(ids, list) or not all(isinstance(i, str) for i in ids):
        raise NotAllowed("a job's only argument is a list of strings")
    return str(name)
