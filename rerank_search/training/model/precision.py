"""The precision of activations in training."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch

Precision: TypeAlias = Literal["float32", "bfloat16", "float16"]


def best_precision(device: torch.device) -> Precision:
    """bfloat16 if the device supports it (a CPU with units for it); else float32."""
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    if device.type == "cpu" and torch.cpu.get_capabilities().get("avx512_bf16"):
        return "bfloat16"
    return "float32"
