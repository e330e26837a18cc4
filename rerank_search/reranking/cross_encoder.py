"""The second stage: a cross-encoder that reads query and text together."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from rerank_search.arguments import model_name, whole_number
from rerank_search.errors import InvalidInputError
from rerank_search.models.backends.kinds import Backend, Dtype
from rerank_search.models.registry import AUTO, logits_fingerprint, reranker_name, resolve_reranker
from rerank_search.queries import check_instruction
from rerank_search.reranking.base import LongDocuments, Scores
from rerank_search.reranking.calibration import Calibrations
from rerank_search.reranking.fusion import Fusion
from rerank_search.reranking.loaded_model import LoadedModel
from rerank_search.reranking.loading import options_key
from rerank_search.reranking.pair_logits import best_windows, pair_logits
from rerank_search.reranking.pairs import PairTokenizer, checked_pairs, distinct_pairs
from rerank_search.reranking.predictions import Predictions
from rerank_search.reranking.remembered_scores import Read, RememberedScores
from rerank_search.reranking.shortened import shortened
from rerank_search.reranking.traits import require_instructions
from rerank_search.settings import Settings

if TYPE_CHECKING:
    import torch


class CrossEncoderReranker(Predictions):
    """Scores (query, text) pairs with a cross-encoder of any kind that sentence-transformers loads.

    These are sequence classifiers of any architecture, models of several modules, and generative
    models that answer yes or no. Each reads a pair as its makers intend: with its prompt, and in
    its chat template. ``instruction`` of a call says what makes a text relevant, for a model that
    ``takes_instructions``. It replaces the model's own prompt.

    ``model`` is a bundled name, a directory or a hub id (``revision`` pins it). ``device`` None
    picks cuda, then mps, then cpu, unless ``RERANK_SEARCH_DEVICE`` says otherwise. ``max_length``
    (tokens of a pair, special tokens included) can only lower the model's own limit; a larger value
    gives a warning. ``batch_tokens`` is the most tokens of a batch, padding included; None means
    2,048 on a CPU (1,024 for each thread if each computes its own batch, four times as many for a
    narrow model) and 16,384 elsewhere. A batch that does not fit into memory is halved.

    ``backend`` "torch", "openvino" or "onnx" computes the logits, in ``dtype`` "float32",
    "bfloat16" or "float16" (which changes them by some hundredths; logits themselves are float32).
    "int8" works with OpenVINO on a CPU, and only on request: it changes rankings a little, and a
    model whose rankings change too much is refused.
    "auto" takes the fastest option on this machine. On a CPU the installed backends are measured
    once, in the precisions that the CPU has units for; on CUDA it is half precision. None takes
    ``RERANK_SEARCH_BACKEND`` and ``RERANK_SEARCH_DTYPE``, or "auto" if they are not set.

    Identical pairs of a call are computed once; ``cache_size`` is the number of pairs whose scores
    are kept for later calls of ``score``. Pairs above the window lose the end of their text; a
    query is cut only above three quarters of the window, and then only as far as the text needs.
    Any number of threads may share one instance. ``fusion`` and ``calibration`` are read from
    ``fusion.json`` and ``calibration.json`` beside the weights; None if there is no such file.

    ``fetching`` holds further arguments of huggingface_hub's ``snapshot_download`` (token,
    cache_dir, local_files_only), ``loading`` further arguments for loading the model with
    sentence-transformers (prompts, model_kwargs, processor_kwargs, config_kwargs, activation_fn).

    ``predict`` and ``rank`` work as in ``sentence_transformers.CrossEncoder``:

        >>> model = CrossEncoderReranker("rerank-search-base")
        >>> scores = model.predict([("how to join paths", "os.path.join joins path components")])
        >>> scores.shape
        (1,)

    Raises ModelNotFoundError for a missing or unreadable model, InvalidInputError for a model that
    does not score pairs of texts or needs code of its own, and for an int8 model whose rankings
    differ too much from float32.
    """

    def __init__(
        self,
        model: str | Path = AUTO,
        *,
        device: str | None = None,
        max_length: int | None = None,
        revision: str | None = None,
        batch_tokens: int | None = None,
        backend: Backend | Literal["auto"] | None = None,
        dtype: Dtype | Literal["auto"] | None = None,
        cache_size: int = 0,
        fetching: Mapping[str, Any] | None = None,
        loading: Mapping[str, Any] | None = None,
    ) -> None:
        cache_size = whole_number("cache_size", cache_size, least=0)
        self._scores = RememberedScores(cache_size, self._read)
        for name, given in (("batch_tokens", batch_tokens), ("max_length", max_length)):
            if given is not None:
                whole_number(name, given)
        self.name = reranker_name(model_name("model", model))
        self._settings: dict[str, Any] = {
            "model": self.name,
            "device": device,
            "max_length": max_length,
            "revision": revision,
            "batch_tokens": batch_tokens,
            "backend": backend,
            "dtype": dtype,
            "cache_size": cache_size,
            "fetching": dict(fetching or {}),
            "loading": dict(loading or {}),
        }
        directory = resolve_reranker(self.name, revision=revision, **self._settings["fetching"])
        self._directory = Path(directory)
        self.fusion = Fusion.beside(self._directory)
        self.calibration = Calibrations.beside(self._directory)
        settings = Settings()
        self._model = LoadedModel(
            self.name,
            directory,
            device=device or settings.device,
            max_length=max_length,
            batch_tokens=batch_tokens,
            backend=backend or settings.backend,
            dtype=dtype or settings.dtype,
            loading=self._settings["loading"],
        )
        if self.dtype == "int8" and self.num_labels == 1:
            self._check_rankings(settings.cache)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the name and the settings: unpickling or copying loads the model again.

        Raises InvalidInputError for a hub token, and for an ``activation_fn`` that cannot be
        imported by name.
        """
        if isinstance(self._settings["fetching"].get("token"), str):
            raise InvalidInputError(
                f"{self.name!r} cannot be pickled, because it was loaded with token=..., a "
                "secret: load it without one, and set HF_TOKEN on both sides"
            )
        activation = self._settings["loading"].get("activation_fn")
        if "<" in getattr(activation, "__qualname__", ""):  # a lambda or a nested function
            raise InvalidInputError(
                f"{self.name!r} cannot be pickled with activation_fn={activation.__qualname__}: "
                "give a function that a module defines, or torch.nn.Identity()"
            )
        kept = {"fusion": self.fusion, "calibration": self.calibration}
        return _loaded_again, (type(self), self._settings), kept

    @property
    def device(self) -> torch.device:
        """The device that the model is computed on."""
        return self._model.device

    @property
    def max_length(self) -> int:
        """The window: tokens of a pair, special tokens included."""
        return self._model.max_length

    @functools.cached_property
    def fingerprint(self) -> str:
        """A hash of all that logits depend on (model files, window, dtype), as 32 hex digits.

        All backends share it in float32, where they differ by rounding only.
        """
        from rerank_search.models.backends.onnx_file import LAYOUT

        backend, dtype = self._model.backend, self._model.dtype
        exact = backend == "torch" or dtype == "float32"
        computed = dtype if exact else f"{backend} {dtype} {LAYOUT}"
        computed += options_key(self._settings["loading"]) + self._model.layout_key
        return logits_fingerprint(self._directory, self.max_length, computed)

    @property
    def backend(self) -> Backend:
        """The backend that computes the logits."""
        return self._model.backend

    @property
    def dtype(self) -> Dtype:
        """The precision that the logits are computed in."""
        return self._model.dtype

    @property
    def num_labels(self) -> int:
        """1 for a reranker; a classifier has more, and only ``predict`` works for it."""
        return self._model.num_labels

    @property
    def takes_instructions(self) -> bool:
        """Whether a call may have an instruction: the model was made to read one."""
        return self._model.prompts.takes_instructions

    def score(
        self, pairs: Sequence[tuple[str, str]], *, instruction: str | None = None
    ) -> NDArray[np.float32]:
        """Raw logits of the pairs, shape (n,), float32; higher is better.

        Raises InvalidInputError for anything but pairs of strings that can be encoded as UTF-8, and
        for an instruction that is blank or that the model does not take. Raises RerankError if the
        model returns NaN or a single pair does not fit into memory.
        """
        return self.score_with_report(pairs, instruction=instruction).values

    def score_with_report(
        self,
        pairs: Sequence[tuple[str, str]],
        *,
        long_documents: LongDocuments = "truncate",
        instruction: str | None = None,
    ) -> Scores:
        """Raw logits, which pairs were cut, and the best window of each pair.

        ``max_passage`` reads a text above the window in windows that overlap by a quarter, and
        keeps the best one (the first of equals). Errors as in ``score``.
        """
        self._require_one_label("score()")
        prompt = self._prompt(instruction)
        checked = checked_pairs(pairs)
        if long_documents == "truncate":
            distinct, positions = distinct_pairs(checked)
            found = self._scores.of(distinct, prompt)
            return Scores(
                found.logits[positions],
                found.truncated[positions],
                [None] * len(checked),
                found.tokens[positions],
            )
        if long_documents == "max_passage":
            return best_windows(self._model, checked, prompt)
        raise InvalidInputError(
            f"long_documents={long_documents!r} is unknown: use 'truncate' or 'max_passage'"
        )

    def shortened(
        self,
        pairs: Sequence[tuple[str, str]],
        *,
        text_tokens: int | None = None,
        pair_tokens: int | None = None,
        instruction: str | None = None,
    ) -> tuple[list[tuple[str, str]], NDArray[np.bool_]]:
        """The pairs with the beginning of each text, and which texts were cut, shape (n,), bool.

        ``text_tokens`` is the most tokens of a text, ``pair_tokens`` the most of a pair, with its
        query, the instruction and special tokens. Raises InvalidInputError if a query leaves no
        room for a text, and for a tokenizer that does not give the positions of tokens.
        """
        return shortened(
            self._model.pairs,
            checked_pairs(pairs),
            text_tokens=text_tokens,
            pair_tokens=pair_tokens,
            prompt=self._prompt(instruction),
        )

    def share_texts(self, other: CrossEncoderReranker) -> None:
        """Share tokenised texts with ``other`` if both have the same tokenizer and window."""
        mine, theirs = self._model.pairs, other._model.pairs
        if isinstance(mine, PairTokenizer) and isinstance(theirs, PairTokenizer):
            mine.share_texts(theirs)

    def _prompt(self, instruction: str | None) -> str:
        """The prompt of a call. Raises InvalidInputError."""
        if instruction is None:
            return self._model.prompts.default
        check_instruction(instruction)
        require_instructions(self)
        return instruction

    def _check_rankings(self, cache: Path) -> None:
        """Raise InvalidInputError if int8 rankings differ too much from float32."""
        from rerank_search.models.backends.measuring import machine
        from rerank_search.reranking.int8_gate import check

        exact = functools.partial(
            CrossEncoderReranker,
            self._directory,
            device="cpu",
            max_length=self.max_length,
            backend="openvino",
            dtype="float32",
            loading=self._settings["loading"],
        )
        check(self.name, self, exact, f"{self.fingerprint} {machine()}", cache)

    def _read(self, pairs: Sequence[tuple[str, str]], prompt: str) -> Read:
        logits, truncated, tokens = pair_logits(self._model, pairs, prompt=prompt)
        return Read(logits.numpy()[:, 0], truncated, tokens)

    def _require_one_label(self, method: str) -> None:
        if self.num_labels != 1:
            raise InvalidInputError(
                f"{method} needs a model with one label, and {self.name!r} has {self.num_labels}: "
                "use predict(), or another model"
            )


def _loaded_again(kind: type[CrossEncoderReranker], settings: dict[str, Any]) -> Any:
    again = kind.__new__(kind)
    CrossEncoderReranker.__init__(again, **settings)
    return again
