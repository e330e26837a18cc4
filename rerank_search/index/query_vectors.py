"""The encoder with a short memory, since a search needs the vector of its query twice."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from rerank_search.models.prompts import Prompts, Task
from rerank_search.retrieval.encoder import Encoder

_Key = tuple[str, Task | None, str | None]

REMEMBERED = 64
"""Vectors kept; as many texts at once, or more, are documents and not remembered."""


class QueryVectors:
    """Encodes like ``encoder``: for the dense stage, and then for the scores of its candidates."""

    def __init__(self, encoder: Encoder) -> None:
        self.name = encoder.name
        self._encoder = encoder
        self._vectors: OrderedDict[_Key, NDArray[np.float32]] = OrderedDict()
        self._lock = Lock()

    @property
    def prompts(self) -> Prompts:
        """What the model puts before queries and before documents (loads it)."""
        return self._encoder.prompts

    def encode(
        self, texts: Sequence[str], *, task: Task | None = None, prompt: str | None = None
    ) -> NDArray[np.float32]:
        """Vectors of length 1, shape (n, d), float32; see ``Encoder.encode``."""
        if task == "document" or not 0 < len(texts) < REMEMBERED:
            return self._encoder.encode(texts, task=task, prompt=prompt)
        keys: dict[str, _Key] = {text: (text, task, prompt) for text in texts}
        with self._lock:
            known = {text: self._vectors[key] for text, key in keys.items() if key in self._vectors}
        new = [text for text in keys if text not in known]
        if new:
            vectors = self._encoder.encode(new, task=task, prompt=prompt)
            known.update(zip(new, vectors, strict=True))
        with self._lock:
            for text, key in keys.items():
                self._vectors[key] = known[text]
                self._vectors.move_to_end(key)
            while len(self._vectors) > REMEMBERED:
                self._vectors.popitem(last=False)
        return np.stack([known[text] for text in texts])
