"""``predict`` and ``rank``: scores as sentence-transformers' ``CrossEncoder`` returns them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rerank_search.errors import InvalidInputError
from rerank_search.reranking.pairs import checked_pairs, distinct_pairs

if TYPE_CHECKING:
    import torch

    from rerank_search.reranking.torch_model import TorchCrossEncoder


class Predictions(ABC):
    """The methods that a cross-encoder has in sentence-transformers, made of its logits."""

    name: str
    _torch: TorchCrossEncoder

    @abstractmethod
    def _computed(
        self,
        pairs: Sequence[tuple[str, str]],
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
    ) -> tuple[torch.Tensor, NDArray[np.bool_], NDArray[np.int64]]:
        """Logits of shape (n, labels), which pairs were cut, and how many tokens each has."""

    @abstractmethod
    def _require_one_label(self, method: str) -> None:
        """Raise InvalidInputError for a classifier."""

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
        single pair the one element. Prompts, ``device`` and ``pool`` are passed on to
        sentence-transformers as they are. Errors as in ``score``.
        """
        if batch_size < 1:
            raise InvalidInputError(f"batch_size={batch_size} must be at least 1")
        delegated = {"prompt_name": prompt_name, "prompt": prompt, "device": device, "pool": pool}
        if self._torch.prompted or kwargs or any(delegated.values()):
            return self._torch.predict(
                inputs,
                batch_size=batch_size,
                show_progress_bar=show_progress_bar,
                activation_fn=activation_fn,
                apply_softmax=apply_softmax,
                convert_to_numpy=convert_to_numpy,
                convert_to_tensor=convert_to_tensor,
                chunk_size=chunk_size,
                **delegated,
                **kwargs,
            )
        single = self._torch.is_one_pair(inputs)
        distinct, positions = distinct_pairs(checked_pairs([inputs] if single else inputs))
        logits, _, _ = self._computed(distinct, batch_size, show_progress_bar)
        scores = self._activated(logits, activation_fn, apply_softmax)[positions]
        result: Any
        if convert_to_tensor:
            result = scores.to(self._torch.device)
        elif convert_to_numpy:
            result = scores.numpy() if len(scores) else np.array([])
        else:
            result = list(scores.to(self._torch.device))
        return result[0] if single else result

    def activated(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """What ``predict`` makes of raw logits, shape (n,): the model's activation of them."""
        import torch

        scores: NDArray[np.float32] = self._activated(
            torch.from_numpy(logits)[:, None], None, False
        ).numpy()
        return scores

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
        ``return_documents``. Scores that a sigmoid has saturated into ties are in the order of
        their logits; equal logits in the order of ``documents``.
        """
        self._require_one_label("rank()")
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
        scores = (activation_fn or self._torch.activation_fn)(logits)
        if self._torch.num_labels == 1:
            return scores.squeeze(-1)
        return scores.softmax(dim=1) if apply_softmax else scores


def _identity(logits: torch.Tensor) -> torch.Tensor:
    return logits
