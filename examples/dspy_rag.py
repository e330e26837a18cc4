"""Retrieval-augmented generation with DSPy.

Usage: python examples/dspy_rag.py [QUESTION]
"""

from __future__ import annotations

import sys

import dspy
from extractive import answer

from rerank_search.plugins.dspy import RerankSearchRetriever


class Answering(dspy.Module):
    """Finds passages, then answers from them."""

    def __init__(self, find: RerankSearchRetriever) -> None:
        super().__init__()
        self.find = find

    def forward(self, question: str) -> dspy.Prediction:
        """The answer, and the ids of its sources."""
        found = self.find(question)
        context = "\n\n".join(
            f"[{number}] {id}\n{passage}"
            for number, (id, passage) in enumerate(
                zip(found.ids, found.passages, strict=True), start=1
            )
        )
        # With a model: dspy.ChainOfThought("context, question -> answer")(...)
        return dspy.Prediction(answer=answer(question, context), sources=found.ids)


def main(question: str = "how do I copy a whole folder") -> None:
    """Find sources and answer, as one program."""
    find = RerankSearchRetriever(index="indexes/python-docs", k=5)
    found = Answering(find)(question=question)
    print(found.answer)
    print(found.sources)
    find.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
