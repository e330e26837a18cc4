"""Made-up queries: a sentence taken out of a document, which the rest answers."""

from __future__ import annotations

import random
import re

from rerank_search.storage.boundaries import FULL_STOPS, word_count
from rerank_search.training.data.corpus import Corpus
from rerank_search.training.data.questions import Question

SENTENCE_END = re.compile(rf"(?<=[.!?])\s+|(?<=[{FULL_STOPS}])(?![{FULL_STOPS}])\s*+(?=\S)")
"""The place between two sentences of a document, with its white space."""


def made_up_questions(corpus: Corpus, count: int, rng: random.Random) -> list[Question]:
    """Queries taken out of documents; fewer than ``count`` if too few documents are suitable."""
    questions: list[Question] = []
    for document in corpus.shuffled(rng):
        if len(questions) == count:
            break
        sentences = SENTENCE_END.split(document.text)
        usable = [sentence for sentence in sentences if 5 <= word_count(sentence) <= 30]
        if len(sentences) >= 3 and usable:
            cut = rng.choice(usable)
            only = frozenset([document.id])
            questions.append(
                Question(
                    f"made up: {document.id}",
                    cut.rstrip(f".!{FULL_STOPS}"),
                    [document.id],
                    only,
                    cut,
                )
            )
    return questions
