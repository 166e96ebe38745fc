"""One way from a torch network to an int8 ONNX file. It does not know what the network is for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn


def export_int8(
    network: nn.Module,
    inputs: Sequence[str],
    outputs: Sequence[str],
    path: Path,
    *,
    keep: Path | None = None,
) -> None:
    """Export a network of int64 [rows, tokens] inputs, with int8 weights per channel.

    Activations are quantised at run time, one scale a tensor: run each row alone
    (shared/inference/onnx_rows.py), or results depend on the batch.

    Args:
        network: in eval mode, with eager attention: SDPA has no ONNX form in this exporter.
        inputs: names of the inputs, in order.
        outputs: names of the outputs, in order.
        path: the int8 file to write.
        keep: also keep the fp32 file here.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    exact = keep or path.with_suffix(".exact.onnx")
    sample = torch.ones(2, 8, dtype=torch.long)
    torch.onnx.export(
        network,
        tuple(sample for _ in inputs),
        str(exact),
        input_names=list(inputs),
        output_names=list(outputs),
        dynamic_axes={name: {0: "rows", 1: "tokens"} for name in inputs},
        dynamo=False,
        opset_version=17,
    )
    kinds = ["MatMul", "Gather", "Gemm"]
    quantize_dynamic(
        exact, path, per_channel=True, weight_type=QuantType.QInt8, op_types_to_quantize=kinds
    )
    if keep is None:
        exact.unlink()
