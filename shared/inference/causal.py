"""Loading a causal language model and its tokenizer, in the precision that the device is good at.

It does not know prompts, nor which adapter is in force.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from shared.errors import Misconfigured, ModelUnavailable
from shared.inference import lora
from shared.inference.weights import resolve
from shared.settings import Settings


def cpu_or_cuda_dtype(device: str) -> Any:
    """bf16 where the hardware multiplies in it, else fp32. phi-2 overflows in fp16, so that is never used."""
    import torch

    if device.startswith("cuda"):
        return torch.bfloat16
    return torch.bfloat16 if _has_bf16() else torch.float32


def _has_bf16() -> bool:
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="ignore") as info:
            return "avx512_bf16" in (text := info.read()) or "amx_bf16" in text or "bf16" in text
    except OSError:
        return False


def uses_nf4(settings: Settings, folder: Path, room: float = 1.5) -> bool:
    """Whether the base is loaded in 4 bits (BEYOND_NF4): a quarter of the memory, and slower where bf16 fits.

    Args:
        settings: `nf4`, `device`.
        folder: the base's weights.
        room: "auto" says yes on CUDA with less free memory than this many times the weights.

    Raises:
        Misconfigured: it is always to be, and bitsandbytes is missing.
    """
    import torch

    there = importlib.util.find_spec("bitsandbytes") is not None
    if settings.nf4 == "always" and not there:
        raise Misconfigured(
            "BEYOND_NF4=always needs bitsandbytes: pip install 'beyond-sentiment[gpu]', "
            "or set BEYOND_NF4=auto or never"
        )
    if settings.nf4 != "auto":
        return settings.nf4 == "always"
    if not there or not settings.device.startswith("cuda"):
        return False
    weights = sum(p.stat().st_size for p in folder.glob("*.safetensors"))
    return bool(torch.cuda.mem_get_info()[0] < room * weights)


def precision(model: Any) -> str:
    """What a loaded model computes in, for people: "nf4", "bfloat16", "float32"."""
    four_bits = getattr(model, "is_loaded_in_4bit", False)
    return "nf4" if four_bits else str(model.dtype).removeprefix("torch.")


def load_base(settings: Settings, dtype: Any = None, *, room: float = 1.5) -> tuple[Any, Any]:
    """The base model in eval mode on its device, and its tokenizer (padding token set).

    Args:
        settings: which, and on which device.
        dtype: for weights that are not quantised; None: what the device is good at.
        room: see `uses_nf4`.

    Raises:
        ModelUnavailable: weights missing or unreadable, or no such device.
        Misconfigured: bitsandbytes is missing and BEYOND_NF4=always.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if settings.threads:
        torch.set_num_threads(settings.threads)
    if settings.device.startswith("cuda") and not torch.cuda.is_available():
        raise ModelUnavailable(
            "BEYOND_DEVICE=cuda but torch sees no CUDA device; use BEYOND_PRESET=laptop"
        )
    folder = resolve(settings.insight_model, settings.cache)
    options: dict[str, Any] = {"dtype": dtype or cpu_or_cuda_dtype(settings.device)}
    if settings.device.startswith("cuda"):
        options["device_map"] = settings.device
    if uses_nf4(settings, folder, room):
        from transformers import BitsAndBytesConfig

        options["device_map"] = settings.device
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=cpu_or_cuda_dtype(settings.device),
        )
    try:
        model = AutoModelForCausalLM.from_pretrained(str(folder), **options).eval()
        tokenizer = AutoTokenizer.from_pretrained(str(folder))
    except (OSError, ValueError, KeyError) as error:
        raise ModelUnavailable(
            f"{settings.insight_model} at {folder} cannot be loaded: {error}"
        ) from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model, tokenizer


def load_merged(settings: Settings, adapter: Path) -> Any:
    """The base with a LoRA adapter merged in: faster tokens than beside it.

    Merged in fp32, because bf16 would round twice, then cast to the serving precision. Never nf4:
    what is merged into 4 bits is rounded away.

    Raises:
        ModelUnavailable: the base cannot be loaded. Whatever peft says of a corrupt or unfit
            adapter.
    """
    import torch
    from peft import PeftModel

    whole = settings.model_copy(update={"nf4": "never"})
    base, _ = load_base(whole, dtype=torch.float32)
    merged = PeftModel.from_pretrained(base, str(adapter)).merge_and_unload()
    return merged.to(cpu_or_cuda_dtype(settings.device)).eval()


def load_with(settings: Settings, adapter: Path | None) -> tuple[Any, Any]:
    """Base, adapter and tokenizer as a worker with these settings serves them.

    Merged with `merge_adapter`, unless the base is nf4; else the adapter stays beside it.

    Raises:
        ModelUnavailable: the base cannot be loaded. Whatever peft says of a corrupt or unfit
            adapter.
    """
    base, tokenizer = load_base(settings)
    if adapter is None:
        return base, tokenizer
    if settings.merge_adapter and precision(base) != "nf4":
        del base  # two would have to fit
        return load_merged(settings, adapter), tokenizer
    return lora.attach(base, adapter, str(adapter)), tokenizer
