from __future__ import annotations

import random
from pathlib import Path

import pytest

from rerank_search import Document, Index
from rerank_search.training.data.corpus import Corpus
from rerank_search.training.data.made_up import SENTENCE_END, made_up_questions


@pytest.mark.parametrize(
    "text",
    [
        "One boat. |Two boats! |Three?\n|Four.",
        '"One." Two',
        "我来了。|你好吗？！ |他走了。",
        "यह नाव है। |यह नदी है।",
        "هل تعلم؟ |نعم. |حسنا",
    ],
)
def test_sentences_of_many_languages(text: str) -> None:
    parts = [part.strip() for part in text.split("|")]
    assert SENTENCE_END.split(text.replace("|", "")) == parts


@pytest.mark.parametrize(
    ("sentences", "query"),
    [
        (["No.", "The boat is on the river.", "So."], "The boat is on the river"),
        (["不。", "船在河上航行了很久。", "好。"], "船在河上航行了很久"),
        (["नहीं।", "नाव नदी पर चलती है।", "हाँ।"], "नाव नदी पर चलती है"),
    ],
)
def test_a_sentence_of_a_suitable_length_is_a_query(
    tmp_path: Path, sentences: list[str], query: str
) -> None:
    with Index.create(tmp_path / "index", encoder=None) as index:
        index.add([Document("a", " ".join(sentences))])
        [question] = made_up_questions(Corpus(index), 5, random.Random(1))
    assert question.text == query
