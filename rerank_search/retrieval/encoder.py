"""The bi-encoder: texts to vectors of length 1."""

from __future__ import annotations

from collections.abc import Sequence
from threading import RLock
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rerank_search.errors import InvalidInputError, ModelNotFoundError
from rerank_search.settings import Settings

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

BATCH_SIZE = 64


class Encoder:
    """A sentence-transformers model, loaded at its first use.

    ``name`` is a path, an alias or a hub id (see ``rerank_search.models.registry``), of which
    ``revision`` pins a version; ``device`` is a torch device, by default that of the settings,
    else the best that is there. Threads may share one encoder: its tokenizer cannot be used by
    two at a time, so they take turns.

    Raises ModelNotFoundError at the first use of a model that is not there.
    """

    def __init__(
        self, name: str, *, revision: str | None = None, device: str | None = None
    ) -> None:
        self.name = name
        self.revision = revision
        self._device = device
        self._lock = RLock()
        self._loaded: SentenceTransformer | None = None

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        dimension = self._model.get_embedding_dimension()
        if dimension is None:
            raise InvalidInputError(f"The encoder {self.name!r} does not state its dimension.")
        return dimension

    @property
    def window(self) -> int:
        """Tokens that the model reads of a text, special tokens included."""
        window = self._model.max_seq_length
        if window is None:
            raise InvalidInputError(
                f"The encoder {self.name!r} does not state its window: set max_seq_length in its "
                "sentence_bert_config.json."
            )
        return window

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of the texts, shape (n, dimension), float32, length 1.

        Texts are cut to the window.
        Raises InvalidInputError where the model returns numbers that are not finite.
        """
        if not texts:
            return np.empty((0, self.dimension), dtype=np.float32)
        with self._lock:
            vectors = self._model.encode(
                list(texts),
                batch_size=BATCH_SIZE,
                normalize_embeddings=True,
                show_progress_bar=False,
            )
        found = np.ascontiguousarray(vectors, dtype=np.float32)
        finite = np.isfinite(found).all(axis=1)
        if not finite.all():
            raise InvalidInputError(
                f"The encoder {self.name!r} returned NaN or infinity for the text "
                f"{texts[int(np.argmin(finite))][:80]!r}: choose another encoder."
            )
        return found

    def token_offsets(self, text: str) -> list[tuple[int, int]]:
        """Start and end of each token of the whole text, in characters, without special tokens."""
        with self._lock:
            tokenizer = self._model.tokenizer
            if not tokenizer.is_fast:
                raise InvalidInputError(
                    f"The encoder {self.name!r} has a tokenizer without offsets: create the index "
                    "with passages=None, or choose an encoder with a tokenizer.json."
                )
            encoded = tokenizer(
                text,
                add_special_tokens=False,
                return_attention_mask=False,
                return_offsets_mapping=True,
                truncation=False,
                verbose=False,
            )
        return [(start, end) for start, end in encoded["offset_mapping"]]

    @property
    def _model(self) -> SentenceTransformer:
        with self._lock:
            if self._loaded is None:
                self._loaded = self._load()
            return self._loaded

    def _load(self) -> SentenceTransformer:
        from sentence_transformers import SentenceTransformer

        from rerank_search.models.registry import resolve_encoder

        where = resolve_encoder(self.name, revision=self.revision)
        try:
            return SentenceTransformer(
                where,
                device=self._device or Settings().device,
                local_files_only=True,  # what was resolved is a directory
                trust_remote_code=False,
            )
        except (OSError, ValueError) as error:
            raise ModelNotFoundError(
                f"The encoder {self.name!r} cannot be loaded from {where} ({error}): check the "
                "name, or give the path of a sentence-transformers model."
            ) from error
