"""Which backend and precision a model is computed with on this machine.

What is fastest is measured, which takes about a second and, for a runtime, its export. Both are
kept in the cache: measurements by model, processor, threads and versions.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

import torch
from torch import Tensor
from transformers.modeling_outputs import SequenceClassifierOutput

from rerank_search.errors import InvalidInputError, RerankSearchError
from rerank_search.files import atomic_write_json, disk_errors
from rerank_search.models.fused_bert import can_fuse, fuse
from rerank_search.models.loading import positions
from rerank_search.reranking.backends.exportable import exportable
from rerank_search.reranking.backends.onnx_file import onnx_file
from rerank_search.reranking.backends.runtimes import (
    DTYPES,
    Examples,
    missing,
    open_runtime,
    require,
)
from rerank_search.reranking.base import Backend, Dtype

logger = logging.getLogger(__name__)

Context: TypeAlias = Callable[[], AbstractContextManager[Any]]

PAIRS, TOKENS = 4, 128
"""Of the batch that is measured."""

_RUNS = 3

ASKED_FOR: frozenset[Dtype] = frozenset({"int8"})
"""What "auto" leaves out, since it moves rankings."""


@dataclass(frozen=True, slots=True)
class Option:
    """A backend in a precision.

    ``pairs_per_second`` are those of 128 tokens; None where it was not measured. ``missing`` says
    what it lacks on this machine, and is empty for one that can be used.
    """

    backend: Backend
    dtype: Dtype
    pairs_per_second: float | None = None
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A network in float32, the names of its inputs, and its files' fingerprint.

    ``examples`` makes inputs of real texts.
    """

    network: Any
    names: Sequence[str]
    weights: str
    examples: Examples


def options() -> list[Option]:
    """What a machine's CPU may compute with, measured or not; what is missing is there too."""
    units = "" if has_bfloat16() else "this CPU has no units for bfloat16"
    found = [Option("torch", "float32"), Option("torch", "bfloat16", missing=units)]
    for runtime, dtypes in DTYPES.items():
        package = f"pip install 'rerank-search[{runtime}]'" if missing(runtime) else ""
        for dtype in sorted(dtypes, reverse=True):
            lacks = package or (units if dtype == "bfloat16" else "")
            found.append(Option(runtime, cast(Dtype, dtype), missing=lacks))
    return found


def has_bfloat16() -> bool:
    """Whether this CPU multiplies in bfloat16 (AVX512-BF16 or AMX)."""
    flags = torch.cpu.get_capabilities()
    return bool(flags.get("avx512_bf16") or flags.get("amx_bf16"))


def choose(
    loaded: Loaded,
    backend: Backend | Literal["auto"],
    dtype: Dtype | Literal["auto"],
    cache: Path,
) -> Option:
    """What to compute with; of what is "auto", what is fastest by measurements in ``cache``.

    Raises InvalidInputError where nothing can compute as asked.
    """
    device = loaded.network.device.type
    if dtype == "int8" and (backend == "torch" or device != "cpu"):
        raise InvalidInputError(
            "dtype='int8' is computed by OpenVINO, on a CPU: use device='cpu', "
            "backend='openvino', or another dtype"
        )
    if backend != "auto" and dtype != "auto":
        return Option(backend, dtype)
    if device != "cpu" or dtype == "float16":
        found = dtype if dtype != "auto" else _precision_of(device)
        return Option("torch" if backend == "auto" else backend, found)
    wanted = [
        option
        for option in options()
        if backend in ("auto", option.backend)
        and (dtype == option.dtype or (dtype == "auto" and option.dtype not in ASKED_FOR))
    ]
    usable = [option for option in wanted if not option.missing]
    if not usable:
        lacks = "; ".join(f"{each.backend} {each.dtype}: {each.missing}" for each in wanted)
        raise InvalidInputError(f"nothing computes backend={backend!r}, dtype={dtype!r}: {lacks}")
    return usable[0] if len(usable) == 1 else measured(loaded, usable, cache)[0]


def _precision_of(device: str) -> Dtype:
    if device != "cuda":
        return "float32"
    return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"


def measured(loaded: Loaded, usable: Sequence[Option], cache: Path) -> list[Option]:
    """The options with their speed, fastest first; 0 is that of one that failed."""
    path = cache / "backends" / f"{_key(loaded)}.json"
    known = _read(path)
    names = {f"{option.backend} {option.dtype}": option for option in usable}
    if new := [name for name in names if name not in known]:
        known |= {name: _speed(loaded, names[name], cache) for name in new}
        _keep(path, known)
    found = [replace(option, pairs_per_second=known[name]) for name, option in names.items()]
    return sorted(found, key=lambda each: -(each.pairs_per_second or 0))


def install(loaded: Loaded, option: Option, cache: Path) -> Context:
    """Have the network compute by ``option``; returns what to be in while it does.

    Its weights may be dropped. Raises what exporting and opening a runtime raise.
    """
    network, dtype = loaded.network, option.dtype
    if option.backend == "torch":
        if can_fuse(network, dtype):
            fuse(network, dtype)
        elif dtype != "float32":
            kind, half = network.device.type, getattr(torch, dtype)
            return functools.partial(torch.autocast, kind, dtype=half)
        return nullcontext
    if network.device.type != "cpu":
        raise InvalidInputError(
            f"backend={option.backend!r} computes on a CPU, and the device is "
            f"{network.device.type}: use device='cpu', or backend='torch'"
        )
    require(option.backend, dtype)
    model = exportable(network, loaded.names)
    path = onnx_file(model, loaded.weights, cache)
    compute = open_runtime(option.backend, path, dtype, torch.get_num_threads(), loaded.examples)
    model.drop()

    def forward(**inputs: Tensor) -> SequenceClassifierOutput:
        features = compute({name: inputs[name].numpy() for name in loaded.names})
        return SequenceClassifierOutput(logits=model.logits(torch.from_numpy(features)))

    network.forward = forward
    return nullcontext


def _speed(loaded: Loaded, option: Option, cache: Path) -> float:
    try:
        return _measured(loaded, option, cache)
    # Runtimes raise what they like, and there is always another way to compute.
    except Exception as error:
        logger.warning("%s in %s cannot compute it: %s", option.backend, option.dtype, error)
        return 0.0


def _measured(loaded: Loaded, option: Option, cache: Path) -> float:
    """Pairs per second of the best of some runs."""
    trial = replace(loaded, network=copy.deepcopy(loaded.network))
    context = install(trial, option, cache)
    length = min(TOKENS, positions(trial.network) or TOKENS)
    ids = torch.arange(PAIRS * length).view(PAIRS, length) % 97 + 3
    inputs = {"input_ids": ids % trial.network.config.vocab_size}
    inputs["token_type_ids"] = torch.zeros_like(ids)
    inputs["attention_mask"] = torch.ones_like(ids)
    seconds = []
    with torch.inference_mode(), context():
        for _ in range(_RUNS + 1):
            started = time.perf_counter()
            trial.network(**{name: inputs[name] for name in loaded.names})
            seconds.append(time.perf_counter() - started)
    return PAIRS / min(seconds[1:])


def _key(loaded: Loaded) -> str:
    """32 hex digits of what the speeds follow from."""
    basis = json.dumps([loaded.weights, torch.get_num_threads(), machine()])
    return hashlib.sha256(basis.encode()).hexdigest()[:32]


def machine() -> str:
    """The processor's units and the versions of what computes, on which figures depend."""
    flags = sorted(name for name, there in torch.cpu.get_capabilities().items() if there is True)
    versions = [_version(name) for name in ("rerank-search", "torch", "openvino", "onnxruntime")]
    return json.dumps([flags, versions])


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _keep(path: Path, speeds: Mapping[str, float]) -> None:
    try:
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_json(path, dict(speeds))
    except (RerankSearchError, OSError) as error:
        logger.warning("what was measured is not kept, and is measured again: %s", error)


def _read(path: Path) -> dict[str, float]:
    try:
        found = json.loads(path.read_bytes())
        return {str(name): float(speed) for name, speed in found.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
