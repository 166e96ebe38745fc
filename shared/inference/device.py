"""Taking the device that a worker is to run on, before any weights are read.

It does not know models.
"""

from __future__ import annotations

from shared.errors import ModelUnavailable
from shared.settings import Settings

_CPU = "or run on the CPU (BEYOND_PRESET=laptop, or BEYOND_DEVICE=cpu)"


def take_device(settings: Settings) -> None:
    """See that the device is there, and keep to our share of its memory (BEYOND_DEVICE_SHARE).

    Raises:
        ModelUnavailable: no such device; the text says what to do.
    """
    if not settings.device.startswith("cuda"):
        return
    import torch

    if not torch.cuda.is_available():
        built = "" if torch.version.cuda else "; this torch is built for the CPU alone"
        raise ModelUnavailable(
            f"BEYOND_DEVICE={settings.device}: torch sees no CUDA device{built}. Look at `nvidia-smi` and "
            f"CUDA_VISIBLE_DEVICES (--devices), install torch built for CUDA, {_CPU}"
        )
    try:
        torch.cuda.set_device(settings.device)
    except (RuntimeError, ValueError) as error:
        raise ModelUnavailable(
            f"BEYOND_DEVICE={settings.device} cannot be used: {error}; name another GPU, {_CPU}"
        ) from error
    if settings.device_share < 1:
        torch.cuda.set_per_process_memory_fraction(settings.device_share)
