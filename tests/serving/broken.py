"""A reranker that fails."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class Broken:
    name = "broken"

    def score(self, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
        raise OSError("the model's disk is gone")
