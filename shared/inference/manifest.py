"""What an adapter says of itself, and why no word of it is taken on trust.

A manifest comes from wherever the registry is: names in it become paths on this machine, so each
must be a plain name, and each file must lie in the adapter's own folder and have the hash that is
written. It does not know registries, models or training.
"""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from shared.errors import Misconfigured, TemporaryFailure
from shared.inference.weights import PACKAGED, file_sha256

MANIFEST = "manifest.json"
PACKAGED_PREFIX = "packaged-"
# Matched whole (`$` would let a trailing newline pass). None can hold a separator or begin with a
# dot, so none can leave its folder; the lengths keep every path below common file systems' 255.
_ID = re.compile(r"[a-z0-9][a-z0-9._-]{2,80}")
_TASK = re.compile(r"[a-z][a-z0-9_-]{0,40}")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
# The path leads to nothing that can be read as a file: asking again will not help.
ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


class BadAdapter(Misconfigured):
    """An adapter is missing, corrupt, or not for this base, task or prompt; the text says which."""


def is_id(name: str) -> bool:
    """Whether a registry may have a folder of this name; a packaged adapter's id counts too."""
    inner = name.removeprefix(PACKAGED_PREFIX)
    return bool(_ID.fullmatch(name) and _ID.fullmatch(inner))


def is_task(name: str) -> bool:
    """Whether a pointer may be named after this task."""
    return bool(_TASK.fullmatch(name))


def is_file_name(name: str) -> bool:
    """Whether an adapter may hold a file of this name, beside its manifest."""
    return bool(_FILE.fullmatch(name)) and name != MANIFEST


def _adapter_id(value: str) -> str:
    if not is_id(value):
        raise ValueError("not an adapter id (lower-case letters, digits, . _ -)")
    return value


def _task(value: str) -> str:
    if not is_task(value):
        raise ValueError("not a task's name (lower-case letters, digits, _ -)")
    return value


def _files(value: dict[str, str]) -> dict[str, str]:
    for name, digest in value.items():
        if not is_file_name(name):
            raise ValueError(f"{name!r} is not a plain file name")
        if not _SHA256.fullmatch(digest):
            raise ValueError(f"{name}: not a sha256")
    return value


AdapterId = Annotated[str, AfterValidator(_adapter_id)]
TaskName = Annotated[str, AfterValidator(_task)]


class Manifest(BaseModel):
    """What an adapter is.

    `files` maps each file's plain name to its sha256; `scores` holds the holdout's measures; `also`
    names further tasks that it learned, each with its prompt version.
    """

    model_config = ConfigDict(extra="allow", frozen=True)
    id: AdapterId
    task: TaskName
    prompt_version: str
    base: str
    created_at: datetime
    files: Annotated[dict[str, str], AfterValidator(_files)]
    scores: dict[str, float] = {}
    also: dict[TaskName, str] = {}
    data: str = ""
    licence: str = ""


class Pointer(BaseModel):
    """Which adapter of a task serves, and which served before, oldest first."""

    adapter: AdapterId | None = None
    previous: list[AdapterId] = []


def parse_manifest(text: str | bytes, where: object) -> Manifest:
    """A manifest from its JSON.

    Raises:
        BadAdapter: not JSON, a field is missing, or a name in it is no plain name.
    """
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        raise BadAdapter(f"{where} has no readable {MANIFEST}: {first_fault(error)}") from None


def first_fault(error: ValidationError) -> str:
    """One line: which field, and what is wrong with it. The value itself is not shown."""
    fault = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(str(part) for part in fault['loc']) or 'the whole'}: {fault['msg']}"


def read_manifest(folder: Path) -> Manifest:
    """The manifest in a folder that the caller named; its id need not be the folder's name.

    Raises:
        BadAdapter: none, or unreadable.
        TemporaryFailure: the disk failed.
    """
    try:
        text = (folder / MANIFEST).read_bytes()
    except ABSENT as error:
        raise BadAdapter(f"{folder} has no readable {MANIFEST}: {error}") from None
    except OSError as error:
        raise TemporaryFailure(f"{folder / MANIFEST} cannot be read now: {error}") from error
    return parse_manifest(text, folder)


def check(folder: Path, manifest: Manifest) -> None:
    """Compare every file with the manifest.

    Raises:
        BadAdapter: a file is missing, changed, or a link that leads out of the folder.
        TemporaryFailure: the disk failed.
    """
    for file, digest in manifest.files.items():
        path = folder / file
        if not path.exists():
            raise BadAdapter(f"adapter {manifest.id}: {file} is missing")
        # Our own wheel may be installed as links into an installer's cache.
        if path.resolve().parent != folder.resolve() and PACKAGED not in folder.parents:
            raise BadAdapter(
                f"adapter {manifest.id}: {file} is a link that leads outside its folder; "
                "copy the folder with `cp -rL`"
            )
        try:
            found = file_sha256(path)
        except ABSENT:
            raise BadAdapter(f"adapter {manifest.id}: {file} is no file") from None
        except OSError as error:
            raise TemporaryFailure(f"{path} cannot be read now: {error}") from error
        if found != digest:
            raise BadAdapter(
                f"adapter {manifest.id}: {file} is corrupt (its sha256 differs from the manifest)"
            )


def packaged_for(base: str, task: str) -> str | None:
    """Id of the adapter in our own wheel for this base and task, or None."""
    for path in sorted(PACKAGED.glob(f"*/{MANIFEST}")):
        manifest = read_manifest(path.parent)
        if manifest.base == base and task in {manifest.task, *manifest.also}:
            return PACKAGED_PREFIX + path.parent.name
    return None
