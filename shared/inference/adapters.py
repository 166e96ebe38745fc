"""Adapter registry: immutable folders, manifest written last, and one promoted pointer per task.

    ROOT/ID/adapter_model.safetensors, adapter_config.json, ..., manifest.json
    ROOT/promoted-TASK.json        {"adapter": ID, "previous": [ID, ...]}

ROOT is a folder or any fsspec URL (s3://bucket/path, ...): what is remote is copied to the cache
and checked against the manifest's hashes before use. Over http(s):// it can only be read, which is
what a worker does. A registry that is away is told from an adapter that is bad: the first is worth
another try. It does not know models or training.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec
from pydantic import ValidationError

from shared.errors import BeyondError, Misconfigured, TemporaryFailure
from shared.inference.manifest import (
    ABSENT,
    MANIFEST,
    PACKAGED_PREFIX,
    BadAdapter,
    Manifest,
    Pointer,
    check,
    first_fault,
    is_file_name,
    is_id,
    is_task,
    packaged_for,
    parse_manifest,
    read_manifest,
)
from shared.inference.weights import PACKAGED, file_sha256
from shared.settings import MATCHER_BASE, Settings, base_name

__all__ = [
    "BadAdapter", "Manifest", "Registry", "check",
    "default_for", "open_registry", "packaged_for", "read_manifest",
]  # fmt: skip
# Adapters that a pointer remembers for `rollback`; older ones are pruned long before.
_REMEMBERED = 20


class Registry:
    """Reads and writes adapters under one root.

    Every call raises TemporaryFailure while the registry is away; then repeating it may help.
    """

    def __init__(self, root: str, cache: Path) -> None:
        try:
            self._fs, self._root = fsspec.core.url_to_fs(root.rstrip("/"))
        except (ImportError, ValueError) as error:
            raise Misconfigured(f"BEYOND_ADAPTERS_URL={root}: {error}") from None
        self._local, self._cache = self._fs.protocol in ("file", ("file", "local")), cache

    @contextmanager
    def _reaching(self, what: str, writing: bool = False) -> Iterator[None]:
        """Remote clients raise what they like (botocore's and aiohttp's errors are no OSError)."""
        if writing and "http" in self._fs.protocol:  # fsspec would POST to it
            raise Misconfigured(
                f"{self._root} can only be read; set BEYOND_ADAPTERS_URL to the folder or bucket behind it"
            )
        try:
            yield
        except BeyondError:
            raise
        except ABSENT as error:
            raise BadAdapter(f"{what} is missing under {self._root}: {error}") from None
        except Exception as error:
            raise TemporaryFailure(
                f"{what} cannot be reached under {self._root}: {type(error).__name__}: {error}"
            ) from error

    def publish(self, folder: Path, **facts: Any) -> Manifest:
        """Copy a trained adapter in; it exists once its manifest does, which is written last.

        Hidden files are left out.

        Raises:
            TemporaryFailure: the copy failed (disk full, no access); nothing half-made is listed.
            Misconfigured: the registry can only be read; also of `promote`, `rollback`, `prune`.
            BadAdapter: a file's or the task's name could not be read back.
        """
        paths = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
        files = {p.name: file_sha256(p) for p in paths if p.name != MANIFEST}
        if odd := [name for name in files if not is_file_name(name)]:
            raise BadAdapter(f"{folder}: {odd[0]!r} is not a plain file name; rename or remove it")
        if not is_task(facts["task"]):
            raise BadAdapter(f"{facts['task']!r} is not a task's name")
        created = datetime.now(UTC)
        # With the microseconds: the same files published twice in a second are two adapters.
        unique = f"{created.isoformat()}{files}".encode()
        digest = hashlib.sha256(unique).hexdigest()[:6]
        name = f"{facts['task']}-{created:%Y%m%d-%H%M%S}-{digest}"
        manifest = Manifest(id=name, created_at=created, files=files, **facts)
        target = f"{self._root}/{name}"
        with self._reaching(name, writing=True):
            self._fs.makedirs(target, exist_ok=False)  # before `try`: what is there is not ours
        try:
            for file in files:
                self._fs.put_file(str(folder / file), f"{target}/{file}")
            self._write(f"{target}/{MANIFEST}", manifest.model_dump_json(indent=1))
        except Exception as error:
            try:
                self._fs.rm(target, recursive=True)
            except Exception:
                pass  # without a manifest it is not an adapter, and takes no part in anything
            raise TemporaryFailure(
                f"could not publish {name} under {self._root}: {error}; free some space and repeat"
            ) from error
        return manifest

    def all(self) -> list[Manifest]:
        """All complete adapters, oldest first.

        A folder is left out that has no readable manifest, or whose manifest names another id.
        """
        with self._reaching("the list of adapters"):
            self._fs.invalidate_cache()  # object stores' clients remember listings
            if not self._fs.exists(self._root):
                return []
            paths = self._fs.ls(self._root, detail=False)
        out = []
        for name in (path.rstrip("/").rpartition("/")[2] for path in paths):
            if is_id(name) and not name.startswith(PACKAGED_PREFIX):
                try:
                    out.append(self.manifest(name))
                except BadAdapter:
                    continue
        return sorted(out, key=lambda m: m.created_at)

    def manifest(self, name: str) -> Manifest:
        """One adapter's manifest.

        Raises:
            BadAdapter: there is none, it cannot be read, or it is another adapter's.
        """
        if not is_id(name):
            raise BadAdapter(f"{name!r} is no adapter id")
        if name.startswith(PACKAGED_PREFIX):
            return read_manifest(PACKAGED / name.removeprefix(PACKAGED_PREFIX))
        if self._local and Path(self._root, name).resolve() != Path(self._root).resolve() / name:
            raise BadAdapter(f"adapter {name} is a link that leads outside {self._root}")
        with self._reaching(f"adapter {name}"):
            text = self._fs.cat_file(f"{self._root}/{name}/{MANIFEST}")
        manifest = parse_manifest(text, f"adapter {name}")
        if manifest.id != name:
            raise BadAdapter(f"adapter {name}: its manifest names itself {manifest.id}")
        return manifest

    def fetch(self, name: str) -> Path:
        """A local folder with the adapter, every file checked against the manifest.

        Raises:
            BadAdapter: missing, or a file has another hash.
            TemporaryFailure: the registry is away, or the cache cannot be written.
        """
        manifest = self.manifest(name)
        if name.startswith(PACKAGED_PREFIX):
            folder = PACKAGED / name.removeprefix(PACKAGED_PREFIX)
        elif self._local:
            folder = Path(self._root) / name
        else:
            return self._copied(name, manifest)
        check(folder, manifest)
        return folder

    def _copied(self, name: str, manifest: Manifest) -> Path:
        """The cached copy, made anew when it is not what the registry has."""
        folder = self._cache / "adapters" / name
        try:
            if read_manifest(folder) == manifest:
                check(folder, manifest)
                return folder
        except BadAdapter:
            pass
        with self._reaching(f"adapter {name}"):
            folder.parent.mkdir(parents=True, exist_ok=True)
            scratch = Path(tempfile.mkdtemp(dir=folder.parent))
            try:
                for file in manifest.files:
                    self._fs.get_file(f"{self._root}/{name}/{file}", str(scratch / file))
                (scratch / MANIFEST).write_text(manifest.model_dump_json(indent=1))
                check(scratch, manifest)
                shutil.rmtree(folder, ignore_errors=True)
                scratch.rename(folder)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
        return folder

    def promoted(self, task: str) -> str | None:
        """Id that the task's pointer names, or None.

        Raises:
            BadAdapter: the pointer holds no ids.
        """
        return self._pointer(task).adapter

    def _pointer(self, task: str) -> Pointer:
        if not is_task(task):
            raise BadAdapter(f"{task!r} is not a task's name")
        what = f"the promoted pointer of {task}"
        with self._reaching(what):
            try:
                text = self._fs.cat_file(f"{self._root}/promoted-{task}.json")
            except FileNotFoundError:
                return Pointer()
        try:
            return Pointer.model_validate_json(text)
        except ValidationError as error:
            raise BadAdapter(f"{what} cannot be read: {first_fault(error)}") from None

    def promote(self, name: str) -> Manifest:
        """Move the task's pointer to this adapter, atomically, after checking it.

        Raises:
            BadAdapter: it is missing or corrupt; the pointer stays.
        """
        self.fetch(name)
        manifest = self.manifest(name)
        old = self._pointer(manifest.task)
        if old.adapter != name:
            previous = [*old.previous, *([old.adapter] if old.adapter else [])]
            self._move(manifest.task, Pointer(adapter=name, previous=previous[-_REMEMBERED:]))
        return manifest

    def rollback(self, task: str) -> str:
        """Move the pointer back to the adapter before; returns its id.

        Raises:
            BadAdapter: there is no earlier one, or it is gone.
        """
        previous = self._pointer(task).previous
        if not previous:
            raise BadAdapter(f"no earlier adapter of task {task} to roll back to")
        self.fetch(previous[-1])
        self._move(task, Pointer(adapter=previous[-1], previous=previous[:-1]))
        return previous[-1]

    def _move(self, task: str, pointer: Pointer) -> None:
        with self._reaching(f"the promoted pointer of {task}", writing=True):
            self._fs.makedirs(self._root, exist_ok=True)
            self._write(f"{self._root}/promoted-{task}.json", pointer.model_dump_json())

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
        """Remove all but the newest `keep` adapters per task; never a promoted one.

        Returns:
            The removed ids. Each is its folder's own name: `all` lists no other.
        """
        gone = []
        by_task: dict[str, list[Manifest]] = {}
        for manifest in self.all():
            by_task.setdefault(manifest.task, []).append(manifest)
        promoted = {task: self.promoted(task) for task in by_task}
        for task, manifests in by_task.items():
            for manifest in manifests[: max(0, len(manifests) - keep)]:
                if manifest.id != promoted[task]:
                    with self._reaching(f"adapter {manifest.id}", writing=True):
                        self._fs.rm(f"{self._root}/{manifest.id}", recursive=True)
                    gone.append(manifest.id)
        return gone


def default_for(registry: Registry, task: str, settings: Settings) -> str | None:
    """The adapter of a task that these settings serve: the promoted one if it fits, else a packaged one, else None."""
    matched = task == "issues" and settings.insight_writer == "matched"
    base = MATCHER_BASE if matched else base_name(settings)
    name = registry.promoted(task)
    if name is not None and registry.manifest(name).base == base:
        return name
    return packaged_for(base, task)


def open_registry(settings: Settings) -> Registry:
    """The registry that the settings name."""
    return Registry(settings.adapters_url or str(settings.home / "adapters"), settings.cache)
