"""Made-up queries: a sentence taken out of a document, which the rest answers."""

from __future__ import annotations

import random
import re

from rerank_search.training.data.corpus import Corpus
from rerank_search.training.data.questions import Question

SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
"""White space between two sentences of a document."""


def made_up_questions(corpus: Corpus, count: int, rng: random.Random) -> list[Question]:
    """Queries taken out of documents; fewer than ``count`` if too few documents are suitable."""
    questions: list[Question] = []
    for document in corpus.shuffled(rng):
        if len(questions) == count:
            break
        sentences = SENTENCE_END.split(document.text)
        usable = [sentence for sentence in sentences if 5 <= len(sentence.split()) <= 30]
        if len(sentences) >= 3 and usable:
            cut = rng.choice(usable)
            only = frozenset([document.id])
            questions.append(
                Question(f"made up: {document.id}", cut.rstrip(".!"), [document.id], only, cut)
            )
    return questions
