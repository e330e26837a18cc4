"""What computes an encoder's vectors: the backend, its precision, and a check of int8."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from rerank_search.errors import InvalidInputError
from rerank_search.models.backends.kinds import Backend
from rerank_search.settings import Settings

if TYPE_CHECKING:
    from rerank_search.models.backends.installed import Installed

VectorDtype: TypeAlias = Literal["float32", "bfloat16", "int8"]
"""The precisions that vectors can be computed in."""

LEAST_COSINE = 0.99
"""Smallest accepted cosine of a vector computed in int8 to that in float32."""

_EXAMPLES, _EXAMPLE_TOKENS = 32, 128
"""Number of texts that int8 is fitted to, and of others that it is checked on; their most tokens.

The check takes a second or two each time that an encoder is loaded."""


def vector_backend(
    backend: Backend | Literal["auto"] | None, dtype: VectorDtype | Literal["auto"] | None
) -> tuple[Backend, VectorDtype]:
    """The backend and the precision; None means the settings'.

    "auto" is the same on every machine: torch in float32, or what can compute the one that is
    given. Raises InvalidInputError for unknown names, and for those that do not go together.
    """
    settings = Settings()
    backend = settings.encoder_backend if backend is None else backend
    dtype = settings.encoder_dtype if dtype is None else dtype
    for argument, given, kinds in (("backend", backend, Backend), ("dtype", dtype, VectorDtype)):
        known = ("auto", *get_args(kinds))
        if given not in known:
            raise InvalidInputError(
                f"{argument}={given!r} is not known to encoders: use one of {', '.join(known)}"
            )
    if dtype == "auto":
        dtype = "float32"
    if backend == "auto":
        backend = "openvino" if dtype == "int8" else "torch"
    computable = {"torch": ("float32", "bfloat16"), "onnx": ("float32",)}
    if dtype not in computable.get(backend, get_args(VectorDtype)):
        raise InvalidInputError(
            f"an encoder's backend={backend!r} does not compute in {dtype}: use "
            f"dtype={' or '.join(map(repr, computable[backend]))}, or backend='openvino'"
        )
    return backend, dtype


def require_units(dtype: str) -> None:
    """Raise InvalidInputError if this CPU lacks the units that a precision needs."""
    from rerank_search.models.backends.options import has_bfloat16

    if dtype == "bfloat16" and not has_bfloat16():
        raise InvalidInputError(
            "an encoder's dtype='bfloat16' needs a CPU with bfloat16 units, which this one lacks: "
            "use dtype='float32'"
        )


def installed(
    name: str, network: Any, tokenizer: Any, directory: str, backend: Backend, dtype: VectorDtype
) -> Installed:
    """The network of an encoder as the backend computes it.

    Raises InvalidInputError for a precision that this CPU lacks, and for an encoder whose vectors
    in int8 differ too much from those in float32.
    """
    import torch

    from rerank_search.models.backends.installed import Loaded, install
    from rerank_search.models.registry import fingerprint

    require_units(dtype)
    names = tokenizer.model_input_names
    examples = functools.partial(_examples, tokenizer, names, slice(_EXAMPLES))
    loaded = Loaded(network, names, fingerprint(Path(directory)), examples)
    exact = None
    if dtype == "int8":
        others = _examples(tokenizer, names, slice(_EXAMPLES, 2 * _EXAMPLES))
        inputs = {each: torch.from_numpy(values) for each, values in others.items()}
        with torch.inference_mode():
            exact = network(**inputs).logits
    found = install(loaded, backend, dtype, Settings().cache)
    if exact is not None:
        with torch.inference_mode():
            least = float((found.logits(found.features(inputs)) * exact).sum(dim=1).min())
        if not least >= LEAST_COSINE:
            raise InvalidInputError(
                f"int8 changes the vectors of {name!r} too much: the least cosine to float32 is "
                f"{least:.3f}, and {LEAST_COSINE} is needed. Use dtype='float32'"
            )
    return found


def _examples(
    tokenizer: Any, names: Sequence[str], which: slice
) -> Mapping[str, NDArray[np.int64]]:
    """Tokens of docstrings of built-in types, which every Python has, also without docstrings."""
    types = (str, bytes, list, dict, set, int, float)
    texts = [inspect.getdoc(getattr(kind, name)) for kind in types for name in sorted(vars(kind))]
    distinct = list(dict.fromkeys(text for text in texts if text))[which]
    longest = min(_EXAMPLE_TOKENS, tokenizer.model_max_length)
    encoded = tokenizer(distinct, truncation=True, max_length=longest, padding=True)
    return {name: np.array(encoded[name], dtype=np.int64) for name in names}
