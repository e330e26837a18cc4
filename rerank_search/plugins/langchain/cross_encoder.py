"""The reranker as a LangChain cross-encoder."""

from __future__ import annotations

from langchain_core.cross_encoders import BaseCrossEncoder

from rerank_search.models.registry import AUTO
from rerank_search.plugins.rerankers import RerankerGiven, TextRanker
from rerank_search.queries import check_instruction


class RerankSearchCrossEncoder(BaseCrossEncoder):
    """Scores pairs of texts, for LangChain's own ``CrossEncoderReranker``. Threads may share one.

        >>> model = RerankSearchCrossEncoder()
        >>> right, wrong = model.score([("join paths", "use a slash"), ("join paths", "bread")])
        >>> right > wrong
        True

    ``reranker`` is the name or the folder of a model, loaded at the first use, or a Reranker.
    ``instruction`` says what makes a text relevant, to a reranker that takes one.
    """

    def __init__(self, reranker: RerankerGiven = AUTO, *, instruction: str | None = None) -> None:
        if instruction is not None:
            check_instruction(instruction)
        self._ranker = TextRanker(reranker)
        self._instruction = instruction

    def score(self, text_pairs: list[tuple[str, str]]) -> list[float]:
        """The logits of the pairs, higher is better. Nothing is loaded for an empty list.

        Logits do not tie where probabilities of 0.9999 do. Raises RerankError, also for a model
        with several labels, InvalidInputError for an instruction to a reranker that takes none, and
        ModelNotFoundError.
        """
        return self._ranker.scores(text_pairs, instruction=self._instruction)

    def __repr__(self) -> str:
        return f"RerankSearchCrossEncoder({self._ranker.name!r})"
