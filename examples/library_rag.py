"""Retrieval-augmented generation with the library alone.

Usage: python examples/library_rag.py [QUESTION]
"""

from __future__ import annotations

import sys

from extractive import answer

from rerank_search import Index, Searcher
from rerank_search.context import pack


def main(question: str = "how do I copy a whole folder") -> None:
    """Find sources, pack them, answer."""
    with Index.open("indexes/python-docs") as index:
        searcher = Searcher(index)
        response = searcher.search(
            question, top_k=5, passages_per_document=2, collapse_duplicates=True
        )
    context = pack(response, tokens=1_000)
    print(answer(question, context.text))
    for citation in context.citations:
        print(f"[{citation.number}] {citation.id}")


if __name__ == "__main__":
    main(*sys.argv[1:])
