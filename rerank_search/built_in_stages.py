"""Names of the first stages that are part of this package; ``retrieval.registry`` makes them."""

from __future__ import annotations

from typing import Final, Literal

BM25: Final[Literal["bm25"]] = "bm25"
DENSE: Final[Literal["dense"]] = "dense"
HYBRID: Final[Literal["hybrid"]] = "hybrid"
SPARSE: Final[Literal["sparse"]] = "sparse"
TEXT: Final[Literal["text"]] = "text"
"""The first stage of stores that rank by words, but not by BM25; no index has it."""

NEW_HYBRID: Final[Literal["scores"]] = "scores"
"""The fusion of ``hybrid`` in new indexes; one that names none has reciprocal ranks."""

EVERY_INDEX: Final = (BM25, DENSE)
"""The engines that every index has; dense only if it has an encoder."""
