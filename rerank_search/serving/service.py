"""What a server serves, without HTTP: indexes, models, limits, threads and measurements."""

from __future__ import annotations

from collections.abc import Sequence

from rerank_search.reranking.base import Reranker
from rerank_search.retrieval.base import TextEncoder
from rerank_search.serving.encoders import Encoders
from rerank_search.serving.indexes import Indexes
from rerank_search.serving.limits import Limits
from rerank_search.serving.metrics import Metrics
from rerank_search.serving.rerankers import Rerankers
from rerank_search.serving.threads import Threads
from rerank_search.serving.traces import Traces


class Service:
    """The indexes, the rerankers and the encoders of one server. Threads may share one.

    ``rerankers`` are loaded, or LoadedLater; requests that name none get the first. ``encoders``
    are served beside those of the indexes. ``share_batches=False`` scores each request by itself.
    Raises InvalidInputError if two rerankers or two encoders have the same name.
    """

    def __init__(
        self,
        indexes: Indexes,
        rerankers: Sequence[Reranker],
        limits: Limits,
        *,
        encoders: Sequence[TextEncoder] = (),
        share_batches: bool = True,
        traces: Traces | None = None,
    ) -> None:
        self.indexes = indexes
        self.limits = limits
        self.threads = Threads(limits)
        self.metrics = Metrics()
        self.traces = traces or Traces()
        self.encoders = Encoders(encoders, indexes)
        self.rerankers = Rerankers(rerankers, limits, self.metrics, share=share_batches)

    def close(self) -> None:
        """Score the pairs that wait, close the indexes, and send the last traces."""
        self.rerankers.close()
        self.indexes.close()
        self.traces.close()
