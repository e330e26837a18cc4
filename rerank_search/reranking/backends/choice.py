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
from typing import Any, Literal, NamedTuple, TypeAlias, cast

import torch
from torch import Tensor

from rerank_search.errors import (
    IndexReadOnlyError,
    InvalidInputError,
    RerankSearchError,
    StorageFullError,
)
from rerank_search.files import atomic_write_json, disk_errors
from rerank_search.models.bert import BertClassifier
from rerank_search.models.fused_bert import can_fuse, fuse
from rerank_search.models.loading import positions
from rerank_search.models.threads import one_thread
from rerank_search.reranking.backends.exportable import Exportable, exportable
from rerank_search.reranking.backends.onnx_file import onnx_file
from rerank_search.reranking.backends.runtimes import (
    DTYPES,
    Compute,
    Examples,
    missing,
    open_runtime,
    require,
)
from rerank_search.reranking.base import Backend, Dtype
from rerank_search.reranking.batching import each

logger = logging.getLogger(__name__)

Context: TypeAlias = Callable[[], AbstractContextManager[Any]]

PAIRS, TOKENS = 4, 128
"""Of the batch that is measured."""

METHOD = 3
"""Raised when speeds come of other measurements: older ones are not used."""

_RUNS = 3

_LONG = 1_024
_ROUNDING = 1e-2
"""Of a new export: the longest pairs that it is tried on, and how far its logits may differ."""

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


class Installed(NamedTuple):
    """How a network is computed: its features of a batch first, and logits of these.

    ``features`` in ``context``, by ``at_once`` threads at most; ``logits`` by one of them, since
    torch, which computes them, would start as many threads again for each.
    """

    features: Callable[[Mapping[str, Tensor]], Tensor]
    logits: Callable[[Tensor], Tensor]
    context: Context = nullcontext
    at_once: int = 1


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
    if (backend, dtype) == ("openvino", "bfloat16") and device == "cpu" and not has_bfloat16():
        raise InvalidInputError(
            "this CPU has no units for bfloat16, and OpenVINO would compute in float32: use "
            "dtype='float32'"
        )
    if backend != "auto" and dtype != "auto":
        return Option(backend, dtype)
    if device != "cpu" or dtype == "float16":
        found = dtype if dtype != "auto" else _precision_of(device)
        return Option("torch" if backend == "auto" else backend, found)
    wanted = [option for option in options() if is_asked_for(option, backend, dtype)]
    usable = [option for option in wanted if not option.missing]
    if not usable:
        lacks = "; ".join(f"{each.backend} {each.dtype}: {each.missing}" for each in wanted)
        raise InvalidInputError(f"nothing computes backend={backend!r}, dtype={dtype!r}: {lacks}")
    return usable[0] if len(usable) == 1 else measured(loaded, usable, cache)[0]


def is_asked_for(
    option: Option, backend: Backend | Literal["auto"], dtype: Dtype | Literal["auto"]
) -> bool:
    """Whether these settings may take it, if nothing else is faster."""
    return backend in ("auto", option.backend) and (
        dtype == option.dtype or (dtype == "auto" and option.dtype not in ASKED_FOR)
    )


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
        speeds = {name: _speed(loaded, names[name], cache) for name in new}
        known |= {name: speed for name, speed in speeds.items() if speed is not None}
        _keep(path, known)
    found = [
        replace(option, pairs_per_second=known.get(name, 0.0)) for name, option in names.items()
    ]
    return sorted(found, key=lambda each: -(each.pairs_per_second or 0))


def install(loaded: Loaded, option: Option, cache: Path) -> Installed:
    """Have the network compute by ``option``.

    Its weights may be dropped. Raises what exporting and opening a runtime raise.
    """
    network, dtype = loaded.network, option.dtype
    if option.backend == "torch":
        context: Context = nullcontext
        at_once = 1
        if can_fuse(network, dtype):
            fuse(network, dtype)
            if alone := one_thread():
                context, at_once = alone, torch.get_num_threads()
        elif dtype != "float32":
            kind, half = network.device.type, getattr(torch, dtype)
            context = functools.partial(torch.autocast, kind, dtype=half)
        return Installed(
            lambda inputs: network(**inputs).logits, lambda found: found, context, at_once
        )
    if network.device.type != "cpu":
        raise InvalidInputError(
            f"backend={option.backend!r} computes on a CPU, and the device is "
            f"{network.device.type}: use device='cpu', or backend='torch'"
        )
    require(option.backend, dtype)
    model = exportable(network, loaded.names)
    runtime, threads = option.backend, torch.get_num_threads()

    def checking() -> Callable[[Path], None]:
        cases = _cases(loaded)

        def check(path: Path) -> None:
            compute = open_runtime(runtime, path, "float32", threads, loaded.examples)
            with torch.inference_mode():
                for inputs, expected in cases:
                    found = model.logits(_features(model, compute, inputs))
                    _check_same(found, expected, type(network).__name__)

        return check

    path = onnx_file(model, loaded.weights, cache, checking)
    compute = open_runtime(runtime, path, dtype, threads, loaded.examples)
    model.drop()

    features = functools.partial(_features, model, compute)
    installed = Installed(features, model.logits, at_once=threads)
    if not isinstance(network, BertClassifier):
        delegate(network, installed, loaded.names)
    return installed


def delegate(network: Any, installed: Installed, names: Sequence[str]) -> None:
    """Have what sentence-transformers asks of a network of transformers computed as installed."""
    from transformers.modeling_outputs import SequenceClassifierOutput

    def forward(**inputs: Any) -> SequenceClassifierOutput:
        features = installed.features({name: inputs[name] for name in names})
        return SequenceClassifierOutput(logits=installed.logits(features))

    network.forward = forward


def _features(model: Exportable, compute: Compute, inputs: Mapping[str, Tensor]) -> Tensor:
    return torch.from_numpy(compute({name: inputs[name].numpy() for name in model.names}))


def _cases(loaded: Loaded) -> list[tuple[Mapping[str, Tensor], Tensor]]:
    """Inputs of long and of short pairs, some of them padded, and the network's logits."""
    network = loaded.network
    cases: list[tuple[Mapping[str, Tensor], Tensor]] = []
    # The long ones first: of short ones some networks take a way that they then never leave.
    for length in (min(positions(network) or _LONG, _LONG), 9):
        batch = {name: values[:2] for name, values in _example(network, length).items()}
        batch["attention_mask"][1, length // 2 :] = 0
        inputs = {name: batch[name] for name in loaded.names}
        with torch.inference_mode():
            cases.append((inputs, network(**inputs).logits))
    return cases


def _check_same(found: Tensor, expected: Tensor, kind: str) -> None:
    """Raise InvalidInputError where an export has other logits than the network.

    Exporting keeps the ways that a short example took, and others may be for long texts.
    """
    difference = float((found - expected).abs().max())
    if not difference <= _ROUNDING * max(1.0, float(expected.abs().max())):
        raise InvalidInputError(
            f"a {kind} has other logits once it is exported, by {difference:.3g}: use "
            "backend='torch'"
        )


def _example(network: Any, length: int) -> dict[str, Tensor]:
    """Inputs of a batch that is measured."""
    ids = torch.arange(PAIRS * length).view(PAIRS, length) % 97 + 3
    return {
        "input_ids": ids % network.config.vocab_size,
        "token_type_ids": torch.zeros_like(ids),
        "attention_mask": torch.ones_like(ids),
    }


def _speed(loaded: Loaded, option: Option, cache: Path) -> float | None:
    """None where the disk is at fault, which it may not be the next time."""
    try:
        return _measured(loaded, option, cache)
    except (OSError, IndexReadOnlyError, StorageFullError) as error:
        logger.warning("%s in %s was not tried: %s", option.backend, option.dtype, error)
        return None
    # Runtimes raise what they like, and there is always another way to compute.
    except Exception as error:
        logger.warning("%s in %s cannot compute it: %s", option.backend, option.dtype, error)
        return 0.0


def _measured(loaded: Loaded, option: Option, cache: Path) -> float:
    """Pairs per second of the best of some runs, of as many batches as may be computed at once."""
    trial = replace(loaded, network=copy.deepcopy(loaded.network))
    installed = install(trial, option, cache)
    length = min(TOKENS, positions(trial.network) or TOKENS)
    inputs = _example(trial.network, length)

    def compute(_: int) -> None:
        with torch.inference_mode(), installed.context():
            installed.features({name: inputs[name] for name in loaded.names})

    batches = range(installed.at_once)
    seconds = []
    for _ in range(_RUNS + 1):
        started = time.perf_counter()
        list(each(compute, batches, installed.at_once))
        seconds.append(time.perf_counter() - started)
    return len(batches) * PAIRS / min(seconds[1:])


def _key(loaded: Loaded) -> str:
    """32 hex digits of what the speeds follow from."""
    basis = json.dumps([METHOD, loaded.weights, torch.get_num_threads(), machine()])
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
