"""A cross-encoder on torch: loading it, and its logits for encoded pairs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from rerank_search.errors import InvalidInputError, ModelNotFoundError, RerankError
from rerank_search.models.loading import quietly
from rerank_search.reranking.batching import halving, token_batches
from rerank_search.reranking.pairs import EncodedPair

if TYPE_CHECKING:
    import torch
    from sentence_transformers import CrossEncoder


BATCH_TOKENS = 16_384

CPU_BATCH_TOKENS = 2_048
"""On a CPU larger batches fall out of its caches."""

Dtype: TypeAlias = Literal["float32", "bfloat16", "float16"]
"""What matrix products are computed in; logits are float32 in any case."""


class TorchCrossEncoder:
    """A sequence-classification model with float32 weights, computed by one thread at a time.

    Raises ModelNotFoundError for a directory that cannot be read, InvalidInputError for a device
    or dtype that cannot be used or a model of another kind.
    """

    def __init__(
        self,
        name: str,
        directory: str,
        *,
        device: str | None,
        max_length: int | None,
        batch_tokens: int | None,
        dtype: Dtype = "float32",
    ) -> None:
        if dtype not in get_args(Dtype):
            raise InvalidInputError(f"dtype={dtype!r}: use one of {', '.join(get_args(Dtype))}")
        self._name = name
        self.dtype = dtype
        from rerank_search.models.fused_bert import can_fuse, fuse

        self._model = _load(name, directory, device)
        self._network: Any = self._model.transformers_model
        self._batch_tokens = batch_tokens or (
            CPU_BATCH_TOKENS if self.device.type == "cpu" else BATCH_TOKENS
        )
        self.max_length = _window(self._model, max_length)
        # What is delegated to sentence-transformers is cut at the same length.
        self._model.max_seq_length = self.max_length
        self._lock = threading.Lock()
        if dtype != "float32":
            keep_last_layer_exact(name, self._network, self.num_labels)
        self._fused = can_fuse(self._network, dtype)
        if self._fused:
            fuse(self._network, dtype)

    @property
    def device(self) -> torch.device:
        """Where the model is computed."""
        return self._model.device

    @property
    def num_labels(self) -> int:
        """The width of the logits."""
        return self._model.num_labels

    @property
    def tokenizer(self) -> Any:
        """The model's own tokenizer."""
        return self._model.tokenizer

    @property
    def activation_fn(self) -> Callable[[torch.Tensor], torch.Tensor]:
        """What the model's configuration applies to logits; a sigmoid as a rule."""
        return self._model.activation_fn or self._model.get_default_activation_fn()

    @property
    def prompted(self) -> bool:
        """Whether the model puts a prompt of its own before every text."""
        return self._model.default_prompt_name is not None

    def is_one_pair(self, inputs: Any) -> bool:
        """Whether these are one pair rather than a list of pairs."""
        return self._model.is_singular_input(inputs)

    def predict(self, inputs: Any, **options: Any) -> Any:
        """What sentence-transformers itself makes of the inputs."""
        with self._lock, self._precision():
            return self._model.predict(inputs, **options)

    def logits(
        self,
        encoded: Sequence[EncodedPair],
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
    ) -> torch.Tensor:
        """Raw logits on the CPU, float32 of shape (n, labels)."""
        import torch

        lengths = np.array([len(pair.ids) for pair in encoded], dtype=np.int64)
        batches: Iterable[NDArray[np.int64]] = token_batches(
            lengths, self._batch_tokens, batch_size
        )
        if show_progress_bar:
            from tqdm.auto import tqdm  # type: ignore[import-untyped]

            batches = tqdm(list(batches), desc="Batches")
        logits = torch.empty((len(encoded), self.num_labels), dtype=torch.float32)
        for batch in batches:
            logits[batch] = halving(self._forward, [encoded[i] for i in batch])
        if not bool(torch.isfinite(logits).all()):
            raise RerankError(
                f"the reranker {self._name!r} returned NaN or infinite scores; its weights are "
                "damaged or overflow: load the model again, or use another one"
            )
        return logits

    def _precision(self) -> AbstractContextManager[Any]:
        """Mixed precision: sums, norms and the softmax stay in float32."""
        import torch

        if self._fused or self.dtype == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=getattr(torch, self.dtype))

    def _forward(self, batch: Sequence[EncodedPair]) -> torch.Tensor:
        import torch

        longest = max(len(pair.ids) for pair in batch)
        pad = self._model.tokenizer.pad_token_id or 0
        arrays = {
            "input_ids": np.full((len(batch), longest), pad, dtype=np.int64),
            "token_type_ids": np.zeros((len(batch), longest), dtype=np.int64),
            "attention_mask": np.zeros((len(batch), longest), dtype=np.int64),
        }
        for row, pair in enumerate(batch):
            arrays["input_ids"][row, : len(pair.ids)] = pair.ids
            arrays["token_type_ids"][row, : len(pair.ids)] = pair.types
            arrays["attention_mask"][row, : len(pair.ids)] = 1
        wanted = self._model.tokenizer.model_input_names
        # One batch at a time: threads would only take the cores and the memory from each other.
        with self._lock, torch.inference_mode(), self._precision():
            inputs = {
                name: torch.from_numpy(array).to(self.device)
                for name, array in arrays.items()
                if name in wanted
            }
            output: torch.Tensor = self._network(**inputs).logits
            return output.float().cpu()


def _load(name: str, directory: str, device: str | None) -> CrossEncoder:
    import torch
    from safetensors import SafetensorError
    from sentence_transformers import CrossEncoder

    if device is not None:
        try:
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError) as error:
            raise InvalidInputError(
                f"the device {device!r} cannot be used ({str(error).splitlines()[0]}); "
                "use cpu, cuda, cuda:1 or mps, or leave it out"
            ) from error
    try:
        with quietly():
            model: CrossEncoder = CrossEncoder(directory, device=device, local_files_only=True)
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelNotFoundError(
            f"the model {name!r} in {directory} cannot be read ({error}); get it again"
        ) from error
    # Of a bi-encoder transformers makes a classifier too, whose last layer is random.
    stored = getattr(model.config, "architectures", None) or ()
    for architecture in (*stored, type(model.transformers_model).__name__):
        if not architecture.endswith("ForSequenceClassification"):
            raise InvalidInputError(
                f"the model {name!r} is a {architecture}; name a sequence-classification "
                "cross-encoder"
            )
    # Weights may be stored in half precision; computing in it is slow or coarse on most CPUs.
    model.float()
    model.eval()
    return model


def keep_last_layer_exact(name: str, network: Any, labels: int) -> None:
    """Have logits computed in float32: in half precision near ones would come out equal."""
    import torch

    linear = [layer for layer in network.modules() if isinstance(layer, torch.nn.Linear)]
    ending = [layer for layer in linear if layer.out_features == labels]
    if not ending:
        raise InvalidInputError(
            f"the model {name!r} has no linear layer that ends in its logits, which half precision "
            "needs: use dtype='float32'"
        )
    last = ending[-1]
    forward = last.forward

    def exact(features: torch.Tensor) -> torch.Tensor:
        with torch.autocast(features.device.type, enabled=False):
            return forward(features.float())

    last.forward = exact  # type: ignore[assignment,method-assign]


def _window(model: CrossEncoder, max_length: int | None) -> int:
    positions = getattr(model.config, "max_position_embeddings", None)
    limits = [model.max_seq_length, positions, max_length]
    return min(limit for limit in limits if limit is not None)
