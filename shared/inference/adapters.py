"""Adapter registry: immutable folders, manifest written last, and one promoted pointer per task.

    ROOT/ID/adapter_model.safetensors, adapter_config.json, ..., manifest.json
    ROOT/promoted-TASK.json        {"adapter": ID, "previous": [ID, ...]}

ROOT is a folder or any fsspec URL (s3://bucket/path, ...): what is remote is copied to the cache and checked against the
manifest's hashes before use. It does not know models or training.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec
from pydantic import BaseModel, ConfigDict

from shared.errors import Misconfigured, TemporaryFailure
from shared.inference.weights import PACKAGED, file_sha256
from shared.settings import MATCHER_BASE, Settings, base_name

MANIFEST = "manifest.json"
PACKAGED_PREFIX = "packaged-"
_ID = re.compile(r"^[a-z0-9][a-z0-9._-]{2,80}$")


class Manifest(BaseModel):
    """What an adapter is.

    `files` maps each file's name to its sha256; `scores` holds the holdout's measures; `also` names
    further tasks that it learned, each with its prompt version.
    """

    model_config = ConfigDict(extra="allow", frozen=True)
    id: str
    task: str
    prompt_version: str
    base: str
    created_at: datetime
    files: dict[str, str]
    scores: dict[str, float] = {}
    also: dict[str, str] = {}
    data: str = ""
    licence: str = ""


class BadAdapter(Misconfigured):
    """An adapter is missing, corrupt, or not for this base, task or prompt; the text says which."""


class Registry:
    """Reads and writes adapters under one root."""

    def __init__(self, root: str, cache: Path) -> None:
        try:
            self._fs, self._root = fsspec.core.url_to_fs(root)
        except (ImportError, ValueError) as error:
            raise Misconfigured(f"BEYOND_ADAPTERS_URL={root}: {error}") from None
        self._local, self._cache = self._fs.protocol in ("file", ("file", "local")), cache

    def publish(self, folder: Path, **facts: Any) -> Manifest:
        """Copy a trained adapter in; it exists once its manifest does, which is written last.

        Raises:
            TemporaryFailure: the copy failed (disk full, no access); nothing half-made is listed.
        """
        files = {
            p.name: file_sha256(p)
            for p in sorted(folder.iterdir())
            if p.is_file() and p.name != MANIFEST
        }
        created = datetime.now(UTC)
        stamp = f"{created:%Y%m%d-%H%M%S}"
        digest = hashlib.sha256("".join(files.values()).encode()).hexdigest()[:6]
        name = f"{facts['task']}-{stamp}-{digest}"
        manifest = Manifest(id=name, created_at=created, files=files, **facts)
        target = f"{self._root}/{name}"
        try:
            self._fs.makedirs(target, exist_ok=False)
            for file in files:
                self._fs.put_file(str(folder / file), f"{target}/{file}")
            self._write(f"{target}/{MANIFEST}", manifest.model_dump_json(indent=1))
        except (OSError, FileExistsError) as error:
            try:
                self._fs.rm(target, recursive=True)
            except OSError:
                pass  # without a manifest it is not an adapter; `prune` removes it
            raise TemporaryFailure(
                f"could not publish {name} under {self._root}: {error}; free some space and repeat"
            ) from error
        return manifest

    def all(self) -> list[Manifest]:
        """All complete adapters, oldest first; folders without a readable manifest are left out."""
        out = []
        for path in self._fs.glob(f"{self._root}/*/{MANIFEST}"):
            try:
                out.append(Manifest.model_validate_json(self._fs.cat_file(path)))
            except (OSError, ValueError):
                continue
        return sorted(out, key=lambda m: m.created_at)

    def manifest(self, name: str) -> Manifest:
        """One adapter's manifest.

        Raises:
            BadAdapter: there is none, or it cannot be read.
        """
        if name.startswith(PACKAGED_PREFIX):
            return read_manifest(PACKAGED / name.removeprefix(PACKAGED_PREFIX))
        if not _ID.match(name):
            raise BadAdapter(f"{name!r} is no adapter id")
        try:
            return Manifest.model_validate_json(
                self._fs.cat_file(f"{self._root}/{name}/{MANIFEST}")
            )
        except (OSError, ValueError) as error:
            raise BadAdapter(
                f"adapter {name} is missing or has no readable manifest: {error}"
            ) from None

    def fetch(self, name: str) -> Path:
        """A local folder with the adapter, every file checked against the manifest.

        Raises:
            BadAdapter: missing, or a file has another hash.
        """
        manifest = self.manifest(name)
        if name.startswith(PACKAGED_PREFIX):
            folder = PACKAGED / name.removeprefix(PACKAGED_PREFIX)
        elif self._local:
            folder = Path(self._root) / name
        else:
            folder = self._copy(name, manifest)
        check(folder, manifest)
        return folder

    def _copy(self, name: str, manifest: Manifest) -> Path:
        folder = self._cache / "adapters" / name
        if not (folder / MANIFEST).exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            scratch = Path(tempfile.mkdtemp(dir=folder.parent))
            try:
                for file in manifest.files:
                    self._fs.get_file(f"{self._root}/{name}/{file}", str(scratch / file))
                (scratch / MANIFEST).write_text(manifest.model_dump_json(indent=1))
                shutil.rmtree(folder, ignore_errors=True)
                scratch.rename(folder)
            except OSError as error:
                shutil.rmtree(scratch, ignore_errors=True)
                raise BadAdapter(
                    f"adapter {name} could not be copied from {self._root}: {error}"
                ) from error
        return folder

    def promoted(self, task: str) -> str | None:
        """Id that the task's pointer names, or None."""
        return self._pointer(task).get("adapter")

    def _pointer(self, task: str) -> dict[str, Any]:
        try:
            return dict(json.loads(self._fs.cat_file(f"{self._root}/promoted-{task}.json")))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise BadAdapter(f"the promoted pointer of {task} cannot be read: {error}") from None

    def promote(self, name: str) -> Manifest:
        """Move the task's pointer to this adapter, atomically, after checking it.

        Raises:
            BadAdapter: it is missing or corrupt; the pointer stays.
        """
        self.fetch(name)
        manifest = self.manifest(name)
        old = self._pointer(manifest.task)
        previous = [*old.get("previous", []), old["adapter"]] if old.get("adapter") else []
        if old.get("adapter") != name:
            self._move(manifest.task, {"adapter": name, "previous": previous[-20:]})
        return manifest

    def rollback(self, task: str) -> str:
        """Move the pointer back to the adapter before; returns its id.

        Raises:
            BadAdapter: there is no earlier one, or it is gone.
        """
        previous = self._pointer(task).get("previous", [])
        if not previous:
            raise BadAdapter(f"no earlier adapter of task {task} to roll back to")
        self.fetch(previous[-1])
        self._move(task, {"adapter": previous[-1], "previous": previous[:-1]})
        return str(previous[-1])

    def _move(self, task: str, pointer: dict[str, Any]) -> None:
        self._fs.makedirs(self._root, exist_ok=True)
        self._write(f"{self._root}/promoted-{task}.json", json.dumps(pointer))

    def _write(self, path: str, text: str) -> None:
        if not self._local:
            self._fs.pipe_file(path, text.encode())  # object stores replace an object atomically
            return
        with tempfile.NamedTemporaryFile("w", dir=os.path.dirname(path), delete=False) as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        os.replace(out.name, path)

    def prune(self, keep: int) -> list[str]:
        """Remove all but the newest `keep` adapters per task; never a promoted one. Returns the removed ids."""
        gone = []
        by_task: dict[str, list[Manifest]] = {}
        for manifest in self.all():
            by_task.setdefault(manifest.task, []).append(manifest)
        for task, manifests in by_task.items():
            for manifest in manifests[: max(0, len(manifests) - keep)]:
                if manifest.id != self.promoted(task):
                    self._fs.rm(f"{self._root}/{manifest.id}", recursive=True)
                    gone.append(manifest.id)
        return gone


def read_manifest(folder: Path) -> Manifest:
    """The manifest in a folder.

    Raises:
        BadAdapter: none, or unreadable.
    """
    try:
        return Manifest.model_validate_json((folder / MANIFEST).read_text())
    except (OSError, ValueError) as error:
        raise BadAdapter(f"{folder} has no readable {MANIFEST}: {error}") from None


def packaged_for(base: str, task: str) -> str | None:
    """Id of the adapter in our own wheel for this base and task, or None."""
    for path in sorted(PACKAGED.glob(f"*/{MANIFEST}")):
        manifest = read_manifest(path.parent)
        if manifest.base == base and task in {manifest.task, *manifest.also}:
            return PACKAGED_PREFIX + path.parent.name
    return None


def default_for(registry: Registry, task: str, settings: Settings) -> str | None:
    """The adapter of a task that these settings serve: the promoted one if it fits, else a packaged one, else None."""
    matched = task == "issues" and settings.insight_writer == "matched"
    base = MATCHER_BASE if matched else base_name(settings)
    name = registry.promoted(task)
    if name is not None and registry.manifest(name).base == base:
        return name
    return packaged_for(base, task)


def check(folder: Path, manifest: Manifest) -> None:
    """Compare every file with the manifest.

    Raises:
        BadAdapter: a file is missing or changed.
    """
    for file, digest in manifest.files.items():
        if not (folder / file).exists():
            raise BadAdapter(f"adapter {manifest.id}: {file} is missing")
        if file_sha256(folder / file) != digest:
            raise BadAdapter(
                f"adapter {manifest.id}: {file} is corrupt (its sha256 differs from the manifest)"
            )


def open_registry(settings: Settings) -> Registry:
    """The registry that the settings name."""
    return Registry(settings.adapters_url or str(settings.home / "adapters"), settings.cache)
