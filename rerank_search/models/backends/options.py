"""The options for computing a model on a machine: each backend in each of its precisions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch

from rerank_search.models.backends.kinds import Backend, Dtype
from rerank_search.models.backends.runtimes import DTYPES, missing


@dataclass(frozen=True, slots=True)
class BackendOption:
    """A backend in a precision.

    ``pairs_per_second`` counts pairs of 128 tokens; None if it was not measured, for example
    because time ran out. ``missing`` says what the option lacks on this machine, and is empty if it
    can be used.
    """

    backend: Backend
    dtype: Dtype
    pairs_per_second: float | None = None
    missing: str = ""


def options() -> list[BackendOption]:
    """All options for this machine's CPU, without speeds, including those that lack something."""
    units = "" if has_bfloat16() else "this CPU has no units for bfloat16"
    found = [BackendOption("torch", "float32"), BackendOption("torch", "bfloat16", missing=units)]
    for runtime, dtypes in DTYPES.items():
        package = f"pip install 'rerank-search[{runtime}]'" if missing(runtime) else ""
        for dtype in sorted(dtypes, reverse=True):
            lacks = package or (units if dtype == "bfloat16" else "")
            found.append(BackendOption(runtime, cast(Dtype, dtype), missing=lacks))
    return found


def has_bfloat16() -> bool:
    """Whether this CPU multiplies in bfloat16 (AVX512-BF16 or AMX)."""
    flags = torch.cpu.get_capabilities()
    return bool(flags.get("avx512_bf16") or flags.get("amx_bf16"))
