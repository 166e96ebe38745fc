"""Which GPUs `beyond work --devices` means, and what each worker of them gets. It starts no worker.

CUDA is asked in a process of its own: a supervisor that had asked would hold memory on each GPU.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence

from shared.errors import Misconfigured
from shared.settings import Settings

# Identifiers mean the same GPU whatever CUDA_VISIBLE_DEVICES says here; numbers would not.
_LIST = (
    "import torch\n"
    "for i in range(torch.cuda.device_count()):\n"
    "    print(f'GPU-{torch.cuda.get_device_properties(i).uuid}')"
)
_NAME = re.compile(r"\d+|(GPU|MIG)-[0-9A-Za-z/-]+")


def chosen(text: str) -> list[str]:
    """The devices of `all`, or of a list like `0,1`, in CUDA_VISIBLE_DEVICES's own words.

    Raises:
        Misconfigured: not such a list, or `all` where torch sees no GPU.
    """
    if text.strip() == "all":
        return _all()
    names = [name.strip() for name in text.split(",")]
    wrong = [name for name in names if not _NAME.fullmatch(name)]
    if wrong:
        raise Misconfigured(
            f"--devices {text}: {wrong[0]!r} names no GPU; give all, or numbers or identifiers as "
            "`nvidia-smi -L` lists them, e.g. --devices 0,1"
        )
    return names


def _all() -> list[str]:
    done = subprocess.run([sys.executable, "-c", _LIST], capture_output=True, text=True)
    found = done.stdout.split()
    if found and not done.returncode:
        return found
    reason = done.stderr.strip().splitlines()[-1:]
    raise Misconfigured(
        "--devices all: torch sees no GPU here"
        + (f" ({reason[0]})" if reason else "")
        + "; look at `nvidia-smi`, install torch built for CUDA, name the GPUs (--devices 0,1), "
        "or leave --devices out to work on the CPU"
    )


def places(settings: Settings, workers: int, devices: Sequence[str] | None) -> list[dict[str, str]]:
    """The environment of each worker: a share of the CPU's threads, and of its GPU's memory.

    Args:
        settings: `threads` and `device` decide where they are set.
        workers: for each device; in all, where there are none.
        devices: in CUDA's words; a worker sees its own alone. None: as the environment says.
    """
    all_of_them = [device for device in devices or [None] for _ in range(workers)]  # type: ignore[list-item]
    threads = str(settings.threads or max(1, (os.cpu_count() or 1) // len(all_of_them)))
    shared = {"BEYOND_THREADS": threads, "OMP_NUM_THREADS": threads}
    out = []
    for device in all_of_them:
        place = dict(shared)
        if device is not None:
            place["CUDA_VISIBLE_DEVICES"] = device
            place["BEYOND_DEVICE_SHARE"] = f"{1 / all_of_them.count(device):.4f}"
            if settings.device.startswith("cuda"):  # the only one that it sees is its first
                place["BEYOND_DEVICE"] = "cuda"
        out.append(place)
    return out
