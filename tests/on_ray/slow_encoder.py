"""An encoder that takes its time, so that a test can kill its worker in the middle of a call."""

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rerank_search.models.prompts import Task
from rerank_search.retrieval.encoder import Encoder


class SlowEncoder(Encoder):
    """Sleeps before each call for documents."""

    def encode(
        self, texts: Sequence[str], *, task: Task | None = None, prompt: str | None = None
    ) -> NDArray[np.float32]:
        if task != "query" and len(texts) > 1:
            time.sleep(0.5)
        return super().encode(texts, task=task, prompt=prompt)
