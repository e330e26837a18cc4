"""The backend and the precision that compute a model on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch

from rerank_search.errors import InvalidInputError
from rerank_search.models.backends.installed import Loaded
from rerank_search.models.backends.kinds import Backend, Dtype
from rerank_search.models.backends.measuring import measured
from rerank_search.models.backends.options import BackendOption, has_bfloat16, options

ASKED_FOR: frozenset[Dtype] = frozenset({"int8"})
"""Precisions that "auto" leaves out, because they change rankings."""


def choose(
    loaded: Loaded,
    backend: Backend | Literal["auto"],
    dtype: Dtype | Literal["auto"],
    cache: Path,
) -> BackendOption:
    """The option to compute with: "auto" means the fastest, by measurements in ``cache``.

    Raises InvalidInputError if no option fits the arguments.
    """
    device = loaded.network.device.type
    if dtype == "int8" and (backend == "torch" or device != "cpu"):
        raise InvalidInputError(
            "dtype='int8' needs OpenVINO and a CPU: use device='cpu' and backend='openvino', or "
            "another dtype"
        )
    if (backend, dtype) == ("openvino", "bfloat16") and device == "cpu" and not has_bfloat16():
        raise InvalidInputError(
            "backend='openvino' with dtype='bfloat16' needs a CPU with bfloat16 units, which this "
            "one lacks: use dtype='float32'"
        )
    if backend != "auto" and dtype != "auto":
        return BackendOption(backend, dtype)
    if device != "cpu" or dtype == "float16":
        found = dtype if dtype != "auto" else _precision_of(device)
        return BackendOption("torch" if backend == "auto" else backend, found)
    wanted = [option for option in options() if is_asked_for(option, backend, dtype)]
    usable = [option for option in wanted if not option.missing]
    if not usable:
        lacks = "; ".join(f"{each.backend} {each.dtype}: {each.missing}" for each in wanted)
        raise InvalidInputError(
            f"no backend here can compute backend={backend!r}, dtype={dtype!r}: {lacks}"
        )
    return usable[0] if len(usable) == 1 else measured(loaded, usable, cache)[0]


def is_asked_for(
    option: BackendOption, backend: Backend | Literal["auto"], dtype: Dtype | Literal["auto"]
) -> bool:
    """Whether these settings allow the option."""
    return backend in ("auto", option.backend) and (
        dtype == option.dtype or (dtype == "auto" and option.dtype not in ASKED_FOR)
    )


def _precision_of(device: str) -> Dtype:
    if device != "cuda":
        return "float32"
    return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
