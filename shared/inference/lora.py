"""LoRA adapters on a model that goes on serving: taken up in place, and undone without a trace.

peft puts its layers into the very model that it is given, and goes on from there when a file turns
out to be unfit half-way: whoever then serves the "bare" model serves the broken adapter. So every
step here can be taken back. It does not know which adapter is in force, nor prompts.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from shared.inference.manifest import BadAdapter

# Ways to begin LoRA that subtract from the base's own weights when the layers are made (peft's
# `init_lora_weights`): taking such layers out again does not bring the base back.
_CHANGE_THE_BASE = ("pissa", "olora", "corda", "loftq")


def layer_name(label: str) -> str:
    """What peft calls the adapter `label`: a module's name, so no dots, and no two alike."""
    return f"a{hashlib.sha256(label.encode()).hexdigest()[:16]}"


def attach(model: Any, folder: Path, label: str) -> Any:
    """A PeftModel on `model` that answers with the adapter in `folder`.

    Args:
        model: a bare causal model, or the PeftModel of an earlier call; its layers are shared.
        folder: adapter_config.json and adapter_model.safetensors.
        label: the adapter's id.

    Raises:
        BadAdapter: it could not be undone. Whatever peft says of a corrupt or unfit one. Then
            `model` may be half changed: call `detach` or `keep_only`.
    """
    from peft import PeftConfig, PeftModel

    config = PeftConfig.from_pretrained(str(folder))
    init = str(getattr(config, "init_lora_weights", "")).lower()
    if getattr(config, "bias", "none") != "none" or init.startswith(_CHANGE_THE_BASE):
        raise BadAdapter(
            "it changes the base's own weights (bias, or init_lora_weights); "
            "train with bias='none' and the default init, or set BEYOND_MERGE_ADAPTER=1"
        )
    name = layer_name(label)
    if not isinstance(model, PeftModel):
        return PeftModel.from_pretrained(model, str(folder), adapter_name=name).eval()
    keep_only(model, model.active_adapter)
    model.load_adapter(str(folder), adapter_name=name)
    model.set_adapter(name)
    return model.eval()


def keep_only(model: Any, name: str) -> None:
    """Let a PeftModel answer with its adapter `name`, and forget all others, also half-made ones."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    model.set_adapter(name)
    for other in [other for other in model.peft_config if other != name]:
        model.delete_adapter(other)
    for layer in [m for m in model.modules() if isinstance(m, BaseTunerLayer)]:
        # What failed while layers were made is in some layers, but no longer in peft_config.
        kept = {key for part in layer.adapter_layer_names for key in getattr(layer, part)}
        for other in kept - {name}:
            layer.delete_adapter(other)


def detach(model: Any) -> Any:
    """The bare model: every layer that peft put in is taken out again. Returns the base itself.

    Args:
        model: the base, or a PeftModel around it. peft's own `unload` needs a whole PeftModel, and
            after a failure half-way there is none.
    """
    from peft import PeftModel

    base = model.get_base_model() if isinstance(model, PeftModel) else model
    while found := _outermost(base):
        parent = base.get_submodule(found.rpartition(".")[0])
        put_in = base.get_submodule(found)
        if hasattr(put_in, "unload_and_optionally_merge_module"):
            original = put_in.unload_and_optionally_merge_module(
                merge=False, safe_merge=False, adapter_names=None
            )
        else:
            original = put_in.get_base_layer()
        setattr(parent, found.rpartition(".")[2], original)
    if hasattr(base, "peft_config"):
        del base.peft_config
    return base.eval()


def _outermost(base: Any) -> str:
    """Path of one module that peft put in; empty if there is none.

    A parent comes before its children.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper

    kinds = (BaseTunerLayer, AuxiliaryTrainingWrapper)
    return next((path for path, module in base.named_modules() if isinstance(module, kinds)), "")
