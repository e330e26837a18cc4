"""The cost of searching: the time of each stage, the model's speed, and the memory."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rerank_search.evaluation.results import Cost, System
from rerank_search.index import Index
from rerank_search.judged.own_stage import OwnStage
from rerank_search.searchable import Searchable
from rerank_search.searcher import Searcher
from rerank_search.vectors import EncodedQuery

if TYPE_CHECKING:
    from rerank_search.reranking.base import Reranker

PERCENTILES = (50, 95, 99)
TOP_K = 10
WARM_UP = "what is loaded late is loaded now"


def measure_cost(
    index: Index,
    system: System,
    reranker: Reranker | None,
    fused: bool,
    queries: Sequence[str],
    *,
    encoder: str | None = None,
    own: OwnStage | None = None,
    instruction: str | None = None,
) -> Cost:
    """Search for each query alone, as a user would, after one search to warm up.

    Nothing is cached except by the Searcher itself. ``encoder`` is the present place of the
    index's encoder, None if it has not moved. ``fused`` says whether the reranker's own fusion is
    used. ``own`` is searched instead of the index, if it is the system's first stage.
    ``instruction`` is for the reranker. Raises what opening and searching raise.
    """
    # Without a second stage a search fetches no more than it returns.
    top_k = TOP_K if reranker is not None else system.candidates
    with ExitStack() as stack:
        if own is None:
            # Open the index again, because an index remembers the vectors of earlier queries.
            fresh = Index.open(index.path, encoder=encoder, read_only=True)
            searched: Searchable = stack.enter_context(fresh)
            first_stage = system.first_stage
        else:
            searched = own.searched if own.afresh is None else own.afresh()
            first_stage = own.first_stage
        searcher = Searcher(searched, reranker, fusion="auto" if fused else None)
        found = [
            searcher.search(
                query,
                top_k=top_k,
                candidates=system.candidates,
                first_stage=first_stage,
                instruction=instruction,
            )
            for query in (_warm_up(queries[0]), *queries)
        ][1:]
    stages = list(dict.fromkeys(stage for response in found for stage in response.timings))
    latency = {
        stage: _percentiles([response.timings.get(stage, 0.0) for response in found])
        for stage in stages
    }
    pairs = sum(response.reranked_count for response in found)
    seconds = sum(response.timings.get("rerank", 0.0) for response in found) / 1000
    return Cost(
        queries=len(queries),
        latency_ms=latency,
        pairs_per_second=pairs / seconds if seconds else None,
        truncated_share=sum(response.truncated for response in found) / pairs if pairs else None,
        index_bytes=None if own is not None else _size(index.path),
        peak_memory_bytes=peak_memory(),
    )


def _warm_up(query: str) -> str:
    """A query that is not measured, with a vector if ``query`` has one."""
    return EncodedQuery(WARM_UP, query.vector) if isinstance(query, EncodedQuery) else WARM_UP


def peak_memory() -> int | None:
    """The peak memory of the process so far, in bytes; None on Windows."""
    if sys.platform == "win32":
        return None
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    found = np.percentile(values, PERCENTILES)
    return {f"p{share}": float(value) for share, value in zip(PERCENTILES, found, strict=True)}
