"""Loading a causal language model and its tokenizer, in the precision that the device is good at.

It does not know prompts, nor which adapter is in force.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from shared.errors import ModelUnavailable
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


def load_base(settings: Settings, dtype: Any = None, *, room: float = 1.5) -> tuple[Any, Any]:
    """The base model in eval mode on its device, and its tokenizer (padding token set).

    On CUDA with less free memory than `room` times the bf16 weights, bitsandbytes nf4 is used:
    slower, but it fits.

    Raises:
        ModelUnavailable: weights missing or unreadable, or no such device.
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
        weights = sum(p.stat().st_size for p in folder.glob("*.safetensors"))
        if weights and torch.cuda.mem_get_info()[0] < room * weights:
            from transformers import BitsAndBytesConfig

            options["quantization_config"] = BitsAndBytesConfig(
                load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
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

    Merged in fp32, because bf16 would round twice, then cast to the serving precision.

    Raises:
        ModelUnavailable: the base cannot be loaded. Whatever peft says of a corrupt or unfit
            adapter.
    """
    import torch
    from peft import PeftModel

    base, _ = load_base(settings, dtype=torch.float32)
    merged = PeftModel.from_pretrained(base, str(adapter)).merge_and_unload()
    return merged.to(cpu_or_cuda_dtype(settings.device)).eval()
