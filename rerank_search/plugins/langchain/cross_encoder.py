"""The reranker as a LangChain cross-encoder."""

from __future__ import annotations

from langchain_core.cross_encoders import BaseCrossEncoder

from rerank_search.models.registry import AUTO
from rerank_search.plugins.rerankers import RerankerGiven, TextRanker


class RerankSearchCrossEncoder(BaseCrossEncoder):
    """Scores pairs of texts, for LangChain's own ``CrossEncoderReranker``. Threads may share one.

        >>> model = RerankSearchCrossEncoder()
        >>> right, wrong = model.score([("join paths", "use a slash"), ("join paths", "bread")])
        >>> right > wrong
        True

    ``reranker`` is the name or the folder of a model, loaded at the first use, or a Reranker.
    """

    def __init__(self, reranker: RerankerGiven = AUTO) -> None:
        self._ranker = TextRanker(reranker)

    def score(self, text_pairs: list[tuple[str, str]]) -> list[float]:
        """The logits of the pairs, higher is better. Nothing is loaded for an empty list.

        Logits do not tie where probabilities of 0.9999 do. Raises RerankError, also for a model
        with several labels, and ModelNotFoundError.
        """
        return self._ranker.scores(text_pairs)

    def __repr__(self) -> str:
        return f"RerankSearchCrossEncoder({self._ranker.name!r})"
