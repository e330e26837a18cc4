"""A loaded sequence classifier: its tokenizer, its window, and its logits of encoded pairs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from rerank_search.errors import InvalidInputError
from rerank_search.models.batches import (
    BATCH_TOKENS,
    cpu_batch_tokens,
    each,
    even_budget,
    token_batches,
)
from rerank_search.models.bert_folder import read_classifier
from rerank_search.models.loading import require_device
from rerank_search.models.threads import limit_threads
from rerank_search.reranking.base import Backend, Dtype
from rerank_search.reranking.exact_logits import keep_last_layer_exact
from rerank_search.reranking.loading import INPUTS, load_classifier, options_key
from rerank_search.reranking.memory import halving, out_of_memory
from rerank_search.reranking.padding import padding_of, pads_without_effect
from rerank_search.reranking.pairs import EncodedPair
from rerank_search.settings import Settings

if TYPE_CHECKING:
    import torch
    from sentence_transformers import CrossEncoder

logger = logging.getLogger(__name__)


_BESIDE = ("activation_fn", "model_card_data")
"""Loading options that do not affect the network."""


class SequenceClassifier:
    """A sequence-classification model with float32 weights.

    On a CPU each thread computes a batch of its own; torch uses all threads for one batch if the
    model is not fused. A plain BERT is read without sentence-transformers, which is imported only
    when something needs it.

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
        backend: Backend | Literal["auto"],
        dtype: Dtype | Literal["auto"],
        loading: Mapping[str, Any] | None = None,
    ) -> None:
        for argument, given, kinds in (("backend", backend, Backend), ("dtype", dtype, Dtype)):
            known = ("auto", *get_args(kinds))
            if given not in known:
                raise InvalidInputError(
                    f"{argument}={given!r} is unknown: use one of {', '.join(known)}"
                )
        from rerank_search.reranking.backends.choice import choose
        from rerank_search.reranking.backends.installed import install
        from rerank_search.reranking.loaded_network import loaded_network, window_of

        self._name, self._directory = name, directory
        limit_threads()
        require_device(device)
        half = dtype if dtype in ("bfloat16", "float16") else "float32"
        options = {name: given for name, given in (loading or {}).items() if name not in _BESIDE}
        self._plain = plain = None if options else read_classifier(directory, device, half)
        self._whole = None if plain else load_classifier(name, directory, device, options)
        self._delegating = threading.RLock()  # its tokenizer is not thread-safe
        self._network: Any = plain.network if plain else self.whole.transformers_model
        self.tokenizer: Any = plain.tokenizer if plain else self.whole.tokenizer
        self.max_length = window_of(self.tokenizer, self._network, max_length)
        if max_length and max_length > self.max_length:
            logger.warning(
                "max_length=%d is more than %r can read: %d is used",
                max_length,
                name,
                self.max_length,
            )
        # Pairs delegated to sentence-transformers must be cut at the same length.
        self.tokenizer.model_max_length = self.max_length
        loaded = loaded_network(self._network, self.tokenizer, directory, options_key(options))
        self._names = loaded.names
        self._pad_token: int = self.tokenizer.pad_token_id
        self._alone = False
        if not plain:
            self._pad_token = padding_of(self._network, self.tokenizer)
            self._alone = not pads_without_effect(self._network, loaded.names, self._pad_token)
        if self._alone:
            backend, dtype = _for_single_pairs(name, backend, dtype, self.device.type)
        cache = Settings().cache
        option = choose(loaded, backend, dtype, cache)
        self.backend, self.dtype = option.backend, option.dtype
        if self.backend == "torch" and self.dtype != "float32":
            keep_last_layer_exact(name, self._network, self.num_labels)
        self._installed = install(loaded, option.backend, option.dtype, cache)
        self._batch_tokens = batch_tokens or (
            cpu_batch_tokens(self._network, self._installed.at_once)
            if self.device.type == "cpu"
            else BATCH_TOKENS
        )
        # More batches at a time would only compete for cores and memory.
        self._turns = threading.BoundedSemaphore(self._installed.at_once)

    @property
    def whole(self) -> CrossEncoder:
        """The model as sentence-transformers loads it, on first use; its logits are the same."""
        with self._delegating:
            if self._whole is None:
                from rerank_search.reranking.backends.installed import delegate

                self._whole = load_classifier(self._name, self._directory, "cpu")
                self._whole.max_seq_length = self.max_length
                network: Any = self._whole.transformers_model
                delegate(network, self._installed, self._names)
                network.base_model.encoder.layer = None  # these weights are in memory already
            return self._whole

    @property
    def device(self) -> torch.device:
        """The device that the model is computed on."""
        device: torch.device = self._network.device
        return device

    @property
    def num_labels(self) -> int:
        """The number of labels: the width of the logits."""
        labels: int = self._network.config.num_labels
        return labels

    @property
    def activation_fn(self) -> Callable[[torch.Tensor], torch.Tensor]:
        """The activation that the model's configuration applies to logits; usually a sigmoid."""
        if self._plain is not None:
            return self._plain.activation
        return self.whole.activation_fn or self.whole.get_default_activation_fn()

    @property
    def prompted(self) -> bool:
        """Whether the model puts its own prompt before every text."""
        return self._plain is None and self.whole.default_prompt_name is not None

    def predict(self, inputs: Any, **options: Any) -> Any:
        """The result of sentence-transformers' own ``predict``."""
        with self._delegating, self._turns, self._installed.context():
            return self.whole.predict(inputs, **options)

    def logits(
        self,
        encoded: Sequence[EncodedPair],
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
    ) -> torch.Tensor:
        """Raw logits on the CPU, float32 of shape (n, labels)."""
        import torch

        lengths = np.array([len(pair.ids) for pair in encoded], dtype=np.int64)
        batch_size = 1 if self._alone else batch_size
        at_once = self._installed.at_once
        budget = self._batch_tokens
        if at_once > 1:
            budget = even_budget(lengths, budget, at_once)
        batches = list(token_batches(lengths, budget, batch_size))

        def compute(batch: NDArray[np.int64]) -> torch.Tensor | None:
            try:
                return self._features([encoded[i] for i in batch])
            # ONNX Runtime's errors share no class with those of other runtimes.
            except Exception as error:
                if not out_of_memory(error):
                    raise
                return None

        results = each(compute, batches, at_once)
        computed: Iterable[torch.Tensor | None] = results
        if show_progress_bar:
            from tqdm.auto import tqdm  # type: ignore[import-untyped]

            computed = tqdm(computed, desc="Batches", total=len(batches))
        logits = torch.empty((len(encoded), self.num_labels), dtype=torch.float32)
        too_large = []
        # No batch starts after an interrupt: otherwise closing the pool would compute all of them.
        with closing(results), torch.inference_mode():
            for batch, features in zip(batches, computed, strict=True):
                if features is None:
                    too_large.append(batch)
                else:
                    logits[batch] = self._installed.logits(features)
            for batch in too_large:  # no other batch takes memory now
                found = halving(self._features, [encoded[i] for i in batch])
                logits[batch] = self._installed.logits(found)
        return logits

    def _features(self, batch: Sequence[EncodedPair]) -> torch.Tensor:
        import torch

        longest = max(len(pair.ids) for pair in batch)
        arrays = {name: np.zeros((len(batch), longest), dtype=np.int64) for name in INPUTS}
        arrays["input_ids"][:] = self._pad_token
        for row, pair in enumerate(batch):
            arrays["input_ids"][row, : len(pair.ids)] = pair.ids
            arrays["token_type_ids"][row, : len(pair.ids)] = pair.types
            arrays["attention_mask"][row, : len(pair.ids)] = 1
        with self._turns, torch.inference_mode(), self._installed.context():
            inputs = {name: torch.from_numpy(arrays[name]).to(self.device) for name in self._names}
            return self._installed.features(inputs).float().cpu()


def _for_single_pairs(
    name: str,
    backend: Backend | Literal["auto"],
    dtype: Dtype | Literal["auto"],
    device: str,
) -> tuple[Backend, Dtype | Literal["auto"]]:
    """The backend for a model whose pairs cannot be padded: only torch can compute it."""
    if backend not in ("auto", "torch"):
        raise InvalidInputError(
            f"the model {name!r} gives other scores for padded input, so it scores one pair at a "
            f"time, which backend={backend!r} cannot do: use backend='torch'"
        )
    # Speeds are measured on batches, which this model cannot compute.
    return "torch", "float32" if dtype == "auto" and device == "cpu" else dtype
