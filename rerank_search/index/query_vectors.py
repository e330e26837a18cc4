"""An encoder with a short memory, since a search needs the vector of its query twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from rerank_search.errors import IndexMismatchError
from rerank_search.models.prompts import Prompts, Task
from rerank_search.remembered import Remembered
from rerank_search.retrieval.base import TextVectors

_Key = tuple[str, Task | None, str | None]

REMEMBERED = 64
"""Number of vectors kept; a call with as many texts or more is for documents and is not kept."""


class QueryVectors:
    """Encodes queries once, for the dense stage and for the scores of its candidates.

    ``check`` is called before the first texts are encoded; what it raises is raised each time.
    ``dimension`` is the length that vectors must have.
    """

    def __init__(
        self,
        encoder: TextVectors,
        check: Callable[[], None] = lambda: None,
        *,
        dimension: int | None = None,
    ) -> None:
        self.name = encoder.name
        self._encoder = encoder
        self._check = check
        self._checked = False
        self._dimension = dimension
        self._vectors: Remembered[_Key, NDArray[np.float32]] = Remembered(REMEMBERED)

    @property
    def prompts(self) -> Prompts:
        """The prompts that the model puts before queries and documents (loads the model)."""
        return self._encoder.prompts

    def encode(
        self, texts: Sequence[str], *, task: Task | None = None, prompt: str | None = None
    ) -> NDArray[np.float32]:
        """Vectors of length 1, shape (n, d), float32; see ``TextVectors.encode``.

        Raises IndexMismatchError for vectors of another length than the index has.
        """
        if not self._checked:
            self._check()
            self._checked = True
        if task == "document" or not 0 < len(texts) < REMEMBERED:
            return self._encoded(texts, task, prompt)
        keys: dict[str, _Key] = {text: (text, task, prompt) for text in texts}
        remembered = self._vectors.known(keys.values())
        known = {text: remembered[key] for text, key in keys.items() if key in remembered}
        new = [text for text in keys if text not in known]
        if new:
            vectors = self._encoded(new, task, prompt)
            known.update(zip(new, vectors, strict=True))
        self._vectors.remember({key: known[text] for text, key in keys.items()})
        return np.stack([known[text] for text in texts])

    @property
    def foresees(self) -> bool:
        """Whether the encoder gains by being told of texts before it encodes them."""
        return hasattr(self._encoder, "foresee")

    def foresee(
        self, texts: Iterable[Sequence[str]], *, task: Task | None, prompt: str | None
    ) -> None:
        """Tell the encoder which lists of texts it will get."""
        cast("Any", self._encoder).foresee(texts, task=task, prompt=prompt)

    def check_again(self) -> None:
        """Call ``check`` once more before the next texts are encoded."""
        self._checked = False

    def _encoded(
        self, texts: Sequence[str], task: Task | None, prompt: str | None
    ) -> NDArray[np.float32]:
        vectors = self._encoder.encode(texts, task=task, prompt=prompt)
        if self._dimension is not None and vectors.shape[1] != self._dimension:
            raise IndexMismatchError(
                f"the encoder {self.name!r} makes vectors of length {vectors.shape[1]}, and those "
                f"of the index have length {self._dimension}: open the index with the encoder that "
                "it was built with, or build it again"
            )
        return vectors
