"""A stand-in for a language model: it answers with the sentence that fits the question best.

So that every example runs anywhere, without a key and without a download. Put your own model in its
place.
"""

from __future__ import annotations

import re

from rerank_search import rank_texts

SOURCE = re.compile(r"^\[(\d+)\] .*\n", re.MULTILINE)
"""The heading of a source in a packed context, such as ``[1] os.path.join``."""


def answer(question: str, context: str) -> str:
    """The best sentence of the context, with the number of its source."""
    headings = [*SOURCE.finditer(context)]
    ends = [each.start() for each in headings[1:]] + [len(context)]
    sentences = [
        (sentence, heading[1])
        for heading, end in zip(headings, ends, strict=True)
        for sentence in re.split(r"(?<=[.!?])\s+|\n\n", context[heading.end() : end].strip())
        if sentence
    ]
    if not sentences:
        return "The sources do not say."
    texts = [sentence for sentence, _ in sentences]
    [best] = rank_texts(question, texts, top_k=1, reranker="rerank-search-tiny")
    sentence, number = sentences[int(best.id)]
    return f"{' '.join(sentence.split())} [{number}]"
