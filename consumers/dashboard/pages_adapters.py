"""The adapters' part of the pipeline page: what serves, what could, and what moves the pointer.

It does not know adapter folders (shared/inference does) nor HTML.
"""

from __future__ import annotations

from typing import Any

from shared.errors import BeyondError, InvalidRequest, TemporaryFailure
from shared.inference.adapters import Registry, default_for, open_registry
from shared.inference.manifest import PACKAGED_PREFIX, Manifest
from shared.settings import Settings

_TASKS = ("issues", "reply")  # whose adapters serve
# What a reader asks first; the other scores come behind, in the trainer's order.
_FIRST = ("issue_f1", "theme", "found", "none_recall", "verbatim", "parsed", "meteor")
_SCORES = 6


def adapter_values(settings: Settings) -> dict[str, Any]:
    """The registry's, newest first, then the packaged ones that serve.

    A registry that is away is said, not hidden.
    """
    try:
        registry = open_registry(settings)
        serving = {task: default_for(registry, task, settings) for task in _TASKS}
        found = {m.id: m for m in reversed(registry.all())}
        own = set(found)
        promoted = {registry.promoted(task) for task in {m.task for m in found.values()}}
        found |= {n: registry.manifest(n) for n in serving.values() if n and n not in own}
    except BeyondError as error:
        return {"adapters": [], "adapters_problem": str(error), "tasks": []}
    return {
        "adapters": [
            _row(name, manifest, [t for t in _TASKS if serving[t] == name], name in promoted)
            for name, manifest in found.items()
        ],
        "adapters_problem": "",
        "tasks": [task for task in _TASKS if registry.promoted(task)],
    }


def move(settings: Settings, adapter: str, rollback: str) -> str:
    """Put an adapter in force, or with `rollback`, a task, the one before.

    Returns:
        "promoted", "back", or "idle": it is promoted, but for another base than these settings serve.

    Raises:
        InvalidRequest: it is missing or damaged, or there is none before; the one in force stays.
        TemporaryFailure: the registry is away.
    """
    registry = open_registry(settings)
    try:
        if rollback:
            now, task, said = registry.rollback(rollback), rollback, "back"
        else:
            manifest = registry.promote(adapter)
            now, task, said = manifest.id, manifest.task, "promoted"
        return said if _serves(registry, task, now, settings) else "idle"
    except TemporaryFailure:
        raise
    except BeyondError as error:
        raise InvalidRequest(str(error)) from None


def _serves(registry: Registry, task: str, name: str, settings: Settings) -> bool:
    return default_for(registry, task, settings) == name


def _row(name: str, manifest: Manifest, serves: list[str], promoted: bool) -> dict[str, Any]:
    known = manifest.scores
    names = [*(n for n in _FIRST if n in known), *(n for n in known if n not in _FIRST)]
    return {
        "name": name,
        "tasks": ", ".join([manifest.task, *manifest.also]),
        "base": manifest.base,
        "at": manifest.created_at,
        "data": manifest.data,
        "serves": serves,
        "idle": promoted and not serves,
        "packaged": name.startswith(PACKAGED_PREFIX),
        "scores": [
            (measure.replace("_", " "), f"{known[measure]:.3g}") for measure in names[:_SCORES]
        ],
    }
