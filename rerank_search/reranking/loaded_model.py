"""A loaded reranker: its tokenizer, its window, and its logits of encoded pairs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from rerank_search.errors import InvalidInputError
from rerank_search.models.backends.kinds import Backend, Dtype
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
from rerank_search.reranking.chat_pairs import ChatPairs
from rerank_search.reranking.exact_logits import keep_last_layer_exact
from rerank_search.reranking.instructions import RerankerPrompts, prompts_of
from rerank_search.reranking.loading import (
    INPUTS,
    load_cross_encoder,
    options_key,
    window_of_modules,
)
from rerank_search.reranking.memory import halving, out_of_memory
from rerank_search.reranking.padding import padding_of, pads_without_effect
from rerank_search.reranking.pairs import EncodedPair, PairTokenizer
from rerank_search.settings import Settings

if TYPE_CHECKING:
    import torch
    from sentence_transformers import CrossEncoder

logger = logging.getLogger(__name__)


_BESIDE = ("activation_fn", "model_card_data")
"""Loading options that do not affect the network."""

_PROMPTING = frozenset({"prompts", "default_prompt_name"})
"""Loading options that change the prompt, which is otherwise known by the model's files."""


class LoadedModel:
    """A model with float32 weights that gives logits of pairs, whatever its architecture.

    On a CPU each thread computes a batch of its own; torch uses all threads for one batch if the
    model is not fused. A plain BERT is read without sentence-transformers, which is imported only
    when something needs it. Models of several modules are computed by these modules, in torch.

    ``pairs`` lays pairs out as the model reads them, and ``prompts`` are the model's own.

    Raises ModelNotFoundError for a directory that cannot be read, InvalidInputError for a device
    or dtype that cannot be used or a model that does not score pairs.
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
        from rerank_search.models.backends.choice import choose
        from rerank_search.models.backends.installed import install
        from rerank_search.reranking.loaded_network import loaded_network, window_of
        from rerank_search.reranking.modular import ModularNetwork, network_of

        self.name, self._directory = name, directory
        limit_threads()
        require_device(device)
        half = dtype if dtype in ("bfloat16", "float16") else "float32"
        options = {name: given for name, given in (loading or {}).items() if name not in _BESIDE}
        self._options = options
        self._own_activation = bool((loading or {}).get("activation_fn"))
        self._plain = plain = None if options else read_classifier(directory, device, half)
        self._whole = None if plain else self._load(device, options)
        self._delegating = threading.RLock()  # its tokenizer is not thread-safe
        self._network: Any = plain.network if plain else network_of(name, self.whole)
        self.tokenizer: Any = plain.tokenizer if plain else self.whole.tokenizer
        limits = [max_length, None if plain else window_of_modules(self.whole)]
        self.max_length = window_of(self.tokenizer, self._network, *limits)
        if max_length and max_length > self.max_length:
            logger.warning(
                "max_length=%d is more than %r can read: %d is used",
                max_length,
                name,
                self.max_length,
            )
        # Pairs delegated to sentence-transformers must be cut at the same length.
        self.tokenizer.model_max_length = self.max_length
        self.pairs, self.prompts = self._layout()
        loaded = loaded_network(self._network, self.tokenizer, directory, options_key(options))
        self._names = loaded.names
        self._pad_token: int = self.tokenizer.pad_token_id
        self._alone = False
        modular = self._network if isinstance(self._network, ModularNetwork) else None
        self._pads_left = modular is not None and modular.reads_end
        if not plain:
            self._pad_token = padding_of(self._network, self.tokenizer)
            self._alone = not pads_without_effect(
                self._network, loaded.names, self._pad_token, left=self._pads_left
            )
        if modular:
            why = "has modules that only torch can compute"
            backend, dtype = _for_torch(name, why, backend, dtype, self.device.type)
        elif self._alone:
            why = "gives other scores for padded input, so it scores one pair at a time"
            backend, dtype = _for_torch(name, why, backend, dtype, self.device.type)
        cache = Settings().cache
        option = choose(loaded, backend, dtype, cache)
        self.backend, self.dtype = option.backend, option.dtype
        if self.backend == "torch" and self.dtype != "float32":
            width = modular.last_width if modular else self.num_labels
            keep_last_layer_exact(name, self._network, width)
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
                from rerank_search.models.backends.installed import delegate

                self._whole = self._load("cpu", {})
                self._whole.max_seq_length = self.max_length
                network: Any = self._whole.transformers_model
                delegate(network, self._installed, self._names)
                network.base_model.encoder.layer = None  # these weights are in memory already
            return self._whole

    @property
    def layout_key(self) -> str:
        """A text that differs for layouts of pairs that give other logits."""
        prompt = self.prompts.default if self._options.keys() & _PROMPTING else ""
        template = " chat template" if isinstance(self.pairs, ChatPairs) else ""
        return f"{template} {prompt!r}" if template or prompt else ""

    def _load(self, device: str | None, options: Mapping[str, Any]) -> CrossEncoder:
        return load_cross_encoder(
            self.name, self._directory, device, options, own_activation=self._own_activation
        )

    def _layout(self) -> tuple[PairTokenizer | ChatPairs, RerankerPrompts]:
        """How pairs are laid out for the model, and the prompts that it was saved with."""
        if self._plain is not None:
            pairs = PairTokenizer(self.tokenizer, self.max_length)
            return pairs, prompts_of(self._plain.prompts)
        first: Any = self.whole[0]
        named = {name: prompt or "" for name, prompt in self.whole.prompts.items()}
        default = self.whole.default_prompt_name
        if "message" not in first.modality_config:
            pairs = PairTokenizer(self.tokenizer, self.max_length)
            return pairs, prompts_of(named, default)
        chat = ChatPairs(self.name, first, self.max_length, self._delegating)
        return chat, prompts_of(named, default, takes_instructions=chat.takes_instructions)

    @property
    def device(self) -> torch.device:
        """The device that the model is computed on."""
        device: torch.device = self._network.device
        return device

    @property
    def num_labels(self) -> int:
        """The number of labels: the width of the logits."""
        labels: int = self._network.config.num_labels if self._plain else self.whole.num_labels
        return labels

    @property
    def activation_fn(self) -> Callable[[torch.Tensor], torch.Tensor]:
        """The activation that the model's configuration applies to logits; usually a sigmoid."""
        if self._plain is not None:
            return self._plain.activation
        return self.whole.activation_fn or self.whole.get_default_activation_fn()

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
            size = len(pair.ids)
            place = slice(longest - size, None) if self._pads_left else slice(size)
            arrays["input_ids"][row, place] = pair.ids
            arrays["token_type_ids"][row, place] = pair.types
            arrays["attention_mask"][row, place] = 1
        with self._turns, torch.inference_mode(), self._installed.context():
            inputs = {name: torch.from_numpy(arrays[name]).to(self.device) for name in self._names}
            return self._installed.features(inputs).float().cpu()


def _for_torch(
    name: str,
    why: str,
    backend: Backend | Literal["auto"],
    dtype: Dtype | Literal["auto"],
    device: str,
) -> tuple[Backend, Dtype | Literal["auto"]]:
    """The backend for a model that only torch can compute, and ``why`` that is."""
    if backend not in ("auto", "torch"):
        raise InvalidInputError(
            f"the model {name!r} {why}, which backend={backend!r} cannot do: use backend='torch'"
        )
    # Speeds are measured on batches that such a model may not be able to compute.
    return "torch", "float32" if dtype == "auto" and device == "cpu" else dtype
