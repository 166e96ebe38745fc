"""Writes requirements.lock (image) and requirements-dev.lock (CI): exact versions with hashes, by uv.

torch stands apart: which build of it is wanted differs by machine, so it is installed first, by pip,
and left out here with the CUDA packages that its other builds pull in. No index is named: pip asks
the one that it is configured for, and the hashes say whether it got the same files.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCKS = {"requirements.lock": ("train",), "requirements-dev.lock": ("train", "dev")}
_APART = re.compile(r"torch|triton|nvidia-.*|cuda-.*")


def compiled(extras: tuple[str, ...], torch: str) -> str:
    """What uv resolves for Python 3.11 and later on every platform."""
    with tempfile.TemporaryDirectory() as folder:
        constraint, out = Path(folder) / "torch.txt", Path(folder) / "out.txt"
        constraint.write_text(torch + "\n")
        command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--universal"]
        command += [part for extra in extras for part in ("--extra", extra)]
        command += ["--constraint", str(constraint), "--python-version", "3.11", "--quiet"]
        command += ["--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url"]
        subprocess.run([*command, "-o", str(out)], cwd=ROOT, check=True)
        return out.read_text()


def without_torch(text: str) -> str:
    """Requirements less those that stand apart; each begins at the margin and its hashes do not."""
    entries = re.split(r"^(?=\S)", text, flags=re.M)
    return "".join(
        entry for entry in entries if entry and not _APART.fullmatch(re.split(r"[=\[ ]", entry)[0])
    )


def main() -> None:
    """Write both locks."""
    (torch,) = set(re.findall(r"torch==[\d.]+", (ROOT / "Makefile").read_text()))
    for name, extras in LOCKS.items():
        text = without_torch(compiled(extras, torch))
        (ROOT / name).write_text(f"# `make lock` wrote this. First: pip install {torch}\n" + text)
        print(f"{name}: {text.count('==')} packages")


if __name__ == "__main__":
    main()
