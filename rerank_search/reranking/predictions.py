"""``predict`` and ``rank``: scores as sentence-transformers' ``CrossEncoder`` returns them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rerank_search.arguments import several, whole_number
from rerank_search.errors import InvalidInputError
from rerank_search.models.loading import require_device
from rerank_search.reranking.pair_logits import pair_logits
from rerank_search.reranking.pairs import checked_pairs, distinct_pairs
from rerank_search.reranking.renamed import renamed_arguments
from rerank_search.shown import shown

if TYPE_CHECKING:
    import torch

    from rerank_search.reranking.loaded_model import LoadedModel


RENAMED = {"sentences": "inputs", "activation_fct": "activation_fn"}
"""Earlier names of arguments of ``predict`` and ``rank``."""

PASSED_ON = frozenset({"processing_kwargs", "task", "max_length"})
"""Further arguments of ``predict`` that are passed on to sentence-transformers."""


class Predictions(ABC):
    """The methods of sentence-transformers' CrossEncoder, computed from a model's logits."""

    name: str
    _settings: dict[str, Any]
    _model: LoadedModel

    @property
    def _activation_fn(self) -> Callable[[torch.Tensor], torch.Tensor]:
        """The activation applied to logits, unless a call gives another."""
        return self._settings["loading"].get("activation_fn") or self._model.activation_fn

    @abstractmethod
    def _require_one_label(self, method: str) -> None:
        """Raise InvalidInputError for a classifier."""

    def _delegated(self, inputs: Any, **options: Any) -> Any:
        """The result of sentence-transformers' own method."""
        return self._model.predict(inputs, **options)

    def _by_original(self, inputs: Any, **options: Any) -> Any:
        """Like ``_delegated``, with InvalidInputError for arguments that it does not accept."""
        try:
            return self._delegated(inputs, **options)
        except (TypeError, ValueError) as error:
            raise InvalidInputError(f"sentence-transformers cannot score this: {error}") from error

    def _must_delegate(self) -> bool:
        """Whether sentence-transformers computes all scores of this model."""
        return False

    @renamed_arguments(RENAMED, without_effect=["num_workers"])
    def predict(
        self,
        inputs: Any,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        activation_fn: Callable[[torch.Tensor], torch.Tensor] | None = None,
        apply_softmax: bool | None = False,
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: Any = None,
        pool: Any = None,
        chunk_size: int | None = None,
        **kwargs: Any,
    ) -> Any:
        """Scores of one pair or of a list of pairs, as ``sentence_transformers.CrossEncoder``.

        The model's activation (a sigmoid, as a rule) is applied unless ``activation_fn`` says
        otherwise. Returns a float32 array of shape (n,), or (n, labels) for a classifier; for
        ``convert_to_tensor`` a tensor, with ``convert_to_numpy=False`` a list of tensors; for a
        single pair the one element. Pairs may be rows of a numpy array too. ``prompt``, or the one
        of ``prompt_name``, replaces the model's own. ``device``, ``pool`` and ``processing_kwargs``
        are passed on to sentence-transformers. Errors as in ``score``.
        """
        import torch

        batch_size = whole_number("batch_size", batch_size)
        if chunk_size is not None:
            chunk_size = whole_number("chunk_size", chunk_size)
        for name, given in (("prompt_name", prompt_name), ("prompt", prompt)):
            if not isinstance(given, str | None):
                raise InvalidInputError(f"{name}={shown(given)} is not a string: give one")
        if activation_fn is not None:
            require_callable("activation_fn", activation_fn)
        if unknown := sorted(kwargs.keys() - PASSED_ON):
            raise InvalidInputError(f"predict() has no argument {unknown[0]!r}: leave it out")
        if device is not None and not isinstance(device, list):
            require_device(str(device))
            device = None if torch.device(device) == self._model.device else device
        prompt = self._model.prompts.chosen(prompt, prompt_name)
        delegated = {"device": device, "pool": pool}
        if self._must_delegate() or kwargs or any(delegated.values()):
            return self._by_original(
                inputs,
                prompt=prompt,
                batch_size=batch_size,
                show_progress_bar=show_progress_bar,
                activation_fn=activation_fn or self._activation_fn,
                apply_softmax=apply_softmax,
                convert_to_numpy=convert_to_numpy,
                convert_to_tensor=convert_to_tensor,
                chunk_size=chunk_size,
                **delegated,
                **kwargs,
            )
        pairs, single = _listed(inputs)
        distinct, positions = distinct_pairs(checked_pairs(pairs))
        logits, _, _ = pair_logits(
            self._model,
            distinct,
            batch_size,
            show_progress_bar,
            prompt=prompt,
            longest_first=True,
        )
        scores = self._activated(logits, activation_fn, apply_softmax)[positions]
        result: Any
        if convert_to_tensor:
            result = scores.to(self._model.device)
        elif convert_to_numpy:
            result = scores.numpy() if len(scores) else np.array([])
        else:
            result = list(scores.to(self._model.device))
        return result[0] if single else result

    def activated(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """The model's activation of raw logits, shape (n,), as ``predict`` returns it."""
        import torch

        scores: NDArray[np.float32] = self._activated(
            torch.from_numpy(logits)[:, None], None, False
        ).numpy()
        return scores

    @renamed_arguments(
        RENAMED,
        without_effect=["num_workers", "convert_to_numpy", "convert_to_tensor", "apply_softmax"],
    )
    def rank(
        self,
        query: str,
        documents: Sequence[str],
        top_k: int | None = None,
        return_documents: bool = False,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        activation_fn: Callable[[torch.Tensor], torch.Tensor] | None = None,
        device: Any = None,
        pool: Any = None,
        chunk_size: int | None = None,
    ) -> list[dict[str, Any]]:
        """The documents by score, as ``sentence_transformers.CrossEncoder.rank``.

        Returns ``[{"corpus_id": 2, "score": 0.98}, ...]``, with ``"text"`` for
        ``return_documents``. Scores that tie because a sigmoid saturates are in the order of their
        logits; equal logits are in the order of ``documents``.
        """
        self._require_one_label("rank()")
        documents = list(several("documents", documents, one="documents"))
        if top_k is not None:
            top_k = whole_number("top_k", top_k, least=0)
        pairs = [(query, document) for document in documents]
        logits = self.predict(
            pairs,
            prompt_name=prompt_name,
            prompt=prompt,
            batch_size=batch_size,
            show_progress_bar=show_progress_bar,
            activation_fn=_identity,
            convert_to_tensor=True,
            device=device,
            pool=pool,
            chunk_size=chunk_size,
        ).cpu()
        scores = self._activated(logits[:, None], activation_fn, False).tolist()
        order = np.lexsort((-logits.numpy(), -np.array(scores)))[:top_k]
        results: list[dict[str, Any]] = [{"corpus_id": int(i), "score": scores[i]} for i in order]
        if return_documents:
            for result in results:
                result["text"] = documents[result["corpus_id"]]
        return results

    def _activated(
        self,
        logits: torch.Tensor,
        activation_fn: Callable[[torch.Tensor], torch.Tensor] | None,
        apply_softmax: bool | None,
    ) -> torch.Tensor:
        scores = (activation_fn or self._activation_fn)(logits)
        if self._model.num_labels == 1:
            return scores.squeeze(-1)
        return scores.softmax(dim=1) if apply_softmax else scores


def _identity(logits: torch.Tensor) -> torch.Tensor:
    return logits


def _listed(inputs: Any) -> tuple[list[Any], bool]:
    """The pairs as a list, and whether ``inputs`` was a single pair."""
    if isinstance(inputs, np.ndarray):
        single = inputs.ndim == 0 or (inputs.ndim == 1 and inputs.size > 0)
        inputs = inputs.tolist()
    elif isinstance(inputs, Sequence) and not isinstance(inputs, str):
        rows = (list, tuple, np.ndarray)
        inputs = [each.tolist() if isinstance(each, np.ndarray) else each for each in inputs]
        single = len(inputs) > 0 and not isinstance(inputs[0], rows)
    else:
        single = True
    return [inputs] if single else inputs, single


def require_callable(name: str, value: object) -> None:
    """Raise InvalidInputError for a value that cannot be called."""
    if not callable(value):
        raise InvalidInputError(
            f"{name}={value!r} cannot be called: give a function such as torch.nn.Sigmoid()"
        )
