"""A network that a backend computes: torch, or a runtime that it is exported to."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from rerank_search.errors import InvalidInputError
from rerank_search.models.backends.deadline import NEVER, Deadline
from rerank_search.models.backends.exportable import Exportable, exportable
from rerank_search.models.backends.kinds import Backend, Dtype
from rerank_search.models.backends.onnx_file import onnx_file
from rerank_search.models.backends.runtimes import Compute, Examples, open_runtime, require
from rerank_search.models.bert import BertClassifier
from rerank_search.models.bert_vectors import BertVectors
from rerank_search.models.fused_bert import can_fuse, fuse
from rerank_search.models.loading import positions
from rerank_search.models.threads import one_thread

Context: TypeAlias = Callable[[], AbstractContextManager[Any]]

PAIRS = 4
"""Number of pairs in a measured batch."""

_LONG = 1_024
_ROUNDING = 1e-2
"""Largest accepted difference between a new export's logits and the network's.

It is tried on pairs of up to ``_LONG`` tokens."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A network in float32, the names of its inputs, and its files' fingerprint.

    ``examples`` makes inputs from real texts.
    """

    network: Any
    names: Sequence[str]
    weights: str
    examples: Examples


class Installed(NamedTuple):
    """How a network is computed: first the features of a batch, then their logits.

    At most ``at_once`` threads compute ``features``, in ``context``. One of them computes
    ``logits``, because torch would start as many threads again for each.
    """

    features: Callable[[Mapping[str, Tensor]], Tensor]
    logits: Callable[[Tensor], Tensor]
    context: Context = nullcontext
    at_once: int = 1


def install(
    loaded: Loaded, backend: Backend, dtype: Dtype, cache: Path, deadline: Deadline = NEVER
) -> Installed:
    """Prepare the network to be computed by a backend in a precision.

    The network may lose its weights. Raises OutOfTimeError at the deadline, and what exporting and
    opening a runtime raise.
    """
    network = loaded.network
    if backend == "torch":
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
            f"backend={backend!r} runs on a CPU, and the device is {network.device.type}: use "
            "device='cpu', or backend='torch'"
        )
    require(backend, dtype)
    model = exportable(network, loaded.names)
    runtime, threads = backend, torch.get_num_threads()

    def checking() -> Callable[[Path], None]:
        cases = _cases(loaded)

        def check(path: Path) -> None:
            compute = open_runtime(runtime, path, "float32", threads, loaded.examples)
            with torch.inference_mode():
                for inputs, expected in cases:
                    found = model.logits(_features(model, compute, inputs))
                    _check_same(found, expected, network)

        return check

    path = onnx_file(model, loaded.weights, cache, checking, deadline)
    compute = open_runtime(runtime, path, dtype, threads, loaded.examples)
    model.drop()

    features = functools.partial(_features, model, compute)
    installed = Installed(features, model.logits, at_once=threads)
    if not isinstance(network, (BertClassifier, BertVectors)):
        delegate(network, installed, loaded.names)
    return installed


def delegate(network: Any, installed: Installed, names: Sequence[str]) -> None:
    """Make sentence-transformers' calls of a transformers network use the installed backend."""
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
    # Long ones first: some networks switch to another algorithm on short ones and never back.
    for length in (min(positions(network) or _LONG, _LONG), 9):
        batch = {name: values[:2] for name, values in example(network, length).items()}
        batch["attention_mask"][1, length // 2 :] = 0
        inputs = {name: batch[name] for name in loaded.names}
        with torch.inference_mode():
            cases.append((inputs, network(**inputs).logits))
    return cases


def _check_same(found: Tensor, expected: Tensor, network: Any) -> None:
    """Raise InvalidInputError if the logits of an export differ from the network's.

    An export keeps only the branches that its short example took, and long texts may need others.
    """
    difference = float((found - expected).abs().max())
    smallest = 0.0 if isinstance(network, BertVectors) else 1.0  # numbers of vectors are small
    if not difference <= _ROUNDING * max(smallest, float(expected.abs().max())):
        raise InvalidInputError(
            f"an exported {type(network).__name__} gives other logits, by up to {difference:.3g}: "
            "use backend='torch'"
        )


def example(network: Any, length: int) -> dict[str, Tensor]:
    """The inputs of a measured batch."""
    ids = torch.arange(PAIRS * length).view(PAIRS, length) % 97 + 3
    return {
        "input_ids": ids % network.config.vocab_size,
        "token_type_ids": torch.zeros_like(ids),
        "attention_mask": torch.ones_like(ids),
    }
