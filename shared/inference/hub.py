"""Models of a hub, fetched ahead of use: what a preset needs, from the hub, a mirror or a folder, into the cache.

A fetched model lies in CACHE/hub/ORG/NAME as plain files with their hashes; weights.resolve finds it
there and asks no network. A fetch that was cut off goes on where it stopped. It does not know what a
model is used for beyond the name of that use.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from shared.errors import Misconfigured, ModelUnavailable
from shared.inference.weights import READY, file_sha256, locked
from shared.settings import Settings

# Other forms of the same weights, which we never load.
_OTHER_FORMS = ["*.bin", "*.h5", "*.msgpack", "*.onnx", "*.ot", "onnx/*", "*.pt"]
_HALF, _BLOCK_BYTES, _TIMEOUT_SECONDS = ".half", 1 << 20, 60
# For listing without a network: (bytes of what is fetched, licence). The hub's own word counts more.
_KNOWN = {
    "SamLowe/roberta-base-go_emotions": (500_000_000, "MIT"),
    "microsoft/phi-2": (5_560_000_000, "MIT"),
    "roberta-large": (1_430_000_000, "MIT"),
    "TheBloke/Mistral-7B-Instruct-v0.2-GGUF": (4_370_000_000, "Apache-2.0"),
}


@dataclass(frozen=True)
class Wanted:
    """A model that a preset uses: what for, where from, and which of its files (empty: safetensors and words)."""

    use: str
    source: str
    only: tuple[str, ...] = ()

    @property
    def repo(self) -> str:
        """ORG/NAME, without kind and revision."""
        return self.source.removeprefix("hub:").partition("@")[0]

    @property
    def revision(self) -> str | None:
        """The revision asked for; None: the newest."""
        return self.source.partition("@")[2] or None


@dataclass(frozen=True)
class Offer:
    """What a place has of a model: bytes to fetch in all, licence as it says, files by name.

    Of each file its bytes, and its sha256 where the place names one (large files), else "".
    """

    size_bytes: int
    licence: str
    files: Mapping[str, tuple[int, str]] = field(default_factory=dict)


def wanted(settings: Settings) -> list[Wanted]:
    """The hub models of these settings, in the order of a review's way; none twice."""
    uses = [
        Wanted("emotions", settings.emotion_model),
        Wanted("insights", settings.insight_model),
        Wanted("BERTScore of evaluation", settings.bertscore_model),
    ]
    kind, _, teacher = settings.teacher.partition(":")
    if kind == "gguf":
        uses.append(Wanted("teacher", teacher, ("*Q4_K_M.gguf",)))
    return [use for use in uses if use.source.startswith("hub:")]


def folder_of(source: str, cache: Path) -> Path:
    """Where `hub:ORG/NAME[@REVISION]` lies once it is fetched."""
    return cache / "hub" / source.removeprefix("hub:")


def guess(want: Wanted) -> Offer:
    """What is known of a model without asking anybody; 0 bytes where nothing is."""
    return Offer(*_KNOWN.get(want.repo, (0, "unknown")))


def fetch(want: Wanted, cache: Path, place: str | None = None) -> Path:
    """The model's folder, complete and noted with its hashes; at once where it is here already.

    Args:
        want: which model.
        cache: BEYOND_CACHE.
        place: a mirror's URL; or a folder with ORG/NAME in it, or NAME, or a hub client's cache.
            None: the hub that HF_ENDPOINT names.

    Raises:
        ModelUnavailable: not reachable or not there, cut off (repeat it), or too little disk.
        Misconfigured: `place` is neither.
    """
    folder = folder_of(want.source, cache)
    if (folder / READY).exists():
        return folder
    with locked(cache):
        if not (folder / READY).exists():
            if place is None or "://" in place:
                _download(want, folder, place)
            else:
                _copy(want, _found(want, Path(place).expanduser()), folder)
            # A half that is left belongs to a file that the place no longer has.
            for left in folder.rglob(f"*{_HALF}"):
                left.unlink()
            files = sorted(p for p in folder.rglob("*") if p.is_file())
            lines = [want.source, *(f"{file_sha256(p)}  {p.relative_to(folder)}" for p in files)]
            (folder / READY).write_text("\n".join(lines))
    return folder


def offer(want: Wanted, place: str | None = None) -> Offer:
    """What the hub, or a mirror of it, has of a model.

    Raises:
        ModelUnavailable: not reachable, or not there.
    """
    from fnmatch import fnmatch

    from huggingface_hub import HfApi

    try:
        info: Any = HfApi(endpoint=place).model_info(
            want.repo, revision=want.revision, files_metadata=True
        )
    except Exception as error:  # the hub client raises a dozen unrelated types
        raise _away(want, place, error) from error
    files = {
        file.rfilename: (file.size or 0, file.lfs.sha256 if file.lfs else "")
        for file in info.siblings or []
        if (
            any(fnmatch(file.rfilename, p) for p in want.only)
            if want.only
            else not any(fnmatch(file.rfilename, p) for p in _OTHER_FORMS)
        )
    }
    said = (info.card_data or {}).get("license") if info.card_data else None
    return Offer(sum(size for size, _ in files.values()), said or guess(want).licence, files)


def _download(want: Wanted, folder: Path, mirror: str | None) -> None:
    found = offer(want, mirror)
    if not any(file.endswith((".safetensors", ".gguf")) for file in found.files):
        raise ModelUnavailable(
            f"{want.repo} has no {' or '.join(want.only) or '.safetensors'} file"
        )
    _room(want, found.size_bytes, folder)
    for file, (size, sha256) in found.files.items():
        try:
            _file(want, file, folder, size, mirror)
        except (httpx.HTTPError, OSError) as error:
            raise _away(want, mirror, error) from error
        if sha256 and file_sha256(folder / file) != sha256:
            (folder / file).unlink()
            raise ModelUnavailable(
                f"{want.repo}: {file} does not have the sha256 that {mirror or 'the hub'} names; it is removed: "
                "repeat the command"
            )


def _file(want: Wanted, file: str, folder: Path, size: int, mirror: str | None) -> None:
    """One file, from where its half ends. The hub's own client begins anew (since its version 1)."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.utils import build_hf_headers

    target = folder / file
    if target.exists() and target.stat().st_size == size:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    half = target.with_name(target.name + _HALF)
    have = half.stat().st_size if half.exists() else 0
    if have < size or not half.exists():
        url = hf_hub_url(want.repo, file, revision=want.revision, endpoint=mirror)
        headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
        headers |= {"Range": f"bytes={have}-"} if have else {}
        with httpx.stream(
            "GET", url, headers=headers, follow_redirects=True, timeout=_TIMEOUT_SECONDS
        ) as answer:
            answer.raise_for_status()
            # 200 to a Range: the place knows none, and sends all of it once more.
            with half.open(
                "ab" if answer.status_code == httpx.codes.PARTIAL_CONTENT else "wb"
            ) as out:
                for block in answer.iter_bytes(_BLOCK_BYTES):
                    out.write(block)
    if half.stat().st_size != size:
        half.unlink()
        raise OSError(f"{file} has another size than the {size} bytes it was listed with")
    half.rename(target)


def _away(want: Wanted, mirror: str | None, error: Exception) -> ModelUnavailable:
    return ModelUnavailable(
        f"cannot get {want.repo} from {mirror or 'the model hub'}: {error}. What has come is kept: repeat the "
        "command to go on. Without a way to the hub: `--from URL` of a mirror, `--from FOLDER` of a copy, "
        "or the laptop preset (BEYOND_PRESET=laptop)"
    )


def _room(want: Wanted, needed_bytes: int, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    here = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    free = shutil.disk_usage(folder).free
    if needed_bytes - here > free:
        raise ModelUnavailable(
            f"{want.repo} needs {(needed_bytes - here) / 1e9:.1f} GB more, and {folder} has {free / 1e9:.1f} GB "
            "free; make room, or set BEYOND_CACHE to a folder on a larger disk"
        )


def _found(want: Wanted, place: Path) -> Path:
    """The model's folder within a folder: ORG/NAME, NAME, or the newest snapshot of a hub client's cache."""
    if not place.is_dir():
        raise Misconfigured(f"--from {place}: neither a folder nor a URL (https://...)")
    kept = place / f"models--{want.repo.replace('/', '--')}"
    newest = kept / "refs" / (want.revision or "main")
    folders = [place / want.repo, place / want.repo.rsplit("/", 1)[-1]]
    if newest.is_file():
        folders.append(kept / "snapshots" / newest.read_text().strip())
    for folder in folders:
        if folder.is_dir():
            return folder
    raise ModelUnavailable(
        f"--from {place}: {want.repo} is not there, neither as {want.repo} nor as models--...; "
        f"on a machine with a way to the hub: `hf download {want.repo} --local-dir {want.repo}`"
    )


def _copy(want: Wanted, source: Path, folder: Path) -> None:
    """Copy what we load, file by file; one that is here whole is not copied again."""
    patterns = want.only or ("*",)
    files = {p for pattern in patterns for p in source.rglob(pattern) if p.is_file()}
    if not want.only:
        files -= {p for form in [*_OTHER_FORMS, ".cache/*"] for p in source.glob(f"**/{form}")}
    if not any(p.suffix in {".safetensors", ".gguf"} for p in files):
        raise ModelUnavailable(f"{source} holds no {want.only or '.safetensors'} of {want.repo}")
    _room(want, sum(p.stat().st_size for p in files), folder)
    for path in sorted(files):
        target = folder / path.relative_to(source)
        if target.exists() and target.stat().st_size == path.stat().st_size:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        half = target.with_name(target.name + _HALF)
        shutil.copyfile(path, half)
        half.rename(target)
