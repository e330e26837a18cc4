"""The words that match are bold in the printed results."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich.console import Console
from rich.segment import Segment

from rerank_search import Document, Hit, SearchResponse
from rerank_search.cli.results import results_table
from rerank_search.retrieval.analysis import Words
from rerank_search.types import ExplainedResponse, FoundPassage


def printed(hit: Hit, query: str, analyzer: str) -> list[str]:
    """What a terminal gets: bold words in brackets, without colours."""
    console = Console(file=io.StringIO(), force_terminal=True, width=60, color_system="standard")
    response = SearchResponse(query, [hit], "bm25", 1, reranked=False)
    words = Words(analyzer)

    def matches(query: str, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        return words.matches(words.of_query(query, lambda term: 1), texts)

    table = results_table(ExplainedResponse(response, [hit]), matches)
    return ["".join(map(shown, line)).strip() for line in console.render_lines(table, pad=False)]


def shown(part: Segment) -> str:
    bold = part.style is not None and part.style.bold and part.text.strip()
    return f"[{part.text}]" if bold else part.text


def test_words_of_title_and_text_are_bold() -> None:
    hit = Hit("a", 1.0, 1, Document("a", "join two\npaths", "Joining"))
    assert printed(hit, "join", "english")[1:] == ["[Joining]", "[join] two paths"]


def test_words_of_each_passage_are_bold_in_any_script() -> None:
    text = "北京大学。很远。大学"
    passages = [FoundPassage((0, 5), 1.0, text[:5]), FoundPassage((8, 10), 0.5, text[8:])]
    hit = Hit("a", 1.0, 1, Document("a", text), passages=passages)
    assert printed(hit, "大学", "multilingual")[1:] == ["北京[大学]。", "[大学]"]


def test_a_long_text_ends_with_a_whole_character() -> None:
    hit = Hit("a", 1.0, 1, Document("a", "กำ" * 200))
    shown = "".join(printed(hit, "x", "plain")[1:])
    assert shown.endswith("กำ…")
